#!/bin/sh
# Installs what a lock file lists into .venv, and shows how far it is.
#
# pip by itself shows either nothing or several lines for each package.
set -eu
count=$(grep -c '^[a-z]' "$1")
echo "installing $count Python packages of $1"
log=.venv/pip.log
.venv/bin/python -m pip install --disable-pip-version-check --progress-bar off --requirement "$1" > "$log" 2>&1 &
pip=$!
trap 'kill $pip' INT TERM
shown=
while kill -0 $pip 2> /dev/null; do
    done=$(grep -c '^\(Collecting\|Requirement already satisfied:\)' "$log" || true)
    line="  $done of $count"
    grep -q '^Installing collected packages' "$log" && line="  unpacking"
    if [ "$line" != "$shown" ]; then
        echo "$line"
        shown=$line
    fi
    sleep 2
done
wait $pip || { status=$?; cat "$log" >&2; exit $status; }
