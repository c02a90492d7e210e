#!/bin/sh
# Makes sure that libfaketime is there, with which the campaign steps clocks.
set -eu
.venv/bin/python -m tests.trust.campaign.clocks && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "installing libfaketime for the campaign"
    apt-get update --quiet --quiet
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes libfaketime
    exec .venv/bin/python -m tests.trust.campaign.clocks
fi
echo "libfaketime is not installed: install it, such as with: apt install libfaketime" >&2
exit 1
