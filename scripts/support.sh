# Shared by the scripts of this folder: packages, builds, and a private PostgreSQL. Source it; it changes to the project's folder.
#
# Everything that is made lies in build/ and .data/; nothing of the system's PostgreSQL is touched.
# shellcheck shell=bash disable=SC2034

set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
project=$PWD
data=$project/.data
pg_bin=/usr/lib/postgresql/15/bin

say() { printf '%s\n' "$*"; }
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    local hint
    for hint in "$@"; do printf 'HINT: %s\n' "$hint" >&2; done
    exit 1
}

build_packages=(gcc libc6-dev cmake ninja-build pkg-config libevent-dev libssl-dev libpq-dev liblua5.4-dev
    libcurl4-openssl-dev libjansson-dev libjemalloc-dev)
run_packages=(postgresql-15 postgresql-client-15 curl ca-certificates tzdata procps)
test_packages=(g++ libcmocka-dev git shellcheck lua-check libxml2-utils faketime)
# Of single parts of scripts/test.
static_packages=(clang-tidy-14 clang-format-14 cppcheck)
valgrind_packages=(valgrind libc6-dbg)
coverage_packages=(gcovr)
fuzz_packages=(clang-14 libclang-rt-14-dev llvm-14)

package_is_installed() { [ "$(dpkg-query -W -f '${db:Status-Abbrev}' "$1" 2>/dev/null)" = "ii " ]; }

# Installs what is missing of the packages named, or says exactly which are.
need_packages() {
    local package missing=()
    for package in "$@"; do package_is_installed "$package" || missing+=("$package"); done
    [ ${#missing[@]} -eq 0 ] && return
    if [ "$(id -u)" -ne 0 ]; then
        die "these packages are missing and only root can install them: ${missing[*]}" \
            "run: sudo apt-get install --no-install-recommends ${missing[*]}"
    fi
    say "Installing ${#missing[@]} packages: ${missing[*]}"
    mkdir -p "$data"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq >"$data/apt.log" 2>&1 || true
    install_without_cluster "${missing[@]}" || {
        tail -n 20 "$data/apt.log" >&2
        die "these packages could not be installed: ${missing[*]}" "the whole output is in .data/apt.log"
    }
}

# The package of PostgreSQL would make and start a cluster of the system's; it is told not to, for this one installation.
install_without_cluster() {
    local settings=/etc/postgresql-common/createcluster.conf
    if ! package_is_installed postgresql-15 && [[ " $* " == *" postgresql-15 "* ]]; then
        apt-get install -y --no-install-recommends postgresql-common >>"$data/apt.log" 2>&1 || return 1
        cp "$settings" "$data/createcluster.conf.before"
        printf 'create_main_cluster = false\n' >>"$settings"
        local status=0
        apt-get install -y --no-install-recommends "$@" >>"$data/apt.log" 2>&1 || status=$?
        cp "$data/createcluster.conf.before" "$settings"
        rm -f "$data/createcluster.conf.before"
        return "$status"
    fi
    apt-get install -y --no-install-recommends "$@" >>"$data/apt.log" 2>&1
}

# Configures (once) and builds one preset, all of it or the targets named; the output is shown only when it fails.
build_preset() {
    local preset=$1
    shift
    mkdir -p "$data"
    {
        { [ -f "build/$preset/build.ninja" ] || cmake --preset "$preset"; } &&
            cmake --build --preset "$preset" ${1:+--target "$@"}
    } >"$data/build-$preset.log" 2>&1 || {
        tail -n 40 "$data/build-$preset.log" >&2
        die "the $preset build failed" "the whole output is in .data/build-$preset.log"
    }
}

# What the end-to-end tests need of Node's packages, once for each lock file.
install_node_modules() {
    mkdir -p "$data"
    (cd tests/e2e && { cmp -s package-lock.json node_modules/.installed || { npm ci --no-audit --no-fund --ignore-scripts >"$data/npm.log" 2>&1 ||
        { tail -n 20 "$data/npm.log" >&2; die "npm ci failed"; }; cp package-lock.json node_modules/.installed; }; })
}

# PostgreSQL refuses to run as root: as root, its commands run as the user that its package made.
as_postgres() {
    if [ "$(id -u)" -eq 0 ]; then
        (cd / && setpriv --reuid=postgres --regid=postgres --init-groups --inh-caps=-all env HOME=/tmp "$@")
    else
        "$@"
    fi
}

# Makes and starts a private cluster named $1 and exports PGHOST, PGUSER, PGDATABASE for it. A cluster that runs already is used.
start_postgres() {
    local name=$1
    shift
    postgres_folder=$data/$name
    mkdir -p "$data"
    # A user who is not root must be able to walk to the folder; where the checkout is closed to others, the files lie elsewhere.
    if [ "$(id -u)" -eq 0 ] && ! as_postgres test -x "$data"; then
        postgres_folder=/var/tmp/answerd-$(printf '%s' "$data/$name" | cksum | cut -d ' ' -f 1)
    fi
    # The path of a Unix socket may have about 100 bytes.
    postgres_socket=$postgres_folder/socket
    if [ ${#postgres_socket} -gt 80 ]; then
        postgres_socket=/tmp/answerd-$(printf '%s' "$postgres_folder" | cksum | cut -d ' ' -f 1)
    fi
    mkdir -p "$postgres_folder" "$postgres_socket"
    if [ "$(id -u)" -eq 0 ]; then chown postgres: "$postgres_folder" "$postgres_socket"; fi
    export PGHOST=$postgres_socket PGPORT=5432 PGUSER=answerd PGDATABASE=answerd
    unset PGPASSWORD DATABASE_URL PGSERVICE PGHOSTADDR
    if [ ! -s "$postgres_folder/cluster/PG_VERSION" ]; then
        rm -rf "$postgres_folder/cluster"
        as_postgres "$pg_bin/initdb" -D "$postgres_folder/cluster" -U answerd -E UTF8 --lc-collate=C --lc-ctype=C.UTF-8 --auth=peer \
            >"$postgres_folder.initdb.log" 2>&1 || die "initdb failed" "see $postgres_folder.initdb.log"
        # Nobody else on the machine may connect: the socket names the system's user, and only these two are let in.
        printf 'local all all peer map=project\n' | as_postgres tee "$postgres_folder/cluster/pg_hba.conf" >/dev/null
        local role
        for role in answerd answerd_read; do printf "project %s $role\n" "$(id -un)" postgres; done | as_postgres tee "$postgres_folder/cluster/pg_ident.conf" >/dev/null
    fi
    if ! as_postgres "$pg_bin/pg_ctl" -D "$postgres_folder/cluster" status >/dev/null 2>&1; then
        rm -f "$postgres_folder/cluster/postmaster.pid"
        as_postgres "$pg_bin/pg_ctl" -w -t 60 -D "$postgres_folder/cluster" -l "$postgres_folder/postgres.log" start \
            -o "-c listen_addresses='' -c unix_socket_directories='$postgres_socket' -c unix_socket_permissions=0777 $*" >/dev/null ||
            die "PostgreSQL did not start" "see $postgres_folder/postgres.log"
    fi
    psql -qAtX -d postgres -c "SELECT 1 FROM pg_database WHERE datname = 'answerd'" | grep -q 1 || createdb answerd
}

stop_postgres() {
    [ -n "${postgres_folder:-}" ] || return 0
    as_postgres "$pg_bin/pg_ctl" -w -m fast -D "$postgres_folder/cluster" stop >/dev/null 2>&1 || true
}

# Waits until the command succeeds, at most $1 seconds.
wait_until() {
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.05
    done
}
