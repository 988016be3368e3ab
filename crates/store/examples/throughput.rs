//! How fast the journal is, beside what the same disk does at that moment.
//!
//! `cargo run --release -p almoner-store --example throughput -- [DIR] [ROWS]` writes below DIR (the temporary
//! directory by default) and replays ROWS facts (a million by default). A durable append of one fact is timed in turns
//! with an append and `fdatasync` of 4 KiB in the same directory, because disks change their mind from second to
//! second.
#![allow(clippy::disallowed_methods, clippy::print_stdout, clippy::float_arithmetic)]

use std::error::Error;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use almoner_ledger::{AccountId, Entry, Ledger, Patience, Reserve, Who};
use almoner_store::Journal;
use almoner_units::{
    AccountKey, Ask, Budget, CallId, Charge, LevelMarks, Meter, Mode, PicoUsdPerToken, Priority, Span, Timestamp,
};

const START: Timestamp = Timestamp::from_ms(1_764_000_000_000);
const SINGLES: usize = 500;
const BATCHES: [usize; 4] = [1, 8, 64, 512];

type Outcome<T = ()> = Result<T, Box<dyn Error>>;

fn main() -> Outcome {
    let mut args = std::env::args().skip(1);
    let base = args.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let rows = args.next().map_or(Ok(1_000_000), |rows| rows.parse())?;
    let dir = base.join(format!("almoner-throughput-{}", std::process::id()));
    let result = appends(&dir.join("appends")).and_then(|()| replay(&dir.join("replay"), rows));
    std::fs::remove_dir_all(&dir)?;
    result
}

/// Durable appends of one fact, in turns with the disk's own, and then batches.
fn appends(dir: &Path) -> Outcome {
    let (mut journal, _) = Journal::open(dir)?;
    let mut work = Work::new()?;
    journal.append(&work.take(1))?;
    let mut raw = Raw::open(&dir.join("raw"))?;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..SINGLES {
        let fact = work.take(1);
        ours.push(timed(|| Ok(journal.append(&fact)?))?);
        theirs.push(timed(|| raw.append())?);
    }
    let (ours, theirs) = (Percentiles::of(ours), Percentiles::of(theirs));
    println!("one fact, durable:       {ours}");
    println!("4 KiB and fdatasync:     {theirs}");
    println!("p50 of ours minus theirs: {:+.3} ms", ms(ours.p50) - ms(theirs.p50));
    for size in BATCHES {
        let batches = if size == 512 { 200 } else { 400 };
        let facts: Vec<Vec<Entry>> = (0..batches).map(|_| work.take(size)).collect();
        let took = timed(|| Ok(facts.iter().try_for_each(|batch| journal.append(batch))?))?;
        let rate = f64::from(u32::try_from(batches * size)?) / took.as_secs_f64();
        println!("batches of {size:>3}:          {rate:>9.0} facts/s");
    }
    Ok(())
}

/// Writes `rows` facts and opens the journal again, which reads, checks and folds each of them; and once more with
/// snapshots, from the latest of which opening begins.
fn replay(dir: &Path, rows: usize) -> Outcome {
    for (name, accounts, snapshots) in [("all", 4, false), ("snapshots", 4, true), ("large", 10_000, true)] {
        let dir = dir.join(name);
        println!("{} snapshots, {accounts} accounts with a sliding window:", if snapshots { "with" } else { "no" });
        let head = fill(&dir, rows, accounts, snapshots)?;
        reopen(&dir, head)?;
        std::fs::remove_dir_all(&dir)?;
    }
    Ok(())
}

/// Writes `rows` facts in small batches, as the desk does; gives the head.
fn fill(dir: &Path, rows: usize, accounts: usize, snapshots: bool) -> Outcome<(u64, almoner_store::Chain)> {
    let (mut journal, _) = Journal::open(dir)?;
    let mut work = Work::with(accounts)?;
    let (mut begins, mut riding, mut alone) = (Vec::new(), Vec::new(), Vec::new());
    let mut is_making = false;
    while journal.head().0 < u64::try_from(rows)? {
        let facts = work.whole(64);
        let took = timed(|| Ok(journal.append(&facts)?))?;
        if is_making {
            riding.push(took);
        } else {
            alone.push(took);
        }
        if snapshots && journal.is_snapshot_due() {
            begins.push(timed(|| {
                journal.begin_snapshot(&work.ledger);
                Ok(())
            })?);
            is_making = true;
        }
        if let Some((upto, digest)) = journal.kept_snapshot() {
            work.ledger.note_snapshot(upto, digest, work.now);
            is_making = false;
        }
    }
    journal.append(&work.ledger.take_facts())?;
    println!("  batches of 64 alone:    {}", Percentiles::of(alone));
    if !begins.is_empty() {
        println!("  with a piece of one:    {}", Percentiles::of(riding));
        println!("  taking a snapshot:      {}, at most {:.1} ms", Percentiles::of(begins.clone()), longest(&begins));
    }
    let head = journal.head();
    drop(journal);
    let size = std::fs::metadata(dir.join("ledger.db"))?.len();
    println!("  journal of {} facts:  {} MB, {} bytes a fact", head.0, size / 1_000_000, size / head.0);
    Ok(head)
}

fn longest(times: &[Duration]) -> f64 {
    times.iter().max().map_or(0.0, |longest| ms(*longest))
}

fn reopen(dir: &Path, head: (u64, almoner_store::Chain)) -> Outcome {
    for _ in 0..3 {
        let mut opened = None;
        let took = timed(|| {
            opened = Some(Journal::open(dir)?);
            Ok(())
        })?;
        let Some((journal, recovered)) = opened else { unreachable!("it was opened") };
        assert_eq!((journal.head(), recovered.ledger.seq()), (head, head.0));
        println!("  open, check and replay: {:.2} s", took.as_secs_f64());
    }
    Ok(())
}

/// Reserves and settles, one after the other, each call on four accounts.
struct Work {
    ledger: Ledger,
    accounts: Box<[AccountId]>,
    /// Other accounts, of which each call touches one more.
    others: Vec<AccountId>,
    now: Timestamp,
    calls: u64,
    made: Vec<Entry>,
}

impl Work {
    fn new() -> Outcome<Self> {
        let mut ledger = Ledger::new();
        let mut accounts = Vec::new();
        for name in ["one", "two", "three", "four"] {
            let budget = Budget {
                name: name.parse()?,
                filter: Vec::new(),
                per: Vec::new(),
                limits: vec!["$1000000000 / month".parse()?],
                mode: Mode::StopNew,
                marks: LevelMarks::default(),
            };
            ledger.set_budget(budget, Who("throughput".to_owned()), START);
            let key = AccountKey { budget: name.parse()?, per: Vec::new() };
            accounts.extend(ledger.open(&key, "key", START));
        }
        let (others, now) = (Vec::new(), START);
        Ok(Self { ledger, accounts: accounts.into(), others, now, calls: 0, made: Vec::new() })
    }

    /// The same, with so many accounts beside.
    fn with(accounts: usize) -> Outcome<Self> {
        let mut work = Self::new()?;
        let budget = Budget {
            name: "others".parse()?,
            filter: Vec::new(),
            per: vec!["session".parse()?],
            limits: vec!["$1000000000 / sliding 1h".parse()?],
            mode: Mode::StopNew,
            marks: LevelMarks::default(),
        };
        work.ledger.set_budget(budget, Who("throughput".to_owned()), START);
        for number in 0..accounts {
            let session = ("session".parse()?, format!("s{number}").parse()?);
            let key = AccountKey { budget: "others".parse()?, per: [session].into() };
            work.others.extend(work.ledger.open(&key, &format!("key {}", number / 1000), START));
        }
        Ok(work)
    }

    /// So many facts at least, and all that the ledger has.
    fn whole(&mut self, count: usize) -> Vec<Entry> {
        let mut made = self.ledger.take_facts();
        while made.len() < count {
            self.call();
            made.extend(self.ledger.take_facts());
        }
        made
    }

    /// The next `count` facts.
    fn take(&mut self, count: usize) -> Vec<Entry> {
        while self.made.len() < count {
            self.call();
            self.made.extend(self.ledger.take_facts());
        }
        self.made.drain(..count).collect()
    }

    fn touched(&self) -> Box<[AccountId]> {
        let others = self.others.len().max(1);
        let other = self.others.get(usize::try_from(self.calls).unwrap_or(0) % others);
        self.accounts.iter().chain(other).copied().collect()
    }

    fn call(&mut self) {
        self.calls += 1;
        self.now = self.now.after(Span::from_ms(1));
        let mut random = [0; 10];
        random[..8].copy_from_slice(&self.calls.to_le_bytes());
        let id = CallId::new(self.now, random);
        let mut spent = Charge::ZERO;
        for (meter, amount) in [(Meter::Usd, 12_345_678), (Meter::Tokens, 4_321), (Meter::Requests, 1)] {
            spent[meter] = amount;
        }
        let call = Reserve {
            id,
            accounts: self.touched(),
            ask: Ask::new(spent, 1, PicoUsdPerToken::new(15_000_000), 8_192),
            priority: Priority::Normal,
            lasts: Span::from_secs(600),
            can_tighten: false,
        };
        let held = self.ledger.reserve(&call, Patience::Fresh, self.now);
        assert!(held.is_ok(), "{held:?}");
        let settled = self.ledger.settle(id, spent, self.now);
        assert!(settled.is_ok(), "{settled:?}");
    }
}

/// What the disk itself can do.
struct Raw {
    file: File,
}

impl Raw {
    fn open(path: &Path) -> Outcome<Self> {
        Ok(Self { file: OpenOptions::new().create(true).append(true).open(path)? })
    }

    fn append(&mut self) -> Outcome {
        self.file.write_all(&[7; 4096])?;
        Ok(self.file.sync_data()?)
    }
}

fn timed(work: impl FnOnce() -> Outcome) -> Outcome<Duration> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed())
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

struct Percentiles {
    p50: Duration,
    p99: Duration,
    count: usize,
}

impl Percentiles {
    fn of(mut times: Vec<Duration>) -> Self {
        times.sort_unstable();
        Self { p50: times[times.len() / 2], p99: times[times.len() * 99 / 100], count: times.len() }
    }
}

impl std::fmt::Display for Percentiles {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "p50 {:.3} ms, p99 {:.3} ms (n = {})", ms(self.p50), ms(self.p99), self.count)
    }
}
