#!/usr/bin/env bash
# Google's Node SDK.
source "$(dirname "$0")/common"
# A module finds its packages beside itself, and the packages are not among the sources.
cp "$here/stories.mjs" "$here/google_node.mjs" "$dir/"
node "$dir/google_node.mjs"
