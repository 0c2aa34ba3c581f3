#!/usr/bin/env bash
# PostgreSQL's image runs this once, when its volume is empty: the role that `answerd serve` connects as. It may work with
# rows and change no table; `answerd migrate`, which owns the tables, grants what it needs.
set -euo pipefail

password=$(cat /run/secrets/postgres_server_password)
psql -v ON_ERROR_STOP=1 -U "$POSTGRES_USER" -d "$POSTGRES_DB" -v password="$password" <<'SQL'
CREATE ROLE answerd_app NOLOGIN;
CREATE ROLE answerd_server LOGIN PASSWORD :'password' IN ROLE answerd_app;
REVOKE ALL ON DATABASE answerd FROM PUBLIC;
GRANT CONNECT, TEMPORARY ON DATABASE answerd TO answerd_app;
SQL
