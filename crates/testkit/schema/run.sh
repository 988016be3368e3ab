#!/usr/bin/env bash
# Asks a running server everything that its OpenAPI document allows, and what it does not: run.sh URL TOKEN [ARGS].
# A stream of events has no end, so it is left out.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=${ALMONER_CLIENTS_DIR:-$here/../../../target/clients}/schema
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
url=$1 token=$2
shift 2

[ -x "$dir/bin/python" ] || python3 -m venv "$dir"
"$dir/bin/python" -m pip install --quiet --disable-pip-version-check -r "$here/requirements.txt"
# What it remembers of a run stays beside it, outside the sources.
cd "$dir"
"$dir/bin/schemathesis" --config-file "$here/schemathesis.toml" run "$url/api/v1/openapi.json" \
  --header "Authorization: Bearer $token" --exclude-path /api/v1/events --seed 1 --no-color "$@"
