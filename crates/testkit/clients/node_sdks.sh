#!/usr/bin/env bash
# The Node SDKs of Anthropic and OpenAI.
source "$(dirname "$0")/common"
# A module finds its packages beside itself, and the packages are not among the sources.
cp "$here/stories.mjs" "$here/node_sdks.mjs" "$dir/"
node "$dir/node_sdks.mjs"
