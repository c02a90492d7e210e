#!/bin/sh
# Lints the protos with buf.
#
# The protos import `google/api`, which buf would fetch from a registry of its
# own. So protoc, which finds it in googleapis-common-protos, makes an image of
# everything, and buf lints the part of it that is ours.
set -eu
bin=.venv/bin
site=$($bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
image=$(mktemp -d)
trap 'rm -rf "$image"' EXIT
$bin/python -m grpc_tools.protoc -I proto -I "$site" \
    --include_imports --include_source_info --descriptor_set_out="$image/protos.binpb" \
    proto/cost_insights/v1/*.proto
$bin/buf lint "$image/protos.binpb" --path cost_insights --config proto/buf.yaml
