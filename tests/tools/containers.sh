#!/bin/sh
# Makes sure that the tests can build the image: buildah builds it without a daemon, and debootstrap
# makes the images that it is based on from Debian's packages.
set -eu
if command -v buildah > /dev/null && command -v debootstrap > /dev/null; then
    exit 0
fi
if [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null; then
    echo "installing buildah and debootstrap for the tests"
    apt-get update --quiet --quiet
    DEBIAN_FRONTEND=noninteractive apt-get install --quiet --quiet --yes --no-install-recommends buildah debootstrap
    exit 0
fi
echo "buildah and debootstrap are not installed: install them, such as with: apt install buildah debootstrap" >&2
exit 1
