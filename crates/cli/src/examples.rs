//! One to three examples for the help of each command, as a person would type them.

/// The first steps of somebody who types nothing but the name.
pub(crate) const FIRST: &str = r#"Examples:
  almoner serve                                            # in one terminal
  almoner exec --budget '$2' -- claude -p "fix the tests"  # in another
  almoner status"#;
pub(crate) const SERVE: &str = r"Examples:
  almoner serve
  almoner serve --config almoner.toml --listen 127.0.0.1:4242
  almoner serve --no-budgets --state /tmp/trial     # keep accounts, refuse nothing";
pub(crate) const EXEC: &str = r#"Examples:
  almoner exec --budget '$2' -- claude -p "fix the tests"
  almoner exec --tokens 100k --kill -- python my_agent.py"#;
pub(crate) const STATUS: &str = r#"Examples:
  almoner status
  almoner status --json | jq '.accounts[] | select(.level != "none") | .account'"#;
pub(crate) const RELOAD: &str = r"Examples:
  almoner reload
  almoner reload --json";
pub(crate) const METRICS: &str = r"Examples:
  almoner metrics
  almoner metrics | grep ^almoner_overrun_usd_total     # should read 0";
pub(crate) const BUDGETS: &str = r"Examples:
  almoner budgets list
  almoner budgets set team '$10 / day' '1M tokens / day'";
pub(crate) const KEYS: &str = r"Examples:
  KEY=$(almoner keys create ci --team red --budget '$5 / day')
  almoner keys list";
pub(crate) const KEYS_CREATE: &str = r"Examples:
  KEY=$(almoner keys create ci --team red --budget '$5 / day')
  almoner keys create ann --user ann --model 'claude-haiku-*' --expires 90d
  almoner keys create pager --priority-max critical --json";
pub(crate) const KEYS_LIST: &str = r"Examples:
  almoner keys list
  almoner keys list --all --json";
pub(crate) const KEYS_SHOW: &str = r"Examples:
  almoner keys show ci
  almoner keys show ci --json";
pub(crate) const KEYS_ROTATE: &str = r"Examples:
  KEY=$(almoner keys rotate ci)
  almoner keys rotate ci --grace 24h";
pub(crate) const KEYS_REVOKE: &str = r"Examples:
  almoner keys revoke ci
  almoner keys revoke ci --kill";
pub(crate) const TOKEN: &str = r"Examples:
  almoner token show                                 # sent as `authorization: Bearer TOKEN`
  almoner token create board --role viewer";
pub(crate) const TOKEN_SHOW: &str = r"Examples:
  almoner token show";
pub(crate) const TOKEN_CREATE: &str = r"Examples:
  TOKEN=$(almoner token create board --role viewer)
  almoner token create deploy --role operator --expires 90d --json";
pub(crate) const TOKEN_LIST: &str = r"Examples:
  almoner token list
  almoner token list --json";
pub(crate) const TOKEN_REVOKE: &str = r"Examples:
  almoner token revoke board";
pub(crate) const OPENAPI: &str = r"Examples:
  almoner openapi > openapi.json";
pub(crate) const USAGE: &str = r#"Examples:
  almoner usage --by session --since 7d
  almoner usage --by model --by team --bucket day --zone Europe/Berlin
  almoner usage add --cost '$1.20' --label session=worker_1 --reason "ran outside""#;
pub(crate) const DECISIONS: &str = r"Examples:
  almoner decisions
  almoner decisions --only refused --only slow-down --since 1d
  almoner decisions --label session=abc --json";
pub(crate) const EVENTS: &str = r"Examples:
  almoner events
  almoner events --follow --kind refused --kind level_changed
  almoner events --after 1795500000000 --json";
pub(crate) const EXPLAIN: &str = r"Examples:
  almoner explain 01a20955-985f-7f09-8c96-dcc8be37073e
  almoner explain 01a20955-985f-7f09-8c96-dcc8be37073e --json";
pub(crate) const HOLDS: &str = r"Examples:
  almoner holds list";
pub(crate) const CORRECT: &str = r#"Examples:
  almoner correct ID --cost '$0.12' --reason "from the provider's console"
  almoner correct ID --unspent --reason "the provider has no such request""#;
pub(crate) const METER: &str = r"Examples:
  almoner meter exchanges/*.json";
pub(crate) const PRICES: &str = r"Examples:
  almoner prices show claude-sonnet-4-5
  almoner prices check";
pub(crate) const CONFIG: &str = r"Examples:
  almoner config check
  almoner config print --config almoner.toml";
pub(crate) const COMPLETIONS: &str = r"Examples:
  almoner completions bash > ~/.local/share/bash-completion/completions/almoner
  almoner completions zsh > ~/.zfunc/_almoner          # a folder of your $fpath
  almoner completions fish > ~/.config/fish/completions/almoner.fish";
pub(crate) const MAN: &str = r"Examples:
  almoner man | man -l -
  almoner man --out ~/.local/share/man/man1";
pub(crate) const LEDGER: &str = r"Examples:
  almoner ledger verify
  almoner ledger repair --charge-gap";
pub(crate) const BUDGETS_LIST: &str = r"Examples:
  almoner budgets list
  almoner budgets list --json";
pub(crate) const BUDGETS_SHOW: &str = r#"Examples:
  almoner budgets show "each session""#;
pub(crate) const BUDGETS_SET: &str = r"Examples:
  almoner budgets set team '$10 / day' '1M tokens / day'
  almoner budgets set team --mode throttle";
pub(crate) const BUDGETS_RESET: &str = r#"Examples:
  almoner budgets reset team --reason "new month"
  almoner budgets reset "each session" --per session=worker_1"#;
pub(crate) const USAGE_ADD: &str = r#"Examples:
  almoner usage add --cost '$1.20' --input 90000 --output 4000 --label session=worker_1 --reason "ran outside""#;
pub(crate) const HOLDS_LIST: &str = r"Examples:
  almoner holds list
  almoner holds list --json";
pub(crate) const PRICES_SHOW: &str = r"Examples:
  almoner prices show
  almoner prices show claude-sonnet-4-5";
pub(crate) const PRICES_CHECK: &str = r"Examples:
  almoner prices check";
pub(crate) const CONFIG_CHECK: &str = r"Examples:
  almoner config check
  almoner config check --config almoner.toml";
pub(crate) const CONFIG_PRINT: &str = r"Examples:
  almoner config print
  almoner config print --json";
pub(crate) const LEDGER_VERIFY: &str = r"Examples:
  almoner ledger verify
  almoner ledger verify --state /tmp/trial";
pub(crate) const LEDGER_REPAIR: &str = r"Examples:
  almoner ledger repair --charge-gap";

#[cfg(test)]
mod tests {
    use crate::args::Cli;
    use clap::{Command, CommandFactory, Parser};

    /// The words of a line, as a shell parts them; what stands behind ` | `, ` # ` or ` > ` is no part of the command.
    fn words(line: &str) -> Vec<String> {
        let line = [" | ", " # ", " > "].iter().fold(line, |line, end| line.split(end).next().unwrap_or(line));
        let line = line.split_once("=$(").and_then(|(_, inner)| inner.strip_suffix(')')).unwrap_or(line);
        let (mut words, mut word, mut quote) = (Vec::new(), String::new(), None);
        for c in line.trim().chars().chain([' ']) {
            match (c, quote) {
                (c, Some(open)) if c == open => quote = None,
                ('\'' | '"', None) => quote = Some(c),
                (' ', None) if word.is_empty() => {}
                (' ', None) => words.push(std::mem::take(&mut word)),
                (c, _) => word.push(c),
            }
        }
        words
    }

    fn check(command: &Command, path: &str) -> usize {
        let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let examples: Vec<&str> = help.lines().skip(1).collect();
        assert!(help.starts_with("Examples:\n") && (1..=3).contains(&examples.len()), "{path}: {help}");
        for example in &examples {
            let words = words(example);
            assert!(words.join(" ").starts_with(path), "{example} is no example of {path}");
            let parsed = Cli::try_parse_from(&words);
            assert!(parsed.is_ok(), "{example}: {}", parsed.unwrap_err());
        }
        let below = command.get_subcommands().filter(|below| below.get_name() != "help");
        1 + below.map(|below| check(below, &format!("{path} {}", below.get_name()))).sum::<usize>()
    }

    #[test]
    fn every_command_shows_examples_that_can_be_typed() {
        let mut cli = Cli::command();
        cli.build();
        assert!(check(&cli, "almoner") > 40, "every command is looked at");
    }
}
