#!/bin/sh
# Lints the examples where they are built, in .venv/examples, since they need the code that is
# generated there. The compiler of Java does so whenever it builds; ruff lints Python with all else.
set -eu
bin=$(pwd)/.venv/bin
tsc=$(pwd)/.venv/node/node_modules/.bin/tsc

# Whether an example was built, and not left out.
built() {
    [ ! -e ".venv/examples/$1/left-out" ] || { cat ".venv/examples/$1/left-out" >&2; return 1; }
}

"$bin/mypy" --config-file tests/tools/examples.mypy.ini examples/python/costs.py
if built go; then
    unformatted=$(gofmt -l examples/go)
    [ -z "$unformatted" ] || { echo "run gofmt -w $unformatted" >&2; exit 1; }
    (cd .venv/examples/go && go vet ./...)
fi
if built rust; then
    cargo fmt --check --manifest-path examples/rust/Cargo.toml
    (cd .venv/examples/rust && cargo clippy --quiet --locked --all-targets -- --deny warnings)
fi
set -- --noEmit --allowJs --checkJs --strict false --skipLibCheck --target es2023
if built node; then
    (cd .venv/examples/node && "$tsc" "$@" --module nodenext --types node ./*.js)
fi
if built browser; then
    (cd .venv/examples/browser && "$tsc" "$@" --module esnext --moduleResolution bundler --lib es2023,dom,dom.iterable src/main.js)
fi
