#!/usr/bin/env bash
# Ollama's Node client.
source "$(dirname "$0")/common"
# A module finds its packages beside itself, and the packages are not among the sources.
cp "$here/stories.mjs" "$here/ollama_node.mjs" "$dir/"
node "$dir/ollama_node.mjs"
