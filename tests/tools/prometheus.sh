#!/bin/sh
# Makes sure that the tests find Prometheus, which reads the service and judges the alert rules and
# the expressions of the dashboard. Where it cannot be installed these tests are left out.
set -eu
if command -v prometheus > /dev/null && command -v promtool > /dev/null; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "installing Prometheus for the tests"
    apt-get update --quiet --quiet
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends prometheus
    exit 0
fi
echo "Prometheus is not installed, so the tests that run it are left out; install it, such as with: apt install prometheus" >&2
