#!/bin/sh
# Makes sure that PgBouncer is there, through which tests reach PostgreSQL.
set -eu
.venv/bin/python -m tests.support.pgbouncer && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "installing PgBouncer for the tests"
    apt-get update --quiet --quiet
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends pgbouncer
    exec .venv/bin/python -m tests.support.pgbouncer
fi
echo "PgBouncer is not installed: install it, such as with: apt install pgbouncer" >&2
exit 1
