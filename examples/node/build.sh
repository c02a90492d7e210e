#!/bin/sh
# Installs what the program needs. No code is generated: it reads the protos, which are in the folder
# protos, when it starts.
set -eu
npm ci --ignore-scripts --silent
