#!/bin/sh
# build_example.sh LANGUAGE NEEDED...: builds the example in a language in .venv/examples, as its
# README says. Where something needed is missing, a program or a page of a registry, the example is
# left out: the file `left-out` says why, to the tests.
set -eu
language=$1
shift
folder=.venv/examples/$language
mkdir -p "$folder"
rm -f "$folder/left-out" "$folder/built"

leave_out() {
    echo "$1, so the example in $language is left out" | tee "$folder/left-out" >&2
    exit 0
}

for needed in "$@"; do
    case $needed in
    https://*)
        .venv/bin/python -c 'import sys, urllib.request as r; r.urlopen(sys.argv[1], timeout=20)' \
            "$needed" 2> /dev/null || leave_out "$needed is not reached"
        ;;
    *) command -v "$needed" > /dev/null || leave_out "there is no $needed" ;;
    esac
done
echo "building the example in $language"
cp -R "examples/$language/." "$folder"
.venv/bin/cost-insights proto --force "$folder/protos" > /dev/null
PATH="$(pwd)/.venv/bin:$PATH"
# Warnings of the compiler are errors here, and not for readers, whose compiler may know others.
export MAVEN_OPTS=-Dmaven.compiler.failOnWarning=true
cd "$folder"
sh build.sh
touch built
