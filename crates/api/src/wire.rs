//! The wire: one JSON object a line, each answered by one line.

use std::io::{self, BufRead, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{
    AccountInfo, BudgetInfo, CallInfo, ConfigInfo, DecisionInfo, DecisionQuery, EventInfo, EventQuery, HoldInfo,
    KeyInfo, KeySummary, NewKey, NewToken, PaceInfo, PriceInfo, ProviderInfo, ReloadFailed, Reloaded, RouteInfo,
    ShownKey, ShownToken, ThrottleStats, TokenInfo, UsageQuery, UsageRow,
};

/// The most bytes that a line may have.
const LINE_MAX: u64 = 16 << 20;

/// The tokens that a call used, as its provider's console tells them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct UsedTokens {
    /// Input that was neither read from nor written to a cache.
    pub input: u64,
    /// Output, reasoning included.
    pub output: u64,
    /// Input read from a cache.
    pub cache_read: u64,
    /// Input written to a cache for five minutes.
    pub cache_write_5m: u64,
    /// Input written to a cache for an hour.
    pub cache_write_1h: u64,
}

/// An operation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "operation", rename_all = "snake_case", deny_unknown_fields)]
pub enum Request {
    /// How things stand.
    Status,
    /// All that can be counted, as the page that Prometheus reads.
    Metrics,
    /// Every account, or those of one budget.
    Budgets {
        /// The budget, by name.
        budget: Option<String>,
    },
    /// Every budget in force, by name: what it counts and what it allows.
    BudgetList,
    /// Every route, in the order in which they are looked at.
    Routes,
    /// Every price of the book in force.
    Prices,
    /// Changes the limits or the mode of a budget, until the configuration is next read.
    SetBudget {
        /// The budget, by name.
        budget: String,
        /// Its limits from now on; empty: as they are.
        limits: Vec<String>,
        /// Its mode from now on; none: as it is.
        mode: Option<String>,
        /// Who asks, for the audit.
        by: String,
    },
    /// Forgets what the accounts of a budget have spent and assumed.
    ResetBudget {
        /// The budget, by name.
        budget: String,
        /// Only the account whose labels these are; empty: all of them.
        per: Vec<(String, String)>,
        /// Why, for the audit.
        reason: String,
        /// Who asks, for the audit.
        by: String,
    },
    /// Counts usage that did not pass us.
    AddUsage {
        /// The id under which it is booked, so that the same news twice is one fact; none: a new one.
        #[serde(default)]
        id: Option<String>,
        /// The labels of what was used.
        labels: Vec<(String, String)>,
        /// Uncached input tokens.
        input: u64,
        /// Output tokens.
        output: u64,
        /// The cost, in nano-dollars.
        cost_nano: u64,
        /// Why, for the audit.
        reason: String,
        /// Who asks, for the audit.
        by: String,
    },
    /// Reads the configuration again, and puts it in force for all that begins from then on.
    Reload {
        /// Who asks, for the audit.
        by: String,
    },
    /// What was decided about a call, from which numbers.
    Explain {
        /// The call.
        id: String,
    },
    /// Open holds, and those that are assumed.
    Holds,
    /// Books the truth about a call that ended without news. Where neither a cost nor tokens are told, it spent
    /// nothing.
    Correct {
        /// The call.
        id: String,
        /// What it really cost, in nano-dollars; none: what its tokens cost by the price book.
        cost_nano: Option<u64>,
        /// What it really used; none: its tokens stay as they were held.
        tokens: Option<UsedTokens>,
        /// Why, for the audit.
        reason: String,
        /// Who asks, for the audit.
        by: String,
    },
    /// Makes a key.
    CreateKey(Box<NewKey>),
    /// The keys that are good, or all that are known.
    Keys {
        /// Only the one of this name or id, whatever has become of it.
        key: Option<String>,
        /// Those that have ended as well.
        all: bool,
    },
    /// Gives a key another secret.
    RotateKey {
        /// The key, by name or id.
        key: String,
        /// How long the secret that it has stays good, in milliseconds.
        grace_ms: u64,
        /// Who asks, for the audit.
        by: String,
    },
    /// Ends a key at once: it lets no further call in.
    RevokeKey {
        /// The key, by name or id.
        key: String,
        /// Whether its running calls are cut; else they may finish.
        kill: bool,
        /// Who asks, for the audit.
        by: String,
    },
    /// Makes a token.
    CreateToken(Box<NewToken>),
    /// Every token that is known.
    Tokens,
    /// Ends a token at once.
    RevokeToken {
        /// The token, by name.
        token: String,
        /// Who asks, for the audit.
        by: String,
    },
    /// What the calls of a key have used.
    KeySummary {
        /// The key's name, as given when it was made.
        key: String,
    },
    /// What calls consumed, grouped by labels and by time.
    Usage(Box<UsageQuery>),
    /// What was said to calls, the newest first.
    Decisions(Box<DecisionQuery>),
    /// How much of the hour and the day is used, by one session or by each, and by all together.
    ThrottleStats {
        /// The session; none: each of them.
        session: Option<String>,
    },
    /// What happened, and what happens next.
    Events(Box<EventQuery>),
    /// Says that a command that uses the server has begun or goes on, so that it does not stop for idleness.
    Ping,
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub enum Reply {
    /// How things stand.
    Status(Box<Status>),
    /// Accounts.
    Accounts {
        /// The accounts, by budget and labels.
        accounts: Vec<AccountInfo>,
        /// The configuration file that is in force.
        config: Option<ConfigInfo>,
    },
    /// What came of reading the configuration again.
    Reloaded(Box<Reloaded>),
    /// All that can be counted.
    Metrics {
        /// The page that Prometheus reads.
        text: String,
    },
    /// Budgets.
    BudgetList {
        /// The budgets, by name.
        budgets: Vec<BudgetInfo>,
    },
    /// Routes.
    Routes {
        /// The routes, in the order in which they are looked at.
        routes: Vec<RouteInfo>,
    },
    /// Prices.
    Prices {
        /// Which book they are from.
        version: String,
        /// The prices, in the order in which a model is looked for.
        prices: Vec<PriceInfo>,
    },
    /// What is known of a call.
    Call(Box<CallInfo>),
    /// Holds.
    Holds {
        /// The holds, oldest first.
        holds: Vec<HoldInfo>,
    },
    /// A key with its secret. This is the only time it is shown.
    Key(Box<ShownKey>),
    /// Keys, without their secrets.
    Keys {
        /// The keys, by name and id.
        keys: Vec<KeyInfo>,
        /// Whether whoever has no key is turned away.
        require_key: bool,
        /// The configuration file that is in force.
        config: Option<ConfigInfo>,
    },
    /// A token with its secret. This is the only time it is shown.
    Token(Box<ShownToken>),
    /// Tokens, without their secrets.
    Tokens {
        /// The tokens, by name.
        tokens: Vec<TokenInfo>,
    },
    /// What the calls of a key have used.
    Summary(Box<KeySummary>),
    /// What calls consumed.
    Usage {
        /// By bucket, then by the values of the labels.
        rows: Vec<UsageRow>,
        /// The minute with which history begins, RFC 3339; none where it is empty. What was used before is not in it.
        since: Option<String>,
        /// Whether there are more rows than are given; ask for less at once.
        is_cut: bool,
    },
    /// What was said to calls.
    Decisions {
        /// The newest first.
        decisions: Vec<DecisionInfo>,
        /// The cursor with which to go on; none where these are the last.
        next: Option<String>,
    },
    /// How much of the hour and the day is used. Of one session it has that session alone, beside `global`.
    Throttle(Box<ThrottleStats>),
    /// What happened.
    Events {
        /// The oldest first.
        events: Vec<EventInfo>,
        /// What to ask behind next time: the number of the last event that was looked at, of whatever kind.
        last: u64,
        /// Whether some that were asked for are gone: too old, or lost with the history.
        gap: bool,
    },
    /// It is done; this is what has changed, in words.
    Done {
        /// What has changed.
        message: String,
    },
    /// It is not done.
    Failed(Failure),
}

/// Why an operation was not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A stable word for programs.
    pub code: String,
    /// What happened, with the numbers.
    pub message: String,
    /// What to do next, where the message does not say it.
    #[serde(default)]
    pub hint: Option<String>,
}

/// How things stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The version of the server.
    pub version: String,
    /// Its process.
    pub pid: u32,
    /// Where clients reach it.
    pub listen: String,
    /// The folder of its state.
    pub state_dir: String,
    /// The configuration file that is in force.
    pub config: Option<ConfigInfo>,
    /// Why the last reload changed nothing, where that is so.
    #[serde(default)]
    pub reload_failed: Option<ReloadFailed>,
    /// Why it takes no new calls, where that is so.
    pub closed: Option<String>,
    /// How many calls are in flight.
    pub open_holds: u64,
    /// How much is charged without news, in nano-dollars, over holds that can still be corrected.
    pub assumed_nano: u64,
    /// How many holds those are.
    pub assumed_holds: u64,
    /// What calls cost beyond their holds, in nano-dollars, by cause; should be empty.
    pub overrun_nano: Vec<(String, u64)>,
    /// Calls with a part that could not be bounded, by what it was; should be empty.
    pub unbounded: Vec<(String, u64)>,
    /// The number of the latest fact in the journal, and the head of its chain in hexadecimal digits.
    pub journal_seq: u64,
    /// The head of the journal's chain, in hexadecimal digits.
    pub journal_head: String,
    /// The version of the price book in force.
    pub price_version: String,
    /// How much news history has lost since the server began, because it could not be written; should be 0.
    #[serde(default)]
    pub history_lost: u64,
    /// How every provider is.
    #[serde(default)]
    pub providers: Vec<ProviderInfo>,
    /// The paces at which calls went since the server began, at most a thousand.
    #[serde(default)]
    pub paces: Vec<PaceInfo>,
    /// Every account.
    pub accounts: Vec<AccountInfo>,
}

/// Writes one message as a line.
///
/// # Errors
/// Whatever the writer fails with.
pub fn write_line<T: Serialize>(to: &mut impl Write, message: &T) -> io::Result<()> {
    let mut line = serde_json::to_vec(message)?;
    line.push(b'\n');
    to.write_all(&line)?;
    to.flush()
}

/// Reads one message from a line of at most 16 MiB; `None` at the end.
///
/// # Errors
/// Whatever the reader fails with, and [`io::ErrorKind::InvalidData`] for a line that is no message.
pub fn read_line<T: DeserializeOwned>(from: &mut impl BufRead) -> io::Result<Option<T>> {
    let mut line = Vec::new();
    io::Read::take(from, LINE_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Ok(None);
    }
    serde_json::from_slice(&line).map(Some).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_survives_the_wire() {
        let sent = Request::SetBudget {
            budget: "team".to_owned(),
            limits: vec!["$5 / day".to_owned()],
            mode: None,
            by: "me".to_owned(),
        };
        let mut wire = Vec::new();
        write_line(&mut wire, &sent).unwrap();
        assert!(wire.starts_with(br#"{"operation":"set_budget","#));
        assert_eq!(read_line::<Request>(&mut wire.as_slice()).unwrap(), Some(sent));
        assert_eq!(read_line::<Request>(&mut &b""[..]).unwrap(), None);
    }

    #[test]
    fn what_is_no_message_is_an_error_and_no_panic() {
        for bad in [&b"{}\n"[..], b"\n", b"\xff\n", b"{\"operation\":\"stat"] {
            assert!(read_line::<Request>(&mut &bad[..]).is_err(), "{bad:?}");
        }
    }
}
