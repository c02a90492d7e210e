#!/bin/sh
# image.sh FOLDER FILE [OPTION]...: writes the protos of a folder, with everything they import, as
# one FileDescriptorSet; options are those of protoc.
set -eu
folder=$1
file=$2
shift 2
site=$(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
.venv/bin/python -m grpc_tools.protoc -I "$folder" -I "$site" --include_imports \
    --descriptor_set_out="$file" "$@" "$folder"/cost_insights/v1/*.proto
