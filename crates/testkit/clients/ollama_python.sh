#!/usr/bin/env bash
# Ollama's Python client.
source "$(dirname "$0")/common"
"$dir/venv/bin/python" "$here/ollama_python.py"
