#!/bin/sh
# Generates the code of the protos, which are in the folder protos, and builds the program.
set -eu
cargo build --quiet --locked
