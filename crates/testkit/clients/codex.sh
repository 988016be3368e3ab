#!/usr/bin/env bash
# Codex: a prompt, a tool loop that really runs a command, a long stream, a socket that is refused, a hang-up, and no
# money.
source "$(dirname "$0")/common"

: >"$scratch/sent"
start node "$here/counter.mjs" "$ALMONER_BASE_URL" "$scratch/sent"
mkdir -p "$scratch/home/.codex" "$scratch/project"

# How Codex is told of the server: as a provider of its own, or as another address of OpenAI's, which it first asks for
# a socket.
own=(-c 'model_provider="gw"' -c "model_providers.gw={name=\"gw\",base_url=\"http://$address/v1\",env_key=\"GW_KEY\",wire_api=\"responses\"}")
openai=(-c "openai_base_url=\"http://$address/v1\"")
way=("${own[@]}")

# Runs Codex on a prompt with nothing of its caller's; its events land in `said`, its status in `status`, the number of
# requests it sent in `sent`.
codex() {
  local key=$1 prompt=$2
  shift 2
  : >"$scratch/sent"
  status=0
  (cd "$scratch/project" && env -i PATH="$PATH" HOME="$scratch/home" TMPDIR="$scratch" GW_KEY="$key" CODEX_API_KEY="$key" \
    ${until:-timeout 90} "$dir/node_modules/.bin/codex" exec --json --skip-git-repo-check \
    --dangerously-bypass-approvals-and-sandbox -m rehearsal "${way[@]}" "$@" "$prompt" \
    </dev/null >"$scratch/said" 2>"$scratch/complaints") || status=$?
  said=$(cat "$scratch/said")
  sent=$(wc -l <"$scratch/sent")
}

# What Codex's events say of this member: the last text of that name.
last() {
  node -e 'const [, name] = process.argv; let last = "";
    for (const line of require("fs").readFileSync(0, "utf8").split("\n")) {
      try { const { item } = JSON.parse(line); if (item?.type === "agent_message") last = item[name]; } catch {}
    }
    process.stdout.write(String(last));' "$1" <"$scratch/said"
}

codex "$ALMONER_KEY" "say: hello there"
check codex_prompt "$(last text)" = "hello there"
check codex_prompt_sends_one_request "$sent" -eq 1
check codex_prompt_usage "$(grep -c '"type":"turn.completed".*"output_tokens":2,' "$scratch/said")" -eq 1

codex "$ALMONER_KEY" 'Please run `echo rehearsed | tee made.txt`.'
check codex_tool_loop "$(last text)" = "The tool answered: rehearsed"
check codex_tool_loop_ran "$(cat "$scratch/project/made.txt" 2>/dev/null)" = rehearsed
check codex_tool_loop_sends_two_requests "$sent" -eq 2

codex "$ALMONER_KEY" "words: 3000"
check codex_long_stream "$(last text | wc -w)" -eq 3000

way=("${openai[@]}")
codex "$ALMONER_KEY" "say: over the wire"
check codex_falls_back_from_a_socket "$(last text)" = "over the wire"
check codex_falls_back_at_once "$(grep -c Reconnecting "$scratch/said")" -eq 0
way=("${own[@]}")

until="$hang_up" codex "$ALMONER_KEY" "words: 40000"
check codex_hang_up "$status" -ne 0
codex "$ALMONER_KEY" "say: still here"
check codex_hang_up_and_go_on "$(last text)" = "still here"

if [ -n "${ALMONER_EMPTY_KEY:-}" ]; then
  codex "$ALMONER_EMPTY_KEY" "say: never"
  check codex_no_money_says_why -n "$(grep turn.failed "$scratch/said" | grep 'Almoner: ')"
else
  codex "$ALMONER_KEY" "fail: 429"
fi
check codex_no_money_fails "$status" -ne 0
check codex_no_money_sends_one_request "$sent" -eq 1
exit "$failed"
