#!/bin/sh
# Makes sure that the tests find Chromium, in which they look at the dashboard.
set -eu
if command -v chromium > /dev/null; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "installing Chromium for the tests"
    apt-get update --quiet --quiet
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends chromium
    exit 0
fi
echo "Chromium is not installed: install it, such as with: apt install chromium" >&2
exit 1
