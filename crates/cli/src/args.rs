//! The command line: what can be said, and its help.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::examples;

/// Almoner hands LLM agents their allowance, and keeps the accounts.
#[derive(Debug, Parser)]
#[command(name = "almoner", version, about, arg_required_else_help = true, max_term_width = 100)]
#[command(after_help = examples::FIRST)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) common: Common,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Args, Clone, Debug)]
pub(crate) struct Common {
    /// The configuration file; without it ./almoner.toml, then the user's configuration folder.
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// The folder of the ledger and the control socket.
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) state: Option<PathBuf>,
    /// Print facts as JSON.
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Stand between agents and providers, and keep every budget.
    #[command(after_help = examples::SERVE)]
    Serve(Serve),
    /// Run one command with an allowance of its own.
    #[command(after_help = examples::EXEC)]
    Exec(Exec),
    /// Show how things stand.
    #[command(after_help = examples::STATUS)]
    Status,
    /// Have the server read its configuration again. Calls that run go on as they began.
    #[command(after_help = examples::RELOAD)]
    Reload,
    /// Print the page that Prometheus reads.
    #[command(after_help = examples::METRICS)]
    Metrics,
    /// Show and change budgets.
    #[command(after_help = examples::BUDGETS)]
    #[command(subcommand)]
    Budgets(Budgets),
    /// Make, list, rotate and revoke keys: who calls, with which budget, for which models.
    #[command(after_help = examples::KEYS)]
    #[command(subcommand)]
    Keys(Keys),
    /// Make, list and revoke tokens: who may ask the server over the network, and what for.
    #[command(after_help = examples::TOKEN)]
    #[command(subcommand)]
    Token(Token),
    /// Show what calls consumed, by labels and by time, or book what did not pass Almoner.
    #[command(after_help = examples::USAGE)]
    Usage(Usage),
    /// Show what was said to calls, the newest first.
    #[command(after_help = examples::DECISIONS)]
    Decisions(Decisions),
    /// Show what happened: levels, refusals, changed budgets and keys, providers that are down.
    #[command(after_help = examples::EVENTS)]
    Events(Events),
    /// Show what was decided about a call, and from which numbers.
    #[command(after_help = examples::EXPLAIN)]
    Explain {
        /// The call's id, as the header `x-almoner-call` of its answer has it.
        id: String,
    },
    /// Show what is set aside for calls in flight, and what is charged without news.
    #[command(after_help = examples::HOLDS)]
    #[command(subcommand)]
    Holds(Holds),
    /// Book the truth about a call that ended without news.
    #[command(after_help = examples::CORRECT)]
    Correct(Correct),
    /// Print the OpenAPI document of the REST interface.
    #[command(after_help = examples::OPENAPI)]
    Openapi,
    /// Read recorded exchanges and print what they used, one JSON object a file.
    #[command(after_help = examples::METER)]
    Meter {
        /// Exchanges, one JSON object each.
        #[arg(required = true, value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Show and check the price book.
    #[command(after_help = examples::PRICES)]
    #[command(subcommand)]
    Prices(Prices),
    /// Check and print the configuration.
    #[command(after_help = examples::CONFIG)]
    #[command(subcommand)]
    Config(Config),
    /// Print what a shell needs to complete commands.
    #[command(after_help = examples::COMPLETIONS)]
    Completions {
        /// The shell.
        shell: Shell,
    },
    /// Print the manual page, or write one for each command into a folder.
    #[command(after_help = examples::MAN)]
    Man {
        /// The folder.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
    /// Check and mend the ledger's files, while no server runs.
    #[command(after_help = examples::LEDGER)]
    #[command(subcommand)]
    Ledger(Ledger),
}

/// A shell that can be told how commands go on.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Shell {
    /// The GNU Bourne-again shell.
    Bash,
    /// The Z shell.
    Zsh,
    /// The friendly interactive shell.
    Fish,
}

#[derive(Args, Debug)]
pub(crate) struct Serve {
    /// The address to listen on; on another than loopback every call needs a key.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) listen: Option<String>,
    /// Let whoever is on this machine call without a key, with a credential of their own: the default on loopback.
    #[arg(long)]
    pub(crate) personal: bool,
    /// Refuse calls without a key.
    #[arg(long, conflicts_with = "personal")]
    pub(crate) require_key: bool,
    /// Keep accounts, but let every call pass.
    #[arg(long)]
    pub(crate) no_budgets: bool,
    /// Refuse calls with a part that cannot be bounded.
    #[arg(long)]
    pub(crate) strict: bool,
    /// Stop when nobody has used the server for so long, such as `10m`.
    #[arg(long, value_name = "SPAN")]
    pub(crate) idle_exit: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Exec {
    /// What the command may spend in dollars, such as '$2'.
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) budget: Option<String>,
    /// What the command may use in tokens, cache reads included, such as 100k.
    #[arg(long, value_name = "COUNT")]
    pub(crate) tokens: Option<String>,
    /// Cut running answers once the allowance is spent; without it they may finish.
    #[arg(long)]
    pub(crate) kill: bool,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Budgets {
    /// List every account with what is spent and left.
    #[command(after_help = examples::BUDGETS_LIST)]
    List,
    /// Show the accounts of one budget.
    #[command(after_help = examples::BUDGETS_SHOW)]
    Show {
        /// The budget's name.
        budget: String,
    },
    /// Change the limits or the mode of a budget, until the server next reads its configuration.
    #[command(after_help = examples::BUDGETS_SET)]
    Set {
        /// The budget's name.
        budget: String,
        /// Its limits from now on, such as '$5 / day'; they replace the ones it has.
        #[arg(value_name = "LIMIT")]
        limits: Vec<String>,
        /// Its mode from now on: warn, throttle, stop-new or kill-running.
        #[arg(long)]
        mode: Option<String>,
    },
    /// Forget what a budget has spent and assumed; calls in flight stay held.
    #[command(after_help = examples::BUDGETS_RESET)]
    Reset {
        /// The budget's name.
        budget: String,
        /// Only the account with this label, such as session=abc; may be given again.
        #[arg(long, value_name = "LABEL=VALUE")]
        per: Vec<String>,
        /// Why, for the audit.
        #[arg(long, default_value = "reset by hand")]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Keys {
    /// Make a key. Its secret is shown once, alone on standard output.
    #[command(after_help = examples::KEYS_CREATE)]
    Create(Box<CreateKey>),
    /// List the keys that are good, with what is left of their budgets.
    #[command(after_help = examples::KEYS_LIST)]
    List {
        /// Also those that have expired or were revoked.
        #[arg(long)]
        all: bool,
    },
    /// Show all that is known of a key, and what was done to it.
    #[command(after_help = examples::KEYS_SHOW)]
    Show {
        /// The key's name or id.
        key: String,
    },
    /// Give a key another secret. Its budget, its labels and what it has spent stay.
    #[command(after_help = examples::KEYS_ROTATE)]
    Rotate {
        /// The key's name or id.
        key: String,
        /// How long the secret that it has stays good, such as 24h; by default it ends at once.
        #[arg(long, value_name = "SPAN")]
        grace: Option<String>,
    },
    /// End a key at once. What runs with it may finish.
    #[command(after_help = examples::KEYS_REVOKE)]
    Revoke {
        /// The key's name or id.
        key: String,
        /// Cut what runs with it.
        #[arg(long)]
        kill: bool,
    },
}

#[derive(Args, Debug)]
pub(crate) struct CreateKey {
    /// What people call it: letters, digits, `-`, `_` and `.`, unique among the keys that are good.
    pub(crate) name: String,
    /// Its team: the label `team` of all its calls.
    #[arg(long)]
    pub(crate) team: Option<String>,
    /// Its user: the label `user` of all its calls.
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// Another label of all its calls, such as tag.project=x; may be given again.
    #[arg(long, value_name = "LABEL=VALUE")]
    pub(crate) label: Vec<String>,
    /// A limit of a budget of its own, such as '$5 / day' or '1M tokens / sliding 1h'; may be given again.
    #[arg(long, value_name = "LIMIT")]
    pub(crate) budget: Vec<String>,
    /// The mode of that budget: warn, throttle, stop-new or kill-running. By default stop-new.
    #[arg(long)]
    pub(crate) mode: Option<String>,
    /// A model that it may use, or a pattern such as 'claude-*'; may be given again. Without it: every model.
    #[arg(long, value_name = "PATTERN")]
    pub(crate) model: Vec<String>,
    /// When it ends by itself: a span such as 90d, a date in UTC, or never.
    #[arg(long, value_name = "WHEN", default_value = "never")]
    pub(crate) expires: String,
    /// The highest priority that its calls may have: low, normal, high or critical. By default high.
    #[arg(long, value_name = "PRIORITY")]
    pub(crate) priority_max: Option<String>,
    /// What it is for, in words.
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) note: String,
    /// How many requests may go with it in a minute; calls beyond them wait for their turn.
    #[arg(long, value_name = "REQUESTS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) rpm: Option<u64>,
    /// How many tokens may be used with it in a minute.
    #[arg(long, value_name = "TOKENS", value_parser = clap::value_parser!(u64).range(1..))]
    pub(crate) tpm: Option<u64>,
}

#[derive(Args, Debug)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Usage {
    #[command(subcommand)]
    pub(crate) change: Option<ChangeUsage>,
    #[command(flatten)]
    pub(crate) show: ShowUsage,
}

#[derive(Args, Debug)]
pub(crate) struct ShowUsage {
    /// A label whose values get rows of their own, such as session; may be given again.
    #[arg(long, value_name = "LABEL")]
    pub(crate) by: Vec<String>,
    /// A row for each minute, hour, day or month.
    #[arg(long, value_name = "UNIT")]
    pub(crate) bucket: Option<String>,
    /// The zone in which hours, days and months begin, such as Europe/Berlin. By default UTC.
    #[arg(long)]
    pub(crate) zone: Option<String>,
    /// From when: so long ago, such as 7d, or a date or an instant. By default all that is known.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Until when, likewise. By default until now.
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// Only calls with this label, such as session=abc; may be given again.
    #[arg(long, value_name = "LABEL=VALUE")]
    pub(crate) label: Vec<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Decisions {
    /// Only these: admitted, slow-down, refused, rejected or booked; may be given again.
    #[arg(long = "only", value_name = "DECISION")]
    pub(crate) decisions: Vec<String>,
    /// Only those that this budget decided.
    #[arg(long)]
    pub(crate) budget: Option<String>,
    /// Only calls with this label, such as session=abc; may be given again.
    #[arg(long, value_name = "LABEL=VALUE")]
    pub(crate) label: Vec<String>,
    /// From when: so long ago, such as 7d, or a date or an instant.
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Until when, likewise.
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// How many at most, up to 1000.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub(crate) limit: u32,
    /// Go on where an answer before this one ended.
    #[arg(long)]
    pub(crate) cursor: Option<String>,
}

#[derive(Args, Debug)]
pub(crate) struct Events {
    /// Only this kind, such as refused or level_changed; may be given again.
    #[arg(long)]
    pub(crate) kind: Vec<String>,
    /// Those behind the event of this number, the oldest first. By default the latest.
    #[arg(long, value_name = "NUMBER")]
    pub(crate) after: Option<u64>,
    /// How many at most, up to 1000.
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    pub(crate) limit: u32,
    /// Wait for more, and show each as it happens; with --json one object a line.
    #[arg(long)]
    pub(crate) follow: bool,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Token {
    /// Print the admin's token, which the server makes when it first starts.
    #[command(after_help = examples::TOKEN_SHOW)]
    Show,
    /// Make a token. Its secret is shown once, alone on standard output.
    #[command(after_help = examples::TOKEN_CREATE)]
    Create {
        /// What people call it: letters, digits, `-`, `_` and `.`; what is done with it carries this name.
        name: String,
        /// What it may do: viewer looks; operator also resets, corrects, adds usage, rotates and revokes keys; admin
        /// does all.
        #[arg(long, value_name = "ROLE", value_parser = ["viewer", "operator", "admin"])]
        role: String,
        /// When it ends by itself: a span such as 90d, a date in UTC, or never.
        #[arg(long, value_name = "WHEN", default_value = "never")]
        expires: String,
        /// What it is for, in words.
        #[arg(long, default_value = "", hide_default_value = true)]
        note: String,
    },
    /// List the tokens, without their secrets.
    #[command(after_help = examples::TOKEN_LIST)]
    List,
    /// End a token at once.
    #[command(after_help = examples::TOKEN_REVOKE)]
    Revoke {
        /// The token's name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum ChangeUsage {
    /// Count usage on every budget that its labels touch.
    #[command(after_help = examples::USAGE_ADD)]
    Add {
        /// Input tokens.
        #[arg(long, default_value_t = 0)]
        input: u64,
        /// Output tokens.
        #[arg(long, default_value_t = 0)]
        output: u64,
        /// The cost, such as '$0.25'.
        #[arg(long, value_name = "DOLLARS")]
        cost: String,
        /// A label, such as session=abc; may be given again.
        #[arg(long, value_name = "LABEL=VALUE")]
        label: Vec<String>,
        /// Why, for the audit.
        #[arg(long)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum Holds {
    /// List open holds, and those that are charged without news.
    #[command(after_help = examples::HOLDS_LIST)]
    List,
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("truth").required(true).multiple(true).args(["cost", "input", "unspent"]))]
pub(crate) struct Correct {
    /// The call's id; `almoner holds list` shows those without news.
    pub(crate) id: String,
    /// What the call really cost, such as '$0.25'.
    #[arg(long, value_name = "DOLLARS")]
    pub(crate) cost: Option<String>,
    /// Its input tokens, those of caches left out. Without --cost the price book of the call's day says what they cost.
    #[arg(long, value_name = "TOKENS", requires = "output")]
    pub(crate) input: Option<u64>,
    /// Its output tokens, reasoning included.
    #[arg(long, value_name = "TOKENS", requires = "input")]
    pub(crate) output: Option<u64>,
    /// Input tokens read from a cache.
    #[arg(long, value_name = "TOKENS", requires = "input", default_value_t = 0)]
    pub(crate) cache_read: u64,
    /// Input tokens written to a cache for five minutes.
    #[arg(long = "cache-write-5m", value_name = "TOKENS", requires = "input", default_value_t = 0)]
    pub(crate) cache_write_5m: u64,
    /// Input tokens written to a cache for an hour.
    #[arg(long = "cache-write-1h", value_name = "TOKENS", requires = "input", default_value_t = 0)]
    pub(crate) cache_write_1h: u64,
    /// The call spent nothing.
    #[arg(long, conflicts_with_all = ["cost", "input"])]
    pub(crate) unspent: bool,
    /// How you know, for the audit.
    #[arg(long)]
    pub(crate) reason: String,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Prices {
    /// Show what a model costs, or every model.
    #[command(after_help = examples::PRICES_SHOW)]
    Show {
        /// The model.
        model: Option<String>,
    },
    /// Look for prices that are stale or hardly right.
    #[command(after_help = examples::PRICES_CHECK)]
    Check,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Config {
    /// Say what is wrong with the configuration, or that nothing is.
    #[command(after_help = examples::CONFIG_CHECK)]
    Check,
    /// Print every setting in force, the defaults too, and where each comes from.
    #[command(after_help = examples::CONFIG_PRINT)]
    Print,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Ledger {
    /// Check every row of the ledger, changing nothing.
    #[command(after_help = examples::LEDGER_VERIFY)]
    Verify,
    /// Cut the ledger back to its last good row.
    #[command(after_help = examples::LEDGER_REPAIR)]
    Repair(Repair),
}

#[derive(Args, Debug)]
#[command(group = clap::ArgGroup::new("how").required(true))]
pub(crate) struct Repair {
    /// Treat what was lost as spent: every limit is charged in full until its window ends.
    #[arg(long, group = "how")]
    pub(crate) charge_gap: bool,
    /// Treat what was lost as never spent. Budgets may be overrun by it.
    #[arg(long, group = "how")]
    pub(crate) accept_loss: bool,
}
