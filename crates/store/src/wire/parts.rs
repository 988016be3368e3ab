//! The parts of a fact's body: charges, limits, budgets, accounts, holds.

use std::collections::BTreeMap;

use almoner_ledger::{AccountId, AccountView, AssumedHold, Correction, Hold, LimitView};
use almoner_units::{
    AccountKey, Ask, Budget, CalendarUnit, CallId, Charge, LabelName, Labels, Level, LevelMarks, Limit, Meter, Mode,
    PicoUsdPerToken, Priority, Span, Timestamp, Window,
};
use serde::{Deserialize, Serialize};

use super::WireError;

/// A charge: the amounts of tokens, uncached tokens, input tokens, output tokens, requests and nano-dollars.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct ChargeWire([u64; 6]);

impl ChargeWire {
    pub(crate) const fn new(amounts: [u64; 6]) -> Self {
        Self(amounts)
    }

    pub(crate) const fn amounts(self) -> [u64; 6] {
        self.0
    }
}

impl From<&Charge> for ChargeWire {
    fn from(charge: &Charge) -> Self {
        Self([
            charge[Meter::Tokens],
            charge[Meter::UncachedTokens],
            charge[Meter::InputTokens],
            charge[Meter::OutputTokens],
            charge[Meter::Requests],
            charge[Meter::Usd],
        ])
    }
}

impl From<ChargeWire> for Charge {
    fn from(ChargeWire(amounts): ChargeWire) -> Self {
        let meters = [
            Meter::Tokens,
            Meter::UncachedTokens,
            Meter::InputTokens,
            Meter::OutputTokens,
            Meter::Requests,
            Meter::Usd,
        ];
        let mut charge = Self::ZERO;
        for (meter, amount) in meters.into_iter().zip(amounts) {
            charge[meter] = amount;
        }
        charge
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AskWire {
    fixed: ChargeWire,
    choices: u64,
    price: u64,
    caps: [u64; 3],
}

impl From<&Ask> for AskWire {
    fn from(ask: &Ask) -> Self {
        Self {
            fixed: (&ask.fixed).into(),
            choices: ask.choices,
            price: ask.output_price.get(),
            caps: [ask.cap_asked, ask.cap_comfortable, ask.cap_floor],
        }
    }
}

impl From<AskWire> for Ask {
    fn from(ask: AskWire) -> Self {
        let [cap_asked, cap_comfortable, cap_floor] = ask.caps;
        Self {
            fixed: ask.fixed.into(),
            choices: ask.choices,
            output_price: PicoUsdPerToken::new(ask.price),
            cap_asked,
            cap_comfortable,
            cap_floor,
        }
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HoldWire {
    accounts: Vec<u32>,
    ask: AskWire,
    priority: String,
    cap: u64,
    amount: ChargeWire,
    expires: u64,
}

impl From<&Hold> for HoldWire {
    fn from(hold: &Hold) -> Self {
        Self {
            accounts: hold.accounts.iter().map(|id| id.0).collect(),
            ask: (&hold.ask).into(),
            priority: hold.priority.name().to_owned(),
            cap: hold.cap,
            amount: (&hold.amount).into(),
            expires: hold.expires_at.ms(),
        }
    }
}

impl HoldWire {
    pub(crate) fn of(self, id: CallId) -> Result<Hold, WireError> {
        Ok(Hold {
            id,
            accounts: accounts(&self.accounts),
            ask: self.ask.into(),
            priority: priority(&self.priority)?,
            cap: self.cap,
            amount: self.amount.into(),
            expires_at: Timestamp::from_ms(self.expires),
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AssumedWire {
    hold: HoldWire,
    held_by: u64,
    assumed_by: u64,
    assumed_at: u64,
    /// What it was corrected to last, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    corrected: Option<(ChargeWire, u64)>,
}

impl From<&AssumedHold> for AssumedWire {
    fn from(assumed: &AssumedHold) -> Self {
        Self {
            hold: (&assumed.hold).into(),
            held_by: assumed.held_by,
            assumed_by: assumed.assumed_by,
            assumed_at: assumed.assumed_at.ms(),
            corrected: assumed.corrected.map(|known| ((&known.spent).into(), known.at.ms())),
        }
    }
}

impl AssumedWire {
    pub(crate) fn of(self, id: CallId) -> Result<AssumedHold, WireError> {
        Ok(AssumedHold {
            hold: self.hold.of(id)?,
            held_by: self.held_by,
            assumed_by: self.assumed_by,
            assumed_at: Timestamp::from_ms(self.assumed_at),
            corrected: self.corrected.map(|(spent, at)| Correction { spent: spent.into(), at: Timestamp::from_ms(at) }),
        })
    }
}

/// A window by its numbers, so that every window there can be survives, not only those that config can spell.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
enum WindowWire {
    Lifetime,
    FixedMs(u64),
    SlidingMs(u64),
    Calendar { unit: String, zone: String },
}

impl From<&Window> for WindowWire {
    fn from(window: &Window) -> Self {
        match window {
            Window::Lifetime => Self::Lifetime,
            Window::Fixed(span) => Self::FixedMs(span.ms()),
            Window::Sliding(span) => Self::SlidingMs(span.ms()),
            Window::Calendar(unit, zone) => {
                Self::Calendar { unit: unit.name().to_owned(), zone: zone.name().to_owned() }
            }
        }
    }
}

impl TryFrom<WindowWire> for Window {
    type Error = WireError;

    fn try_from(window: WindowWire) -> Result<Self, WireError> {
        Ok(match window {
            WindowWire::Lifetime => Self::Lifetime,
            WindowWire::FixedMs(ms) => Self::Fixed(Span::from_ms(ms)),
            WindowWire::SlidingMs(ms) => Self::Sliding(Span::from_ms(ms)),
            WindowWire::Calendar { unit, zone } => {
                let known = CalendarUnit::ALL.into_iter().find(|known| known.name() == unit);
                let unit = known.ok_or_else(|| WireError::word("calendar unit", &unit))?;
                Self::Calendar(unit, zone.parse().map_err(|error| WireError::word("time zone", error))?)
            }
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitWire {
    meter: String,
    amount: u64,
    window: WindowWire,
}

impl From<&Limit> for LimitWire {
    fn from(limit: &Limit) -> Self {
        Self { meter: limit.meter.name().to_owned(), amount: limit.amount, window: (&limit.window).into() }
    }
}

impl TryFrom<LimitWire> for Limit {
    type Error = WireError;

    fn try_from(limit: LimitWire) -> Result<Self, WireError> {
        let meter = limit.meter.parse().map_err(|error| WireError::word("meter", error))?;
        Ok(Self { meter, amount: limit.amount, window: limit.window.try_into()? })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetWire {
    name: String,
    r#where: Vec<(String, String)>,
    per: Vec<String>,
    limits: Vec<LimitWire>,
    mode: String,
    marks: [u8; 4],
}

impl From<&Budget> for BudgetWire {
    fn from(budget: &Budget) -> Self {
        let pair = |(name, value): &(LabelName, String)| (name.to_string(), value.clone());
        Self {
            name: budget.name.to_string(),
            r#where: budget.filter.iter().map(pair).collect(),
            per: budget.per.iter().map(ToString::to_string).collect(),
            limits: budget.limits.iter().map(Into::into).collect(),
            mode: budget.mode.name().to_owned(),
            marks: budget.marks.percents(),
        }
    }
}

impl TryFrom<BudgetWire> for Budget {
    type Error = WireError;

    fn try_from(budget: BudgetWire) -> Result<Self, WireError> {
        let pair = |(name, value): (String, String)| Ok::<_, WireError>((label_name(&name)?, value));
        Ok(Self {
            name: budget.name.parse().map_err(|error| WireError::word("budget name", error))?,
            filter: budget.r#where.into_iter().map(pair).collect::<Result<_, _>>()?,
            per: budget.per.iter().map(|name| label_name(name)).collect::<Result<_, _>>()?,
            limits: budget.limits.into_iter().map(TryInto::try_into).collect::<Result<_, _>>()?,
            mode: mode(&budget.mode)?,
            marks: LevelMarks::new(budget.marks).map_err(|error| WireError::word("set of marks", error))?,
        })
    }
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyWire {
    budget: String,
    per: Vec<(String, String)>,
}

impl From<&AccountKey> for KeyWire {
    fn from(key: &AccountKey) -> Self {
        Self {
            budget: key.budget.to_string(),
            per: key.per.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect(),
        }
    }
}

impl TryFrom<KeyWire> for AccountKey {
    type Error = WireError;

    fn try_from(key: KeyWire) -> Result<Self, WireError> {
        let pair = |(name, value): &(String, String)| {
            Ok::<_, WireError>((label_name(name)?, value.parse().map_err(|error| WireError::word("label", error))?))
        };
        Ok(Self {
            budget: key.budget.parse().map_err(|error| WireError::word("budget name", error))?,
            per: key.per.iter().map(pair).collect::<Result<_, _>>()?,
        })
    }
}

/// An account at one moment, as history keeps it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ViewWire {
    account: KeyWire,
    mode: String,
    level: String,
    open_holds: u32,
    limits: Vec<LimitViewWire>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LimitViewWire {
    limit: LimitWire,
    spent: u64,
    assumed: u64,
    held: u64,
    level: String,
    resets_at_ms: Option<u64>,
}

impl From<&AccountView> for ViewWire {
    fn from(view: &AccountView) -> Self {
        let limit = |view: &LimitView| LimitViewWire {
            limit: (&view.limit).into(),
            spent: view.spent,
            assumed: view.assumed,
            held: view.held,
            level: view.level.name().to_owned(),
            resets_at_ms: view.resets_at.map(Timestamp::ms),
        };
        Self {
            account: (&view.key).into(),
            mode: view.mode.name().to_owned(),
            level: view.level.name().to_owned(),
            open_holds: view.open_holds,
            limits: view.limits.iter().map(limit).collect(),
        }
    }
}

impl TryFrom<ViewWire> for AccountView {
    type Error = WireError;

    fn try_from(view: ViewWire) -> Result<Self, WireError> {
        let limit = |view: LimitViewWire| {
            Ok::<_, WireError>(LimitView {
                limit: view.limit.try_into()?,
                spent: view.spent,
                assumed: view.assumed,
                held: view.held,
                level: level(&view.level)?,
                resets_at: view.resets_at_ms.map(Timestamp::from_ms),
            })
        };
        Ok(Self {
            key: view.account.try_into()?,
            mode: mode(&view.mode)?,
            level: level(&view.level)?,
            open_holds: view.open_holds,
            limits: view.limits.into_iter().map(limit).collect::<Result<_, _>>()?,
        })
    }
}

/// Labels as a JSON object.
pub(crate) fn labels_to_json(labels: &Labels) -> Result<String, serde_json::Error> {
    let map: BTreeMap<&str, &str> = labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
    serde_json::to_string(&map)
}

/// Labels from a JSON object.
pub(crate) fn labels_from_json(text: &str) -> Result<Labels, WireError> {
    labels_of(serde_json::from_str(text)?)
}

/// Labels from their names and values.
pub(crate) fn labels_of(map: BTreeMap<String, String>) -> Result<Labels, WireError> {
    let pair = |(name, value): (String, String)| {
        Ok((label_name(&name)?, value.parse().map_err(|error| WireError::word("label", error))?))
    };
    map.into_iter().map(pair).collect()
}

pub(crate) fn accounts(numbers: &[u32]) -> Box<[AccountId]> {
    numbers.iter().copied().map(AccountId).collect()
}

pub(crate) fn level(text: &str) -> Result<Level, WireError> {
    Level::ALL.into_iter().find(|level| level.name() == text).ok_or_else(|| WireError::word("level", text))
}

pub(crate) fn priority(text: &str) -> Result<Priority, WireError> {
    text.parse().map_err(|error| WireError::word("priority", error))
}

pub(crate) fn mode(text: &str) -> Result<Mode, WireError> {
    text.parse().map_err(|()| WireError::word("mode", text))
}

fn label_name(text: &str) -> Result<LabelName, WireError> {
    text.parse().map_err(|error| WireError::word("label", error))
}
