#!/bin/sh
# Makes sure that the tests find the programs of PostgreSQL, of which they start
# a server of their own. Where COST_INSIGHTS_DATABASE_URL names a PostgreSQL the
# tests use that one and need no programs.
set -eu
case ${COST_INSIGHTS_DATABASE_URL:-} in postgresql*) exit 0 ;; esac
if .venv/bin/python -m tests.support.postgresql; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "installing PostgreSQL for the tests"
    apt-get update --quiet --quiet
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes postgresql
    exec .venv/bin/python -m tests.support.postgresql
fi
echo "PostgreSQL is not installed: install its server (initdb and postgres), or let COST_INSIGHTS_DATABASE_URL name one" >&2
exit 1
