//! Facts to rows and back.

use almoner_ledger::{AccountId, Fact, ReleaseReason, Who};
use almoner_units::CallId;
use serde::{Deserialize, Serialize};

use super::WireError;
use super::parts::{AssumedWire, BudgetWire, ChargeWire, HoldWire, KeyWire, accounts, level};
use crate::hex;

/// A fact as the columns of a row.
#[derive(Debug)]
pub(crate) struct Encoded {
    pub(crate) kind: &'static str,
    /// The call the fact is about; empty where it is about none.
    pub(crate) id: Vec<u8>,
    pub(crate) body: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetSet {
    budget: BudgetWire,
    by: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    keeps_past: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BudgetRemoved {
    name: String,
    by: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    keeps_past: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountOpened {
    account: u32,
    key: KeyWire,
    opener: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountDropped {
    account: u32,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Settled {
    spent: ChargeWire,
}

/// A release: with the provider's status where the call reached it.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Released {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused_status: Option<u16>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Assumed {
    hold: HoldWire,
    held_by: u64,
    cause: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Corrected {
    assumed: AssumedWire,
    spent: ChargeWire,
    by: String,
    reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Added {
    accounts: Vec<u32>,
    spent: ChargeWire,
    by: String,
    reason: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Reset {
    account: u32,
    by: String,
    reason: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    restarts: bool,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LevelChanged {
    account: u32,
    limit: u8,
    from: String,
    to: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Snapshot {
    upto: u64,
    digest: String,
}

/// The row of a fact.
pub(crate) fn encode(fact: &Fact) -> Result<Encoded, serde_json::Error> {
    match fact {
        Fact::BudgetSet { budget, by, keeps_past } => {
            let body = BudgetSet { budget: budget.into(), by: by.0.clone(), keeps_past: *keeps_past };
            row("budget-set", None, &body)
        }
        Fact::BudgetRemoved { name, by, keeps_past } => {
            let body = BudgetRemoved { name: name.to_string(), by: by.0.clone(), keeps_past: *keeps_past };
            row("budget-removed", None, &body)
        }
        Fact::AccountOpened { account, key, opener } => {
            let body = AccountOpened { account: account.0, key: key.into(), opener: opener.clone() };
            row("account-opened", None, &body)
        }
        Fact::AccountDropped { account } => row("account-dropped", None, &AccountDropped { account: account.0 }),
        Fact::Held(hold) => row("held", Some(hold.id), &HoldWire::from(hold)),
        Fact::Settled { id, spent } => row("settled", Some(*id), &Settled { spent: spent.into() }),
        Fact::Released { id, reason } => {
            let refused_status = match reason {
                ReleaseReason::NeverSent => None,
                ReleaseReason::RefusedUpstream { status } => Some(*status),
            };
            row("released", Some(*id), &Released { refused_status })
        }
        Fact::Assumed { hold, held_by, cause } => {
            let body = Assumed { hold: hold.into(), held_by: *held_by, cause: cause.clone() };
            row("assumed", Some(hold.id), &body)
        }
        Fact::Corrected { assumed, spent, by, reason } => {
            let (by, reason) = (by.0.clone(), reason.clone());
            let body = Corrected { assumed: assumed.into(), spent: spent.into(), by, reason };
            row("corrected", Some(assumed.hold.id), &body)
        }
        Fact::Added { id, accounts, spent, by, reason } => {
            let accounts = accounts.iter().map(|id| id.0).collect();
            let body = Added { accounts, spent: spent.into(), by: by.0.clone(), reason: reason.clone() };
            row("added", Some(*id), &body)
        }
        Fact::Reset { account, by, reason, restarts } => {
            let (by, reason) = (by.0.clone(), reason.clone());
            row("reset", None, &Reset { account: account.0, by, reason, restarts: *restarts })
        }
        Fact::Snapshot { upto, digest } => row("snapshot", None, &Snapshot { upto: *upto, digest: hex::of(digest) }),
        Fact::LevelChanged { account, limit, from, to } => {
            let (from, to) = (from.name().to_owned(), to.name().to_owned());
            row("level-changed", None, &LevelChanged { account: account.0, limit: *limit, from, to })
        }
    }
}

fn row(kind: &'static str, id: Option<CallId>, body: &impl Serialize) -> Result<Encoded, serde_json::Error> {
    let id = id.map_or_else(Vec::new, |id| id.bits().to_be_bytes().to_vec());
    Ok(Encoded { kind, id, body: serde_json::to_string(body)? })
}

/// The fact of a row.
pub(crate) fn decode(kind: &str, id: &[u8], body: &str) -> Result<Fact, WireError> {
    let reader = Reader { id, body };
    match kind {
        "budget-set" => {
            let read: BudgetSet = reader.without_id("budget-set")?;
            let (budget, by) = (read.budget.try_into()?, Who(read.by));
            Ok(Fact::BudgetSet { budget, by, keeps_past: read.keeps_past })
        }
        "budget-removed" => {
            let read: BudgetRemoved = reader.without_id("budget-removed")?;
            let name = read.name.parse().map_err(|error| WireError::word("budget name", error))?;
            Ok(Fact::BudgetRemoved { name, by: Who(read.by), keeps_past: read.keeps_past })
        }
        "account-opened" => {
            let read: AccountOpened = reader.without_id("account-opened")?;
            Ok(Fact::AccountOpened { account: AccountId(read.account), key: read.key.try_into()?, opener: read.opener })
        }
        "account-dropped" => {
            let read: AccountDropped = reader.without_id("account-dropped")?;
            Ok(Fact::AccountDropped { account: AccountId(read.account) })
        }
        "held" => {
            let (id, read): (_, HoldWire) = reader.with_id("held")?;
            Ok(Fact::Held(read.of(id)?))
        }
        "settled" => {
            let (id, read): (_, Settled) = reader.with_id("settled")?;
            Ok(Fact::Settled { id, spent: read.spent.into() })
        }
        "released" => {
            let (id, read): (_, Released) = reader.with_id("released")?;
            let refused = |status| ReleaseReason::RefusedUpstream { status };
            Ok(Fact::Released { id, reason: read.refused_status.map_or(ReleaseReason::NeverSent, refused) })
        }
        "assumed" => {
            let (id, read): (_, Assumed) = reader.with_id("assumed")?;
            Ok(Fact::Assumed { hold: read.hold.of(id)?, held_by: read.held_by, cause: read.cause })
        }
        "corrected" => {
            let (id, read): (_, Corrected) = reader.with_id("corrected")?;
            let (by, reason) = (Who(read.by), read.reason);
            Ok(Fact::Corrected { assumed: read.assumed.of(id)?, spent: read.spent.into(), by, reason })
        }
        "added" => {
            let (id, read): (_, Added) = reader.with_id("added")?;
            let (accounts, by) = (accounts(&read.accounts), Who(read.by));
            Ok(Fact::Added { id, accounts, spent: read.spent.into(), by, reason: read.reason })
        }
        "reset" => {
            let read: Reset = reader.without_id("reset")?;
            let (account, by) = (AccountId(read.account), Who(read.by));
            Ok(Fact::Reset { account, by, reason: read.reason, restarts: read.restarts })
        }
        "snapshot" => {
            let read: Snapshot = reader.without_id("snapshot")?;
            let digest = hex::read(&read.digest).ok_or_else(|| WireError::word("digest", &read.digest))?;
            Ok(Fact::Snapshot { upto: read.upto, digest })
        }
        "level-changed" => {
            let read: LevelChanged = reader.without_id("level-changed")?;
            let (from, to) = (level(&read.from)?, level(&read.to)?);
            Ok(Fact::LevelChanged { account: AccountId(read.account), limit: read.limit, from, to })
        }
        other => Err(WireError::Kind(other.chars().take(64).collect())),
    }
}

struct Reader<'a> {
    id: &'a [u8],
    body: &'a str,
}

impl<'a> Reader<'a> {
    fn with_id<T: Deserialize<'a>>(&self, kind: &'static str) -> Result<(CallId, T), WireError> {
        let bits = <[u8; 16]>::try_from(self.id).map_err(|_| WireError::Id { kind, len: self.id.len() })?;
        Ok((CallId::from_bits(u128::from_be_bytes(bits)), serde_json::from_str(self.body)?))
    }

    fn without_id<T: Deserialize<'a>>(&self, kind: &'static str) -> Result<T, WireError> {
        if !self.id.is_empty() {
            return Err(WireError::Id { kind, len: self.id.len() });
        }
        Ok(serde_json::from_str(self.body)?)
    }
}
