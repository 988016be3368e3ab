#!/usr/bin/env bash
# setup.sh FOLDER PEER: installs another gateway at its pinned version into FOLDER/PEER, outside the sources.
#
# Every package is pinned, and every step ends by itself. What is there already at these pins is left as it is.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
dir=$1/$2
bound() { timeout --kill-after=5 600 "$@"; }

mkdir -p "$dir"
case $2 in
litellm | burnlens | hardcap)
    pins=$here/$2.txt
    cmp --silent "$pins" "$dir/installed" && exit
    [ -x "$dir/bin/python" ] || bound python3 -m venv "$dir"
    bound "$dir/bin/python" -m pip install --quiet --no-deps --disable-pip-version-check -r "$pins"
    ;;
portkey | claude-code-router)
    pins=$here/$2/package-lock.json
    cmp --silent "$pins" "$dir/installed" && exit
    cp "$here/$2/package.json" "$pins" "$here/$2/.npmrc" "$dir/"
    (cd "$dir" && bound npm ci --ignore-scripts --no-audit --no-fund --loglevel=error)
    ;;
*)
    echo "no peer is called $2" >&2
    exit 2
    ;;
esac
cp "$pins" "$dir/installed"
