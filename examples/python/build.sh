#!/bin/sh
# Makes an environment in .venv and generates the code of the protos, which are in the folder protos.
set -eu
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check --requirement requirements.lock
.venv/bin/python -m grpc_tools.protoc -I protos --python_out=. --grpc_python_out=. protos/cost_insights/v1/*.proto
