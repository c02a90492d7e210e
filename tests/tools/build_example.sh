#!/bin/sh
# build_example.sh LANGUAGE PROGRAM...: builds the example in a language in .venv/examples, as its
# README says. Where one of the programs that it is built with is missing, it is left out.
set -eu
language=$1
shift
for program in "$@"; do
    command -v "$program" > /dev/null || {
        echo "there is no $program, so the tests of the example in $language are left out" >&2
        exit 0
    }
done
echo "building the example in $language"
folder=.venv/examples/$language
mkdir -p "$folder"
cp -R "examples/$language/." "$folder"
.venv/bin/cost-insights proto --force "$folder/protos" > /dev/null
PATH="$(pwd)/.venv/bin:$PATH"
cd "$folder"
sh build.sh
touch built
