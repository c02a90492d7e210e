#!/bin/sh
# Builds the fuzz targets with coverage, on stable Rust: cargo-fuzz asks for the same passes, and
# for sanitizers too, which need nightly and have nothing to find in safe code.
set -eu
cd "$(dirname "$0")"
RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"
export RUSTFLAGS
# With a target named, the flags are not those of build scripts.
host=$(rustc -vV | sed -n 's/^host: //p')
cargo build --quiet --release --locked --target "$host" --target-dir ../../target/fuzz
echo "$PWD/../../target/fuzz/$host/release"
