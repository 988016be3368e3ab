//! A small false world: a ledger with three budgets, random commands, and a state directory.

use std::path::{Path, PathBuf};

use almoner_ledger::{AccountId, Entry, Ledger, Patience, ReleaseReason, Reserve, Who};
use almoner_units::{
    AccountKey, Ask, Budget, CallId, Charge, LabelName, LabelValue, LevelMarks, Meter, Mode, PicoUsdPerToken, Priority,
    Span, Timestamp,
};

use crate::{Journal, OpenError, Recovered};

/// When the false world begins.
pub(crate) const START: Timestamp = Timestamp::from_ms(1_764_000_000_000);

/// A random number generator that needs no crate: xorshift.
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }

    pub(crate) fn bytes(&mut self) -> [u8; 10] {
        std::array::from_fn(|_| u8::try_from(self.roll(256)).unwrap())
    }
}

pub(crate) struct World {
    pub(crate) ledger: Ledger,
    pub(crate) dice: Dice,
    pub(crate) now: Timestamp,
    open: Vec<CallId>,
    assumed: Vec<(CallId, Timestamp)>,
}

impl World {
    pub(crate) fn new(seed: u64) -> Self {
        let mut world =
            Self { ledger: Ledger::new(), dice: Dice::new(seed), now: START, open: Vec::new(), assumed: Vec::new() };
        let budgets = [
            budget("each session", &["session"], &["$5 / sliding 1h", "1M tokens / day in Europe/Berlin"]),
            budget("the firm", &[], &["$1000 / month", "5M tokens / 24h", "$100000"]),
            Budget { mode: Mode::Warn, ..budget("watch", &["team"], &["$1 / hour"]) },
        ];
        for budget in budgets {
            world.ledger.set_budget(budget, who(), START);
        }
        world
    }

    /// Goes on from books that were read back.
    pub(crate) fn resume(seed: u64, ledger: Ledger) -> Self {
        let open = ledger.holds().iter().map(|hold| hold.id).collect();
        let now = ledger.now();
        Self { ledger, dice: Dice::new(seed), now, open, assumed: Vec::new() }
    }

    /// A random command; gives the facts it made.
    pub(crate) fn step(&mut self) -> Vec<Entry> {
        self.now = self.now.after(Span::from_ms(self.dice.roll(20_000)));
        match self.dice.roll(20) {
            0..=8 => drop(self.reserve()),
            9..=13 => self.settle(),
            14 => self.release(),
            15 => self.assume(),
            16 => self.correct(),
            17 => self.add(),
            18 => self.ledger.sweep(self.now),
            _ => self.change(),
        }
        self.ledger.take_facts()
    }

    /// At least `facts` facts.
    pub(crate) fn facts(&mut self, facts: usize) -> Vec<Entry> {
        let mut made = self.ledger.take_facts();
        while made.len() < facts {
            made.extend(self.step());
        }
        made
    }

    pub(crate) fn reserve(&mut self) -> Option<CallId> {
        let id = CallId::new(self.now, self.dice.bytes());
        let accounts = self.accounts();
        let mut fixed = Charge::ZERO;
        fixed[Meter::Usd] = self.dice.roll(20_000_000);
        fixed[Meter::Tokens] = self.dice.roll(5_000);
        fixed[Meter::Requests] = 1;
        let ask = Ask::new(fixed, 1, PicoUsdPerToken::new(15_000_000), 4_096);
        let lasts = Span::from_secs(600);
        let priority = Priority::ALL[usize::try_from(self.dice.roll(4)).unwrap()];
        let call = Reserve { id, accounts, ask, priority, lasts, can_tighten: false };
        self.ledger.reserve(&call, Patience::Spent, self.now).unwrap();
        let held = self.ledger.holds().iter().any(|hold| hold.id == id);
        held.then(|| self.open.push(id)).map(|()| id)
    }

    fn accounts(&mut self) -> Box<[AccountId]> {
        let session = self.dice.roll(6);
        let keys = [
            account("each session", &[("session", &format!("s{session}"))]),
            account("the firm", &[]),
            account("watch", &[("team", "red")]),
        ];
        keys.iter().map(|key| self.ledger.open(key, "k1", self.now).unwrap()).collect()
    }

    fn take_open(&mut self) -> Option<CallId> {
        if self.open.is_empty() {
            return None;
        }
        let at = self.dice.roll(self.open.len() as u64);
        Some(self.open.swap_remove(usize::try_from(at).unwrap()))
    }

    fn charge(&mut self) -> Charge {
        let mut charge = Charge::ZERO;
        charge[Meter::Usd] = self.dice.roll(100_000_000);
        charge[Meter::Tokens] = self.dice.roll(10_000);
        charge[Meter::Requests] = 1;
        charge
    }

    fn settle(&mut self) {
        let spent = self.charge();
        if let Some(id) = self.take_open() {
            self.ledger.settle(id, spent, self.now).unwrap();
        }
    }

    fn release(&mut self) {
        let refused = self.dice.roll(2) == 0;
        if let Some(id) = self.take_open() {
            let reason =
                if refused { ReleaseReason::RefusedUpstream { status: 429 } } else { ReleaseReason::NeverSent };
            self.ledger.release(id, reason, self.now).unwrap();
        }
    }

    pub(crate) fn assume(&mut self) {
        if let Some(id) = self.take_open() {
            self.ledger.assume(id, "no news for 10 minutes", self.now).unwrap();
            self.assumed.push((id, self.now));
        }
    }

    fn correct(&mut self) {
        // Corrections need the store, which hands the assumed hold in; see `correct_with`.
        self.now = self.now.after(Span::from_ms(1));
    }

    /// Corrects the oldest assumed hold, which `journal` keeps.
    pub(crate) fn correct_with(&mut self, journal: &Journal) -> Option<CallId> {
        if self.assumed.is_empty() {
            return None;
        }
        let (id, _) = self.assumed.remove(0);
        let assumed = journal.assumed(id).unwrap().unwrap();
        let spent = self.charge();
        self.ledger.correct(assumed, spent, who(), "the bill came".to_owned(), self.now).unwrap();
        Some(id)
    }

    fn add(&mut self) {
        let accounts = self.accounts();
        let (id, spent) = (CallId::new(self.now, self.dice.bytes()), self.charge());
        self.ledger.add(id, accounts, spent, who(), "by hand".to_owned(), self.now).unwrap();
    }

    fn change(&mut self) {
        let dollars = 500 + self.dice.roll(500);
        let limit = format!("${dollars} / month");
        match self.dice.roll(3) {
            0 => self.ledger.set_budget(budget("the firm", &[], &[&limit]), who(), self.now),
            1 => drop(self.ledger.reset(&account("the firm", &[]), who(), "a new start".to_owned(), self.now)),
            _ => {
                self.ledger.set_budget(budget("passing", &[], &["$3 / lifetime"]), who(), self.now);
                self.ledger.remove_budget(&"passing".parse().unwrap(), who(), self.now);
            }
        }
    }
}

pub(crate) fn who() -> Who {
    Who("ann".to_owned())
}

pub(crate) fn budget(name: &str, per: &[&str], limits: &[&str]) -> Budget {
    Budget {
        name: name.parse().unwrap(),
        filter: Vec::new(),
        per: per.iter().map(|name| name.parse().unwrap()).collect(),
        limits: limits.iter().map(|limit| limit.parse().unwrap()).collect(),
        mode: Mode::StopNew,
        marks: LevelMarks::default(),
    }
}

pub(crate) fn account(budget: &str, per: &[(&str, &str)]) -> AccountKey {
    let pair =
        |(name, value): &(&str, &str)| -> (LabelName, LabelValue) { (name.parse().unwrap(), value.parse().unwrap()) };
    AccountKey { budget: budget.parse().unwrap(), per: per.iter().map(pair).collect() }
}

/// A state directory that is gone when it is dropped.
pub(crate) struct State {
    root: tempfile::TempDir,
}

impl State {
    pub(crate) fn new() -> Self {
        Self { root: tempfile::tempdir().unwrap() }
    }

    pub(crate) fn dir(&self) -> PathBuf {
        self.root.path().join("state")
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir().join(name)
    }

    pub(crate) fn open(&self) -> (Journal, Recovered) {
        self.attempt().unwrap_or_else(|error| panic!("{error}"))
    }

    /// Opens it. A process that another test is just starting holds our locks until it runs, so that is waited for.
    fn attempt(&self) -> Result<(Journal, Recovered), OpenError> {
        for _ in 0..2000 {
            match Journal::open(&self.dir()) {
                Err(OpenError::InUse { pid, .. }) if pid == Some(std::process::id()) => std::thread::yield_now(),
                opened => return opened,
            }
        }
        Journal::open(&self.dir())
    }

    pub(crate) fn fault(&self) -> OpenError {
        self.attempt().map(drop).unwrap_err()
    }

    /// The files as a kill would leave them: copied while the journal is open, its log not folded in.
    pub(crate) fn killed(&self) -> Self {
        let copy = Self::new();
        copy_files(&self.dir(), &copy.dir());
        copy
    }
}

/// Copies the files of a ledger; the ballast is made anew where it is needed.
pub(crate) fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for name in ["ledger.db", "ledger.db-wal", "ledger.hwm", "ledger.lock"] {
        if from.join(name).exists() {
            std::fs::copy(from.join(name), to.join(name)).unwrap();
        }
    }
}
