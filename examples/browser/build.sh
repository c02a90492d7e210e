#!/bin/sh
# Installs what the page needs, generates the code of the protos, which are in the folder protos, and
# makes one script of everything, beside the page.
set -eu
npm ci --ignore-scripts --silent
buf generate
node_modules/.bin/esbuild src/main.js --bundle --minify --format=esm --outfile=main.js --log-level=warning
