#!/bin/sh
# Generates the Python code of the protos into the folder given as $1, and the part of the OpenAPI
# document that describes the RPCs into the file given as $2.
#
# Links to the protos themselves stand beside their code, which packages hold as files, as
# googleapis-common-protos does, so that an installation can hand them on. Beside them are those of
# `google/protobuf`, which no package holds that the service needs: some compilers come without them.
#
# `google/api` and `google/rpc` come from googleapis-common-protos. Only files
# that define a service get gRPC code.
set -eu
bin=.venv/bin
site=$($bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
out=$(mktemp -d)
trap 'rm -rf "$out"' EXIT
$bin/python -m grpc_tools.protoc -I proto -I "$site" \
    --plugin=protoc-gen-mypy=$bin/protoc-gen-mypy \
    --python_out="$out" --mypy_out=quiet:"$out" \
    proto/cost_insights/v1/*.proto
$bin/python -m grpc_tools.protoc -I proto -I "$site" \
    --plugin=protoc-gen-mypy_grpc=$bin/protoc-gen-mypy_grpc \
    --grpc_python_out="$out" --mypy_grpc_out=quiet:"$out" \
    proto/cost_insights/v1/*_service.proto
echo '"""The messages and services of cost_insights.v1, generated from proto/."""' \
    > "$out/cost_insights/v1/__init__.py"
for proto in proto/cost_insights/v1/*.proto; do
    ln -s "../../../$proto" "$out/cost_insights/v1"
done
mkdir -p "$out/cost_insights/v1/imports/google/protobuf"
for name in any descriptor duration struct timestamp; do
    cp "$site/grpc_tools/_proto/google/protobuf/$name.proto" "$out/cost_insights/v1/imports/google/protobuf"
done
rm -rf "$1"
mv "$out/cost_insights/v1" "$1"
sh tests/tools/image.sh proto "$out/protos.binpb" --include_source_info
$bin/python -m tests.tools.openapi "$out/protos.binpb" > "$2"
