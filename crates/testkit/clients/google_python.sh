#!/usr/bin/env bash
# Google's Python SDK.
source "$(dirname "$0")/common"
"$dir/venv/bin/python" "$here/google_python.py"
