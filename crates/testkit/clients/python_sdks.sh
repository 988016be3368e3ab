#!/usr/bin/env bash
# The Python SDKs of Anthropic and OpenAI.
source "$(dirname "$0")/common"
"$dir/venv/bin/python" "$here/python_sdks.py"
