#!/bin/sh
# Writes the pages of the API reference into the folder given as $1.
set -eu
image=$(mktemp)
trap 'rm -f "$image"' EXIT
sh tests/tools/image.sh proto "$image" --include_source_info
.venv/bin/python -m tests.tools.api_reference "$image" "$1"
