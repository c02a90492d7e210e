#!/bin/sh
# check_breaking.sh [FOLDER]: fails where the protos of the folder, proto unless one is given, would
# break a client of the last release, whose protos are kept in proto/released.binpb.
#
# As in lint_protos.sh, protoc makes an image, since buf cannot fetch what the protos import.
set -eu
folder=${1:-proto}
bin=.venv/bin
image=$(mktemp -d)
trap 'rm -rf "$image"' EXIT
sh tests/tools/image.sh "$folder" "$image/protos.binpb"
$bin/buf breaking "$image/protos.binpb" --against proto/released.binpb --path cost_insights --config proto/buf.yaml
