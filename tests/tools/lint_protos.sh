#!/bin/sh
# Lints the protos with buf.
#
# The protos import `google/api`, which buf would fetch from a registry of its
# own. So protoc, which finds it in googleapis-common-protos, makes an image of
# everything, and buf lints the part of it that is ours.
set -eu
image=$(mktemp -d)
trap 'rm -rf "$image"' EXIT
sh tests/tools/image.sh proto "$image/protos.binpb" --include_source_info
.venv/bin/buf lint "$image/protos.binpb" --path cost_insights --config proto/buf.yaml
