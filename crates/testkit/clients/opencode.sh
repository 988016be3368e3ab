#!/usr/bin/env bash
# opencode: a prompt, a tool loop that really runs a command, a long stream, a hang-up, and no money.
source "$(dirname "$0")/common"

# The program itself: the package in front of it names programs for machines that not every registry has.
program=$dir/node_modules/opencode-linux-x64/bin/opencode
[ -x "$program" ] || { echo "skipped: opencode is not installed for this machine"; exit 0; }

: >"$scratch/sent"
start node "$here/counter.mjs" "$ALMONER_BASE_URL" "$scratch/sent"
mkdir -p "$scratch/home" "$scratch/project"
git -C "$scratch/project" init --quiet

# Runs opencode on a prompt with nothing of its caller's; its events land in `said`, its status in `status`, the number
# of requests it sent in `sent`. It asks for a title beside every first turn, and puts a prompt among its arguments into
# quotes, so that one comes by its input.
opencode() {
  local key=$1 prompt=$2
  cat >"$scratch/project/opencode.json" <<CONFIG
{ "share": "disabled", "autoupdate": false, "permission": "allow", "model": "gw/rehearsal", "small_model": "gw/rehearsal",
  "provider": { "gw": { "npm": "@ai-sdk/openai-compatible", "name": "gw", "models": { "rehearsal": { "name": "rehearsal" } },
    "options": { "baseURL": "http://$address/v1", "apiKey": "$key" } } } }
CONFIG
  : >"$scratch/sent"
  status=0
  (cd "$scratch/project" && env -i PATH="$PATH" HOME="$scratch/home" TMPDIR="$scratch" OPENCODE_DISABLE_AUTOUPDATE=1 \
    OPENCODE_DISABLE_MODELS_FETCH=1 OPENCODE_DISABLE_LSP_DOWNLOAD=1 OPENCODE_DISABLE_DEFAULT_PLUGINS=1 \
    ${until:-timeout 90} "$program" run --format json \
    <<<"$prompt" >"$scratch/said" 2>"$scratch/complaints") || status=$?
  said=$(cat "$scratch/said")
  sent=$(wc -l <"$scratch/sent")
}

# All that opencode's events say as text.
text() {
  node -e 'for (const line of require("fs").readFileSync(0, "utf8").split("\n")) {
      try { const event = JSON.parse(line); if (event.type === "text") process.stdout.write(event.part.text); } catch {}
    }' <"$scratch/said"
}

opencode "$ALMONER_KEY" "say: hello there"
check opencode_prompt "$(text)" = "hello there"
check opencode_prompt_sends_two_requests "$sent" -eq 2

opencode "$ALMONER_KEY" 'Please run `echo rehearsed | tee made.txt`.'
check opencode_tool_loop "$(text | grep -c 'The tool answered: rehearsed')" -ge 1
check opencode_tool_loop_ran "$(cat "$scratch/project/made.txt" 2>/dev/null)" = rehearsed

opencode "$ALMONER_KEY" "words: 3000"
check opencode_long_stream "$(text | wc -w)" -eq 3000

until="$hang_up" opencode "$ALMONER_KEY" "words: 40000"
check opencode_hang_up "$status" -ne 0
opencode "$ALMONER_KEY" "say: still here"
check opencode_hang_up_and_go_on "$(text)" = "still here"

if [ -n "${ALMONER_EMPTY_KEY:-}" ]; then
  opencode "$ALMONER_EMPTY_KEY" "say: never"
  check opencode_no_money_says_why -n "$(grep -h 'Almoner: ' "$scratch/said" "$scratch/complaints")"
else
  opencode "$ALMONER_KEY" "fail: 402"
fi
check opencode_no_money_fails "$status" -ne 0
# Its turn and its title. It takes the digits of a status such as 500, anywhere in an error, for that status, and would
# send its turn five times more, so that no refusal has them.
check opencode_no_money_sends_two_requests "$sent" -le 2
exit "$failed"
