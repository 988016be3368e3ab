//! One boundary for all tables: lines of commands, each with the answer the ledger must give.
//!
//! ```text
//! budget team $1.00                     a budget: NAME [per LABEL,…] LIMIT, LIMIT … [MODE]
//! reserve a team $0.60 → held           a call on accounts joined by `+`; `each:x` is the account of session x
//! settle a $0.25 → $0.35 back
//! wait 30m
//! crash                                 replays the journal into empty books and charges what was in flight
//! ```
//! Times in answers are spans since the start, a Monday at 16:00 UTC. A line without `→` must merely be understood.

use std::collections::BTreeMap;

use almoner_ledger::{
    AccountId, AssumedHold, Correction, Entry, Fact, Ledger, LimitView, Patience, Refusal, RefusalReason,
    ReleaseReason, Reserve, ReserveError, SettleError, Settlement, Verdict, WaitingRoom, Who,
};
use almoner_units::{
    AccountKey, Ask, Budget, CallId, Charge, Level, LevelMarks, Meter, PicoUsdPerToken, Priority, Span, Timestamp,
};

/// 2025-11-24T16:00:00Z, a Monday, at which a slot of a sliding hour begins.
const START: Timestamp = Timestamp::from_ms(1_764_000_000_000);

/// Runs the lines and compares every answer.
#[track_caller]
pub(crate) fn check(text: &str) {
    let mut script = Script::new();
    let (mut expected, mut actual) = (Vec::new(), Vec::new());
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (command, answer) = match line.split_once('→') {
            Some((command, answer)) => (command.trim(), Some(answer.trim())),
            None => (line, None),
        };
        let given = script.run(command);
        let shown = |answer: &str| format!("{} → {answer}", one_space(command));
        expected.push(answer.map_or_else(|| shown(&given), |answer| shown(&one_space(answer))));
        actual.push(shown(&given));
    }
    assert!(expected == actual, "expected\n  {}\nbut it went\n  {}", expected.join("\n  "), actual.join("\n  "));
}

fn one_space(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

struct Script {
    ledger: Ledger,
    facts: Vec<Entry>,
    now: Timestamp,
    ids: BTreeMap<String, CallId>,
    /// The names of `per` labels by budget.
    per: BTreeMap<String, Vec<String>>,
    room: WaitingRoom<String>,
}

impl Script {
    fn new() -> Self {
        let (ids, per) = (BTreeMap::new(), BTreeMap::new());
        Self { ledger: Ledger::new(), facts: Vec::new(), now: START, ids, per, room: WaitingRoom::new(8) }
    }

    fn run(&mut self, line: &str) -> String {
        let words: Vec<&str> = line.split_whitespace().collect();
        let answer = match words[..] {
            ["budget", name, ..] => self.budget(name, line),
            ["remove", name] => self.remove(name),
            ["reserve", id, accounts, ..] => self.reserve(id, accounts, &words[3..]),
            ["settle", id, ..] => self.settle(id, &words[2..]),
            ["release", id, reason] => self.release(id, reason),
            ["assume", id] => {
                let id = self.id(id);
                plain(self.ledger.assume(id, "no news", self.now))
            }
            ["correct", id, ..] => self.correct(id, &words[2..]),
            ["add", id, accounts, ..] => self.add(id, accounts, &words[3..]),
            ["reset", account] => self.reset(account),
            ["wait", span] => self.wait(span),
            ["set", "back", span] => self.set_back(span),
            ["crash"] => self.crash(),
            ["sweep"] => self.sweep(),
            ["due"] => self.due(),
            ["show", account] => self.show(account),
            ["level", account] => self.level(account),
            ["levels"] => self.levels(),
            ["room", most] => self.new_room(most),
            ["enter", id, accounts, ..] => self.enter(id, accounts, &words[3..]),
            ["keeps", "out", id, accounts, ..] => self.keeps_out(id, accounts, &words[4..]),
            ["wake"] => self.wake(),
            _ => panic!("no such command: {line}"),
        };
        let facts = self.ledger.take_facts();
        self.facts.extend(facts);
        self.check_replay();
        answer
    }

    /// After every line, the journal gives the same books.
    fn check_replay(&self) {
        let mut again = Ledger::new();
        self.facts.iter().for_each(|entry| again.replay(entry));
        assert!(again.agrees_with(&self.ledger, self.now), "the journal gives other books");
    }

    fn id(&mut self, name: &str) -> CallId {
        let (now, number) = (self.now, self.ids.len());
        let mut random = [0; 10];
        random[2..].copy_from_slice(&(number as u64).to_be_bytes());
        *self.ids.entry(name.to_owned()).or_insert_with(|| CallId::new(now, random))
    }

    fn name_of(&self, id: CallId) -> &str {
        self.ids.iter().find(|(_, known)| **known == id).map_or("?", |(name, _)| name)
    }

    fn who() -> Who {
        Who("a table".to_owned())
    }

    fn budget(&mut self, name: &str, line: &str) -> String {
        let rest = one_space(line);
        let mut rest = rest.strip_prefix(&format!("budget {name} ")).expect("limits follow").to_owned();
        let mut per = Vec::new();
        if let Some(after) = rest.strip_prefix("per ") {
            let (labels, limits) = after.split_once(' ').expect("limits follow");
            per = labels.split(',').map(str::to_owned).collect();
            rest = limits.to_owned();
        }
        let mut mode = almoner_units::Mode::StopNew;
        if let Some((limits, last)) = rest.rsplit_once(' ')
            && let Ok(known) = last.parse()
        {
            (rest, mode) = (limits.to_owned(), known);
        }
        let budget = Budget {
            name: name.parse().unwrap(),
            filter: Vec::new(),
            per: per.iter().map(|label| label.parse().unwrap()).collect(),
            limits: rest.split(", ").map(|limit| limit.parse().unwrap()).collect(),
            mode,
            marks: LevelMarks::default(),
        };
        self.per.insert(name.to_owned(), per);
        self.ledger.set_budget(budget, Self::who(), self.now);
        "set".to_owned()
    }

    fn remove(&mut self, name: &str) -> String {
        self.ledger.remove_budget(&name.parse().unwrap(), Self::who(), self.now);
        "removed".to_owned()
    }

    /// `each:x` is the account of budget `each` whose `per` labels have the value x.
    fn key(&self, text: &str) -> AccountKey {
        let (budget, value) = text.split_once(':').unwrap_or((text, "none"));
        let labels = self.per.get(budget).cloned().unwrap_or_default();
        let per = labels.iter().map(|label| (label.parse().unwrap(), value.parse().unwrap())).collect();
        AccountKey { budget: budget.parse().unwrap(), per }
    }

    fn open(&mut self, accounts: &str) -> Box<[AccountId]> {
        let keys: Vec<_> = accounts.split('+').map(|account| self.key(account)).collect();
        let missing = AccountId(u32::MAX);
        keys.iter().map(|key| self.ledger.open(key, "key", self.now).unwrap_or(missing)).collect()
    }

    fn call(&mut self, id: &str, accounts: &str, words: &[&str]) -> (Reserve, Patience, Span) {
        let (id, accounts) = (self.id(id), self.open(accounts));
        let mut fixed = charge(words);
        let (mut cap, mut price, mut choices) = (0, PicoUsdPerToken::ZERO, 1);
        let (mut priority, mut patience, mut can_tighten) = (Priority::Normal, Patience::Fresh, false);
        let (mut lasts, mut waits) = (Span::from_secs(600), Span::from_secs(60));
        for (at, word) in words.iter().enumerate() {
            let next = || words.get(at + 1).expect("a word follows");
            match *word {
                "out" => cap = next().parse().unwrap(),
                "at" => price = PicoUsdPerToken::per_million(next()).unwrap(),
                "choices" => choices = next().parse().unwrap(),
                "lasts" => lasts = next().parse().unwrap(),
                "for" => waits = next().parse().unwrap(),
                "half" => patience = Patience::Half,
                "spent" => patience = Patience::Spent,
                "tightens" => can_tighten = true,
                "free" => fixed[Meter::Usd] = 0,
                word => priority = word.parse().unwrap_or(priority),
            }
        }
        let ask = Ask::new(fixed, choices, price, cap);
        (Reserve { id, accounts, ask, priority, lasts, can_tighten }, patience, waits)
    }

    fn reserve(&mut self, id: &str, accounts: &str, words: &[&str]) -> String {
        let (call, patience, _) = self.call(id, accounts, words);
        let verdict = self.ledger.reserve(&call, patience, self.now);
        self.tell(&call, &verdict)
    }

    fn tell(&self, call: &Reserve, verdict: &Result<Verdict, ReserveError>) -> String {
        match verdict {
            Ok(Verdict::Admitted(admission)) => {
                let cap = if call.ask.cap_asked > 0 { format!(", cap {}", admission.cap) } else { String::new() };
                let level = match admission.level {
                    Level::None => String::new(),
                    level => format!(", at {level}"),
                };
                format!("held{cap}{level}")
            }
            Ok(Verdict::Waits(refusal)) => format!("waits: {}", why(refusal)),
            Ok(Verdict::Refused(refusal)) => format!("refused: {}", why(refusal)),
            Ok(Verdict::Tighten) => "tighten".to_owned(),
            Err(ReserveError::Differs { field, .. }) => format!("error: another {field}"),
            Err(ReserveError::Over { how, .. }) => format!("error: over, {how}"),
            Err(ReserveError::TooOld(_)) => "error: too old".to_owned(),
            Err(ReserveError::TooMany { touched, .. }) => format!("error: {touched} accounts are too many"),
            Err(ReserveError::NoSuchAccount { .. }) => "error: no such account".to_owned(),
            Err(ReserveError::Uncountable(_)) => "error: uncountable".to_owned(),
        }
    }

    fn settle(&mut self, id: &str, words: &[&str]) -> String {
        let id = self.id(id);
        match self.ledger.settle(id, charge(words), self.now) {
            Ok(settlement) => news(&settlement),
            Err(error) => settle_error(&error),
        }
    }

    fn release(&mut self, id: &str, reason: &str) -> String {
        let id = self.id(id);
        let reason = match reason {
            "never-sent" => ReleaseReason::NeverSent,
            status => ReleaseReason::RefusedUpstream { status: status.parse().unwrap() },
        };
        plain(self.ledger.release(id, reason, self.now))
    }

    fn correct(&mut self, id: &str, words: &[&str]) -> String {
        let id = self.id(id);
        let Some(assumed) = self.assumed(id) else { return "nothing was assumed".to_owned() };
        match self.ledger.correct(assumed, charge(words), Self::who(), "late".to_owned(), self.now) {
            Ok(settlement) => news(&settlement),
            Err(error) => format!("error: {}", error.to_string().replace(&format!("{id} "), "")),
        }
    }

    /// The assumed hold as a store finds it in the journal; an open one is handed in too, as a careless store would.
    fn assumed(&self, id: CallId) -> Option<AssumedHold> {
        let held_by = self.facts.iter().find(|entry| matches!(&entry.fact, Fact::Held(hold) if hold.id == id))?;
        let Fact::Held(hold) = &held_by.fact else { return None };
        let assumed = |entry: &&Entry| matches!(&entry.fact, Fact::Assumed { hold, .. } if hold.id == id);
        let assumed_by = self.facts.iter().find(assumed).unwrap_or(held_by);
        let (held_by, assumed_at) = (held_by.seq, assumed_by.at);
        let corrected = self.facts.iter().rev().find_map(|entry| match &entry.fact {
            Fact::Corrected { assumed, spent, .. } if assumed.hold.id == id => {
                Some(Correction { spent: *spent, at: entry.at })
            }
            _ => None,
        });
        Some(AssumedHold { hold: hold.clone(), held_by, assumed_by: assumed_by.seq, assumed_at, corrected })
    }

    fn add(&mut self, id: &str, accounts: &str, words: &[&str]) -> String {
        let (id, accounts) = (self.id(id), self.open(accounts));
        match self.ledger.add(id, accounts, charge(words), Self::who(), "beside us".to_owned(), self.now) {
            Ok(()) => "added".to_owned(),
            Err(contradiction) => format!("error: contradicts {}", contradiction.field),
        }
    }

    fn reset(&mut self, account: &str) -> String {
        let key = self.key(account);
        let done = self.ledger.reset(&key, Self::who(), "a new start".to_owned(), self.now);
        if done { "reset" } else { "no such account" }.to_owned()
    }

    fn wait(&mut self, span: &str) -> String {
        self.now = self.now.after(span.parse().unwrap());
        since_start(self.now)
    }

    fn set_back(&mut self, span: &str) -> String {
        let span: Span = span.parse().unwrap();
        self.now = Timestamp::from_ms(self.now.ms() - span.ms());
        since_start(self.now)
    }

    fn crash(&mut self) -> String {
        let mut again = Ledger::new();
        self.facts.iter().for_each(|entry| again.replay(entry));
        self.ledger = again;
        let open: Vec<CallId> = self.ledger.holds().into_iter().map(|hold| hold.id).collect();
        open.iter().for_each(|id| self.ledger.assume(*id, "crash", self.now).unwrap());
        format!("{} assumed", open.len())
    }

    fn sweep(&mut self) -> String {
        let before = self.ledger.views(self.now).len();
        self.ledger.sweep_except(self.now, |account| self.room.needs(account));
        format!("{} of {before} accounts kept", self.ledger.views(self.now).len())
    }

    fn due(&self) -> String {
        let due: Vec<&str> = self.ledger.due(self.now).into_iter().map(|id| self.name_of(id)).collect();
        if due.is_empty() { "none".to_owned() } else { due.join(" ") }
    }

    fn show(&self, account: &str) -> String {
        let Some(id) = self.ledger.find(&self.key(account)) else { return "no such account".to_owned() };
        let view = self.ledger.view(id, self.now).unwrap();
        let limits: Vec<String> = view.limits.iter().map(show_limit).collect();
        limits.join("; ")
    }

    fn level(&self, account: &str) -> String {
        let Some(id) = self.ledger.find(&self.key(account)) else { return "no such account".to_owned() };
        self.ledger.view(id, self.now).unwrap().level.to_string()
    }

    /// The journaled changes of level so far.
    fn levels(&self) -> String {
        let changes = self.facts.iter().filter_map(|entry| match &entry.fact {
            Fact::LevelChanged { from, to, .. } => Some(format!("{from} to {to}")),
            _ => None,
        });
        changes.collect::<Vec<_>>().join(", ")
    }

    fn new_room(&mut self, most: &str) -> String {
        self.room = WaitingRoom::new(most.parse().unwrap());
        "empty".to_owned()
    }

    fn enter(&mut self, id: &str, accounts: &str, words: &[&str]) -> String {
        let (call, _, waits) = self.call(id, accounts, words);
        let (since, until) = (steady(self.now), steady(self.now.after(waits)));
        match self.room.enter(call, id.to_owned(), since, until) {
            Ok(()) => format!("{} wait", self.room.len()),
            Err((full, ticket)) => format!("{ticket}: {full}"),
        }
    }

    fn keeps_out(&mut self, id: &str, accounts: &str, words: &[&str]) -> String {
        let (call, ..) = self.call(id, accounts, words);
        if self.room.keeps_out(&call, steady(self.now)) { "yes" } else { "no" }.to_owned()
    }

    /// Wakes the room; the answers in order, and when it must be woken again.
    fn wake(&mut self) -> String {
        let answers = self.room.wake(&mut self.ledger, self.now, steady(self.now));
        let answers = answers.iter().map(|(name, verdict)| match verdict {
            Ok(Verdict::Admitted(_)) => format!("{name} held"),
            Ok(Verdict::Refused(refusal)) => format!("{name} refused, {}", reason(refusal)),
            other => format!("{name} {other:?}"),
        });
        let mut said: Vec<String> = answers.collect();
        if said.is_empty() {
            said.push("nobody".to_owned());
        }
        match self.room.next_change(self.now, steady(self.now)) {
            Some(next) => said.push(format!("again at {}", since_start(self.now.after(next)))),
            None => assert!(self.room.is_empty()),
        }
        said.join("; ")
    }
}

/// Reads `$0.25`, `100 tokens`: the fixed part of a bound, or what a call cost; one request.
fn charge(words: &[&str]) -> Charge {
    let mut charge = Charge::ZERO;
    charge[Meter::Requests] = 1;
    for (at, word) in words.iter().enumerate() {
        let is_price = at > 0 && words[at - 1] == "at";
        if word.starts_with('$') && !is_price {
            charge[Meter::Usd] = word.parse::<almoner_units::NanoUsd>().unwrap().get();
        }
        if *word == "tokens" {
            let tokens = words[at - 1].parse().unwrap();
            charge[Meter::Tokens] = tokens;
            charge[Meter::UncachedTokens] = tokens;
            charge[Meter::InputTokens] = tokens;
        }
        if *word == "requests" {
            charge[Meter::Requests] = words[at - 1].parse().unwrap();
        }
    }
    charge
}

fn since_start(at: Timestamp) -> String {
    if at < START { format!("-{}", START.since(at)) } else { format!("+{}", at.since(START)) }
}

fn plain(result: Result<(), SettleError>) -> String {
    result.map_or_else(|error| settle_error(&error), |()| "done".to_owned())
}

fn settle_error(error: &SettleError) -> String {
    match error {
        SettleError::Unknown(_) => "error: unknown".to_owned(),
        SettleError::Contradiction(contradiction) => format!("error: contradicts {}", contradiction.field),
        SettleError::Assumed(_) => "error: assumed".to_owned(),
    }
}

fn news(settlement: &Settlement) -> String {
    let show = |charge: &Charge| match charge[Meter::Usd] {
        0 if charge[Meter::Tokens] > 0 => Meter::Tokens.show(charge[Meter::Tokens]),
        usd => Meter::Usd.show(usd),
    };
    if settlement.overrun[Meter::Usd] > 0 || settlement.overrun[Meter::Tokens] > 0 {
        return format!("{} over", show(&settlement.overrun));
    }
    format!("{} back", show(&settlement.back))
}

fn reason(refusal: &Refusal) -> String {
    match refusal.reason {
        RefusalReason::Exhausted => "exhausted".to_owned(),
        RefusalReason::TooLarge => "too large".to_owned(),
        RefusalReason::Held => "held".to_owned(),
        RefusalReason::Level => format!("{} at {}", refusal.priority, refusal.level),
    }
}

fn why(refusal: &Refusal) -> String {
    let show = |amount| refusal.limit.meter.show(amount);
    let changes = refusal.changes_at.map_or(String::new(), |at| format!(", until {}", since_start(at)));
    let (left, asked) = (show(refusal.left()), show(refusal.asked));
    format!("{}, {} of {}, {left} left, asked {asked}{changes}", reason(refusal), refusal.limit, refusal.account)
}

fn show_limit(view: &LimitView) -> String {
    let mut parts = Vec::new();
    for (what, amount) in [("spent", view.spent), ("assumed", view.assumed), ("held", view.held)] {
        if amount > 0 {
            parts.push(format!("{} {what}", view.limit.meter.show(amount)));
        }
    }
    if view.charged() > view.limit.amount {
        parts.push(format!("{} over", view.limit.meter.show(view.charged() - view.limit.amount)));
    } else {
        parts.push(format!("{} left", view.limit.meter.show(view.left())));
    }
    parts.extend(view.resets_at.map(|at| format!("until {}", since_start(at))));
    parts.join(", ")
}

/// The steady clock, which in these tables runs with ledger time.
fn steady(now: Timestamp) -> Span {
    Span::from_ms(now.ms())
}
