#!/usr/bin/env bash
# Installs the real clients at their pinned versions, outside the sources.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${ALMONER_CLIENTS_DIR:-$here/../../../target/clients}

mkdir -p "$dir"
cp "$here/package.json" "$here/package-lock.json" "$here/.npmrc" "$dir/"
(cd "$dir" && npm ci --no-audit --no-fund)

# An environment that is there already is only brought up to date.
[ -x "$dir/venv/bin/python" ] || python3 -m venv "$dir/venv"
"$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
echo "the clients are installed"
