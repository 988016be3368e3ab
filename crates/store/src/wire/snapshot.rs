//! Snapshots as the database keeps them: a head, parts of it in JSON, and closed calls in as few bytes as they take.

use std::collections::VecDeque;

use almoner_ledger::{AccountId, AccountSnapshot, ClosedCall, CounterSnapshot, Ended, Hold, Snapshot, WindowSnapshot};
use almoner_units::{CallId, Charge, Limit, Timestamp};
use serde::{Deserialize, Serialize};

use super::WireError;
use super::parts::{BudgetWire, ChargeWire, HoldWire, KeyWire, LimitWire, level};

/// The form of everything in a snapshot; one of another form is not read, but made anew from the facts.
const FORM: u32 = 1;

/// What stands for a snapshot as a whole. The digest of it covers every part, because their digests stand in it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeadWire {
    form: u32,
    at: u64,
    seen: u64,
    budgets: Vec<BudgetWire>,
    numbers: u32,
    /// The digest of each part.
    pub(crate) parts: Vec<String>,
    /// Each piece of closed calls: the number of its last, and its digest.
    pub(crate) closed: VecDeque<(u64, String)>,
    closed_count: u64,
    closed_kept: u64,
    closed_horizon: u64,
}

impl HeadWire {
    /// The head of a snapshot, without the digests of its parts.
    pub(crate) fn of(snapshot: &Snapshot) -> Self {
        Self {
            form: FORM,
            at: snapshot.at.ms(),
            seen: snapshot.seen.ms(),
            budgets: snapshot.budgets.iter().map(Into::into).collect(),
            numbers: snapshot.numbers,
            parts: Vec::new(),
            closed: VecDeque::new(),
            closed_count: snapshot.closed,
            closed_kept: snapshot.closed_kept,
            closed_horizon: snapshot.closed_horizon.ms(),
        }
    }

    pub(crate) fn closed_count(&self) -> u64 {
        self.closed_count
    }

    /// How many closed calls had been forgotten: pieces that end there or before are of no use.
    pub(crate) fn closed_forgotten(&self) -> u64 {
        self.closed_count.saturating_sub(self.closed_kept)
    }

    /// The snapshot of the facts up to `seq`, without what stands in its parts.
    pub(crate) fn snapshot(self, seq: u64) -> Result<Snapshot, WireError> {
        if self.form != FORM {
            return Err(WireError::word("form", self.form));
        }
        Ok(Snapshot {
            seq,
            at: Timestamp::from_ms(self.at),
            seen: Timestamp::from_ms(self.seen),
            budgets: self.budgets.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            numbers: self.numbers,
            accounts: Vec::new(),
            holds: Vec::new(),
            closed: self.closed_count,
            closed_kept: self.closed_kept,
            closed_horizon: Timestamp::from_ms(self.closed_horizon),
        })
    }
}

/// A part of a snapshot: some accounts, or some holds.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(crate) enum PartWire {
    Accounts(Vec<AccountWire>),
    Holds(Vec<OpenWire>),
}

impl PartWire {
    pub(crate) fn accounts(accounts: &[AccountSnapshot]) -> Self {
        Self::Accounts(accounts.iter().map(Into::into).collect())
    }

    pub(crate) fn holds(holds: &[(u64, Hold)]) -> Self {
        let open = |(by, hold): &(u64, Hold)| OpenWire { by: *by, id: hold.id.to_string(), hold: hold.into() };
        Self::Holds(holds.iter().map(open).collect())
    }

    /// Puts what stands in this part into the snapshot.
    pub(crate) fn put_into(self, snapshot: &mut Snapshot) -> Result<(), WireError> {
        match self {
            Self::Accounts(accounts) => {
                for account in accounts {
                    snapshot.accounts.push(account.try_into()?);
                }
            }
            Self::Holds(holds) => {
                for open in holds {
                    let id: CallId = open.id.parse().map_err(|error| WireError::word("call id", error))?;
                    snapshot.holds.push((open.by, open.hold.of(id)?));
                }
            }
        }
        Ok(())
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct OpenWire {
    by: u64,
    id: String,
    hold: HoldWire,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AccountWire {
    account: u32,
    key: KeyWire,
    opener: String,
    open_holds: u32,
    counters: Vec<CounterWire>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    retired: Vec<RetiredWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left_by: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetiredWire {
    limit: LimitWire,
    counter: CounterWire,
    left_by: u64,
}

impl From<&AccountSnapshot> for AccountWire {
    fn from(account: &AccountSnapshot) -> Self {
        let retired = |(limit, counter, left_by): &(Limit, CounterSnapshot, u64)| RetiredWire {
            limit: limit.into(),
            counter: counter.into(),
            left_by: *left_by,
        };
        Self {
            account: account.id.0,
            key: (&account.key).into(),
            opener: account.opener.clone(),
            open_holds: account.open_holds,
            counters: account.counters.iter().map(Into::into).collect(),
            retired: account.retired.iter().map(retired).collect(),
            left_by: account.left_by,
        }
    }
}

impl TryFrom<AccountWire> for AccountSnapshot {
    type Error = WireError;

    fn try_from(account: AccountWire) -> Result<Self, WireError> {
        let retired = |it: RetiredWire| Ok::<_, WireError>((it.limit.try_into()?, it.counter.try_into()?, it.left_by));
        Ok(Self {
            id: AccountId(account.account),
            key: account.key.try_into()?,
            opener: account.opener,
            open_holds: account.open_holds,
            counters: account.counters.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            retired: account.retired.into_iter().map(retired).collect::<Result<_, _>>()?,
            left_by: account.left_by,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct CounterWire {
    held: u64,
    reset_by: u64,
    level: String,
    spent: u64,
    assumed: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    open: Option<OpenWindowWire>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ring: Option<RingWire>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenWindowWire {
    since: u64,
    ends: Option<u64>,
}

/// The slots of a ring that count anything: place, spent, assumed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RingWire {
    newest: u64,
    slots: Vec<(u8, u64, u64)>,
}

impl From<&CounterSnapshot> for CounterWire {
    fn from(counter: &CounterSnapshot) -> Self {
        let (open, ring) = match &counter.window {
            WindowSnapshot::Plain(open) => {
                (open.map(|(since, ends)| OpenWindowWire { since, ends: ends.map(Timestamp::ms) }), None)
            }
            WindowSnapshot::Sliding { newest, slots } => {
                (None, Some(RingWire { newest: *newest, slots: slots.clone() }))
            }
        };
        Self {
            held: counter.held,
            reset_by: counter.reset_by,
            level: counter.level.name().to_owned(),
            spent: counter.spent,
            assumed: counter.assumed,
            open,
            ring,
        }
    }
}

impl TryFrom<CounterWire> for CounterSnapshot {
    type Error = WireError;

    fn try_from(counter: CounterWire) -> Result<Self, WireError> {
        let window = match (counter.open, counter.ring) {
            (open, None) => WindowSnapshot::Plain(open.map(|open| (open.since, open.ends.map(Timestamp::from_ms)))),
            (None, Some(ring)) => WindowSnapshot::Sliding { newest: ring.newest, slots: ring.slots },
            (Some(_), Some(_)) => return Err(WireError::word("window", "one of two kinds")),
        };
        Ok(Self {
            held: counter.held,
            reset_by: counter.reset_by,
            level: level(&counter.level)?,
            spent: counter.spent,
            assumed: counter.assumed,
            window,
        })
    }
}

/// Closed calls in few bytes: there may be a million of them. A number takes a byte for each seven bits.
pub(crate) fn closed_to_bytes(calls: &[ClosedCall]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(calls.len() * 64);
    let mut before = 0;
    for call in calls {
        // Calls stand in the order in which they were closed, so the time since the last is a small number.
        put(&mut bytes, call.at.ms().wrapping_sub(before));
        before = call.at.ms();
        bytes.extend_from_slice(&call.id.bits().to_be_bytes());
        match &call.how {
            None => bytes.push(0),
            Some(Ended::Released) => bytes.push(1),
            Some(Ended::Assumed) => bytes.push(2),
            Some(Ended::Settled { held, spent }) => {
                bytes.push(3);
                put_charge(&mut bytes, held);
                put_charge(&mut bytes, spent);
            }
        }
    }
    bytes
}

fn put_charge(bytes: &mut Vec<u8>, charge: &Charge) {
    ChargeWire::from(charge).amounts().into_iter().for_each(|amount| put(bytes, amount));
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap_or(0) | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap_or(0));
}

/// The closed calls of a piece; `None` where it is none.
pub(crate) fn closed_from_bytes(bytes: &[u8]) -> Option<Vec<ClosedCall>> {
    let mut reader = Bytes(bytes);
    let mut calls = Vec::new();
    let mut before: u64 = 0;
    while !reader.0.is_empty() {
        before = before.wrapping_add(reader.number()?);
        let (id, rest) = reader.0.split_first_chunk::<16>()?;
        let (kind, rest) = rest.split_first()?;
        reader.0 = rest;
        let how = match kind {
            0 => None,
            1 => Some(Ended::Released),
            2 => Some(Ended::Assumed),
            3 => Some(Ended::Settled { held: reader.charge()?, spent: reader.charge()? }),
            _ => return None,
        };
        let id = CallId::from_bits(u128::from_be_bytes(*id));
        calls.push(ClosedCall { at: Timestamp::from_ms(before), id, how });
    }
    Some(calls)
}

struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn number(&mut self) -> Option<u64> {
        let mut number = 0_u64;
        for shift in (0..64).step_by(7) {
            let (byte, rest) = self.0.split_first()?;
            self.0 = rest;
            let part = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if (part << shift) >> shift != part {
                return None;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn charge(&mut self) -> Option<Charge> {
        let mut amounts = [0; 6];
        for amount in &mut amounts {
            *amount = self.number()?;
        }
        Some(ChargeWire::new(amounts).into())
    }
}
