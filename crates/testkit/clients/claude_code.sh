#!/usr/bin/env bash
# Claude Code: a prompt, a prompt told in events, a tool loop that really runs a command, a long stream, a
# hang-up, and no money.
source "$(dirname "$0")/common"

: >"$scratch/sent"
start node "$here/counter.mjs" "$ALMONER_BASE_URL" "$scratch/sent"
mkdir "$scratch/home" "$scratch/project"

# Runs Claude Code on a prompt with nothing of its caller's; its words land in `said`, its status in `status`, the
# number of requests it sent in `sent`.
claude() {
  local key=$1 prompt=$2
  shift 2
  : >"$scratch/sent"
  status=0
  (cd "$scratch/project" && env -i PATH="$PATH" HOME="$scratch/home" TMPDIR="$scratch" IS_SANDBOX=1 \
    CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC=1 DISABLE_AUTOUPDATER=1 DISABLE_TELEMETRY=1 DISABLE_ERROR_REPORTING=1 \
    ANTHROPIC_BASE_URL="http://$address" ANTHROPIC_API_KEY="$key" ANTHROPIC_DEFAULT_HAIKU_MODEL=rehearsal \
    ${until:-timeout 90} "$dir/node_modules/.bin/claude" --model rehearsal --dangerously-skip-permissions -p "$prompt" "$@" \
    </dev/null >"$scratch/said" 2>"$scratch/complaints") || status=$?
  said=$(cat "$scratch/said")
  sent=$(wc -l <"$scratch/sent")
}

claude "$ALMONER_KEY" "say: hello there"
check claude_code_prompt "$said" = "hello there"
check claude_code_prompt_sends_one_request "$sent" -eq 1

claude "$ALMONER_KEY" "say: one two three" --output-format stream-json --verbose --include-partial-messages
check claude_code_events "$(grep -c '"result":"one two three"' "$scratch/said")" -eq 1
check claude_code_events_usage "$(grep '"type":"result"' "$scratch/said" | grep -c '"output_tokens":3,')" -eq 1

claude "$ALMONER_KEY" 'Please run `echo rehearsed | tee made.txt`.'
check claude_code_tool_loop "$said" = "The tool answered: rehearsed"
check claude_code_tool_loop_ran "$(cat "$scratch/project/made.txt" 2>/dev/null)" = rehearsed
check claude_code_tool_loop_sends_two_requests "$sent" -eq 2

claude "$ALMONER_KEY" "words: 3000"
check claude_code_long_stream "$(wc -w <"$scratch/said")" -eq 3000

until="$hang_up" claude "$ALMONER_KEY" "words: 40000"
check claude_code_hang_up "$status" -ne 0
check claude_code_hang_up_was_in_the_middle "$sent" -eq 1
claude "$ALMONER_KEY" "say: still here"
check claude_code_hang_up_and_go_on "$said" = "still here"

if [ -n "${ALMONER_EMPTY_KEY:-}" ]; then
  claude "$ALMONER_EMPTY_KEY" "say: never"
else
  claude "$ALMONER_KEY" "fail: 402"
fi
check claude_code_no_money_fails "$status" -ne 0
check claude_code_no_money_sends_one_request "$sent" -eq 1
check claude_code_no_money_says_why -n "$(grep 402 "$scratch/said")"
exit "$failed"
