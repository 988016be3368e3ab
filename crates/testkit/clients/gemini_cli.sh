#!/usr/bin/env bash
# Gemini CLI: a prompt, a long answer told in events, a tool loop that really runs a command, a hang-up, and no
# money.
source "$(dirname "$0")/common"

: >"$scratch/sent"
start node "$here/counter.mjs" "$ALMONER_BASE_URL" "$scratch/sent"
mkdir -p "$scratch/home/.gemini" "$scratch/project"
cat >"$scratch/home/.gemini/settings.json" <<'SETTINGS'
{ "privacy": { "usageStatisticsEnabled": false }, "general": { "enableAutoUpdate": false },
  "security": { "auth": { "selectedType": "gemini-api-key" } } }
SETTINGS

# Runs Gemini CLI on a prompt with nothing of its caller's; its words land in `said`, its complaints in `complaints`, its
# status in `status`, the number of requests it sent in `sent`.
gemini() {
  local key=$1 prompt=$2
  shift 2
  : >"$scratch/sent"
  status=0
  (cd "$scratch/project" && env -i PATH="$PATH" HOME="$scratch/home" TMPDIR="$scratch" GEMINI_CLI_TRUST_WORKSPACE=true \
    GOOGLE_GEMINI_BASE_URL="http://$address" GEMINI_API_KEY="$key" \
    ${until:-timeout 90} "$dir/node_modules/.bin/gemini" --yolo -p "$prompt" "$@" \
    </dev/null >"$scratch/said" 2>"$scratch/complaints") || status=$?
  said=$(cat "$scratch/said")
  sent=$(wc -l <"$scratch/sent")
}

gemini "$ALMONER_KEY" "say: hello there" --model rehearsal
check gemini_cli_prompt "$said" = "hello there"
check gemini_cli_prompt_sends_one_request "$sent" -eq 1

gemini "$ALMONER_KEY" "words: 400" --model rehearsal --output-format stream-json
check gemini_cli_long_stream "$(grep -c '"role":"assistant"' "$scratch/said")" -ge 50
check gemini_cli_long_stream_usage "$(grep '"type":"result"' "$scratch/said" | grep -c '"output_tokens":400,')" -eq 1

gemini "$ALMONER_KEY" 'Please run `echo rehearsed | tee made.txt`.' --model rehearsal
check gemini_cli_tool_loop "${said#The tool answered: }" != "$said"
check gemini_cli_tool_loop_ran "$(cat "$scratch/project/made.txt" 2>/dev/null)" = rehearsed
check gemini_cli_tool_loop_sends_two_requests "$sent" -eq 2

until="$hang_up" gemini "$ALMONER_KEY" "words: 40000" --model rehearsal
check gemini_cli_hang_up "$(wc -w <"$scratch/said")" -lt 40000
check gemini_cli_hang_up_was_in_the_middle "$sent" -eq 1
gemini "$ALMONER_KEY" "say: still here" --model rehearsal
check gemini_cli_hang_up_and_go_on "$said" = "still here"

if [ -n "${ALMONER_EMPTY_KEY:-}" ]; then
  gemini "$ALMONER_EMPTY_KEY" "say: never" --model rehearsal
else
  gemini "$ALMONER_KEY" "fail: 402" --model rehearsal
fi
check gemini_cli_no_money_fails "$status" -ne 0
check gemini_cli_no_money_sends_one_request "$sent" -eq 1
check gemini_cli_no_money_says_why -n "$(grep -h 402 "$scratch/said" "$scratch/complaints")"

if [ -n "${ALMONER_EMPTY_KEY:-}" ]; then
  # Left to itself it asks a small model first which one to use.
  gemini "$ALMONER_EMPTY_KEY" "say: never"
  check gemini_cli_no_money_at_all_fails "$status" -ne 0
  check gemini_cli_no_money_at_all_sends_two_requests "$sent" -le 2
fi
exit "$failed"
