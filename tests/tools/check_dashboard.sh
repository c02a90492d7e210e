#!/bin/sh
# Checks the types of the dashboard, in a copy that has the types of the libraries in place of the
# libraries: these would be checked too, and have no types of their own.
set -eu
rm -rf .cache/dashboard
mkdir -p .cache
cp -R service/cost_insights/doors/http/dashboard .cache/dashboard
rm .cache/dashboard/vendor/*
cp tests/dashboard/types/* .cache/dashboard/vendor
exec .venv/node/node_modules/.bin/tsc --project tests/dashboard
