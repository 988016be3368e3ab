#!/usr/bin/env bash
# Reads what a real server tells of itself with the libraries of those who defined the formats: run.sh ALMONER. Without
# its name it only installs them.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${ALMONER_CLIENTS_DIR:-$here/../../../target/clients}/observers
mkdir -p "$dir"

[ -x "$dir/bin/python" ] || python3 -m venv "$dir"
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
[ $# -gt 0 ] || exit 0
exec "$dir/bin/python" "$here/observers.py" "$1"
