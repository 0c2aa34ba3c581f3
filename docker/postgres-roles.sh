#!/usr/bin/env bash
# PostgreSQL's image runs this once, when its volume is empty: the role that `answerd serve` connects as, and the one for
# reports. The first may work with rows and change no table, the second reads the views; `answerd migrate`, which owns the
# tables, grants what they need. A backup names them both.
set -euo pipefail

password=$(cat /run/secrets/postgres_server_password)
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -v password="$password" <<'SQL'
CREATE ROLE answerd_app NOLOGIN;
CREATE ROLE answerd_read NOLOGIN;
CREATE ROLE answerd_server LOGIN PASSWORD :'password' IN ROLE answerd_app;
REVOKE ALL ON DATABASE answerd FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE answerd TO answerd_app;
GRANT CONNECT ON DATABASE answerd TO answerd_read;
SQL
