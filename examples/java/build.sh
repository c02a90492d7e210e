#!/bin/sh
# Generates the code of the protos, which are in the folder protos, and compiles the program.
set -eu
mvn --quiet --batch-mode prepare-package
