#!/bin/sh
# package.sh FOLDER: writes the packages into the folder: a wheel for Python 3.11 and newer, the
# source distribution, the protos with everything they import, and the software bill of materials
# (CycloneDX) of what an installation holds. That of the native module is in the wheel, as PEP 770
# says.
set -eu
folder=$1
bin=$(pwd)/.venv/bin
mkdir -p "$folder"
"$bin/maturin" build --quiet --release --locked --out "$folder"
"$bin/maturin" sdist --out "$folder"
wheel=$(ls "$folder"/cost_insights-*.whl)
installed=$(mktemp -d)
trap 'rm -rf "$installed"' EXIT
"$bin/python" -m venv --without-pip "$installed"
"$bin/pip" --quiet --disable-pip-version-check --python "$installed/bin/python" install --constraint requirements.lock "$wheel"
"$bin/cyclonedx-py" environment --pyproject pyproject.toml --output-reproducible \
    --output-file "${wheel%-cp311-*}.cdx.json" "$installed/bin/python"
protos=${wheel%-cp311-*}-protos
"$installed/bin/cost-insights" proto "$installed/${protos##*/}" > /dev/null
"$bin/python" -m zipfile --create "$protos.zip" "$installed/${protos##*/}"
