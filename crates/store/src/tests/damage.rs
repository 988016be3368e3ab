//! Damage: whatever happens to the files, a journal that opens has every fact that was acknowledged, as it was written.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use almoner_units::Span;

use super::world::{Dice, State, World, copy_files};
use crate::{Chain, Journal, OpenError, verify};

/// A ledger that was killed in the middle of its work: its last commits are only in its log.
struct Victim {
    state: State,
    head: (u64, Chain),
    /// After how many facts there was a commit.
    commits: BTreeSet<u64>,
}

impl Victim {
    /// A victim with so many commits, of which the first are in the database itself.
    fn new(seed: u64, commits: usize) -> Self {
        let state = State::new();
        let mut world = World::new(seed);
        let mut boundaries = BTreeSet::from([0]);
        let (mut journal, _) = state.open();
        for commit in 0..commits {
            if commit == commits / 2 {
                drop(journal);
                journal = state.open().0;
            }
            let size = usize::try_from(1 + world.dice.roll(4)).unwrap();
            journal.append(&world.facts(size)).unwrap();
            boundaries.insert(journal.head().0);
        }
        let head = journal.head();
        Self { state: state.killed(), head, commits: boundaries }
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.state.file(name)).unwrap()
    }

    /// A copy in which one file has this content.
    fn with(&self, name: &str, content: &[u8]) -> State {
        let copy = State::new();
        copy_files(&self.state.dir(), &copy.dir());
        fs::write(copy.file(name), content).unwrap();
        copy
    }
}

#[test]
fn a_log_cut_at_any_byte_is_whole_or_refused() {
    let victim = Victim::new(1, 40);
    let log = victim.read("ledger.db-wal");
    let mut dice = Dice::new(7);
    let mut refused = 0;
    let random: Vec<usize> = (0..200).map(|_| usize::try_from(dice.roll(log.len() as u64)).unwrap()).collect();
    // A frame is a page and 24 bytes, and cuts at its edges are the likely ones.
    let edges = (0..log.len()).step_by(4096 + 24).flat_map(|edge| [edge + 31, edge + 32, edge + 33]);
    for at in random.into_iter().chain(edges).chain([0, log.len() - 1, log.len()]).filter(|at| *at <= log.len()) {
        let cut = victim.with("ledger.db-wal", &log[..at]);
        let report = verify(&cut.dir()).unwrap();
        match report.fault {
            None => assert_eq!((report.facts, report.head), (victim.head.0, Some(victim.head.1)), "cut at {at}"),
            Some(OpenError::Shortened { marked, found, .. }) => {
                assert_eq!(marked, victim.head.0, "cut at {at}");
                assert!(victim.commits.contains(&found), "cut at {at}: {found} is no commit");
                refused += 1;
            }
            Some(other) => panic!("cut at {at}: {other}"),
        }
    }
    assert!(refused > 200, "{refused}");
}

#[test]
fn after_a_loss_of_power_an_older_mark_is_no_reason_to_refuse() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let mut world = World::new(2);
    journal.append(&world.facts(10)).unwrap();
    let mark = fs::read(state.file("ledger.hwm")).unwrap();
    journal.append(&world.facts(10)).unwrap();
    let head = journal.head();
    let killed = state.killed();
    fs::write(killed.file("ledger.hwm"), mark).unwrap();
    assert_eq!(killed.open().0.head(), head);
}

/// A victim with snapshots, whose first facts were let go, and what its books are.
fn trimmed(seed: u64) -> (Victim, World) {
    let state = State::new();
    let mut world = World::new(seed);
    let (mut journal, _) = state.open();
    let mut boundaries = BTreeSet::new();
    for round in 0..4 {
        journal.append(&world.facts(25)).unwrap();
        boundaries.insert(journal.head().0);
        if round < 3 {
            journal.snapshot_now(&mut world.ledger, world.now).unwrap();
        }
        boundaries.insert(journal.head().0);
    }
    journal.tick(world.now.after(Span::from_secs(50 * 24 * 3600))).unwrap();
    drop(journal);
    let (mut journal, _) = state.open();
    journal.append(&world.facts(5)).unwrap();
    boundaries.insert(journal.head().0);
    let victim = Victim { state: state.killed(), head: journal.head(), commits: boundaries };
    (victim, world)
}

#[test]
fn no_flipped_bit_of_a_snapshot_changes_the_books_unseen() {
    let (victim, world) = trimmed(14);
    let sound = victim.read("ledger.db");
    let (mut refused, mut repaired) = (0, 0);
    for bit in random_bits(15, 250, sound.len()).chain((0..100 * 8).step_by(53)) {
        let mut content = sound.clone();
        content[bit / 8] ^= 1 << (bit % 8);
        let flipped = victim.with("ledger.db", &content);
        match Journal::open(&flipped.dir()) {
            Ok((journal, recovered)) => {
                assert_eq!(journal.head(), victim.head, "bit {bit}");
                assert!(recovered.ledger.agrees_with(&world.ledger, world.now), "bit {bit}");
            }
            Err(fault) => {
                refused += 1;
                if matches!(fault, OpenError::Snapshot { .. }) {
                    let report = crate::repair(&flipped.dir(), crate::RepairMode::ChargeGap, world.now).unwrap();
                    assert_eq!((report.kept, report.lost), (victim.head.0, Some(0)), "bit {bit}: {fault}");
                    assert_eq!(report.charged, [], "bit {bit}: {fault}");
                    repaired += 1;
                }
            }
        }
    }
    println!("{refused} refused, {repaired} of them repaired without a charge");
    assert!(refused > 25 && repaired > 5, "{refused} refused, {repaired} repaired");
}

/// What became of bits that were flipped.
#[derive(Debug, Default)]
struct Flips {
    tried: usize,
    /// We noticed.
    noticed: usize,
    /// The rows are other rows now, or fewer.
    changed: usize,
    /// The rows are other rows now, or fewer, and SQLite alone gives them out as if nothing were wrong.
    silent: usize,
}

/// Flips single bits of a file. Every flip that changes a row must be noticed, whatever SQLite says.
fn flip(victim: &Victim, name: &str, bits: impl Iterator<Item = usize>) -> Flips {
    let sound = victim.read(name);
    let rows = rows_by_sqlite_alone(&victim.with(name, &sound)).unwrap();
    let mut flips = Flips::default();
    for bit in bits.filter(|bit| bit / 8 < sound.len()) {
        let mut content = sound.clone();
        content[bit / 8] ^= 1 << (bit % 8);
        let flipped = victim.with(name, &content);
        let fault = match verify(&flipped.dir()) {
            Ok(report) => {
                let whole = (report.facts, report.head) == (victim.head.0, Some(victim.head.1));
                assert!(report.fault.is_some() || whole, "{name}, bit {bit}: {report:?}");
                report.fault
            }
            Err(fault) => Some(fault),
        };
        if let Some(fault) = &fault {
            assert!(fault.to_string().contains("/ledger."), "{name}, bit {bit}: {fault}");
            let foreign = matches!(fault, OpenError::Newer { .. });
            assert!(foreign || fault.to_string().contains("almoner ledger repair"), "{name}, bit {bit}: {fault}");
        }
        assert_eq!(fs::read(flipped.file(name)).unwrap(), content, "verify changed {name}");
        let read = rows_by_sqlite_alone(&flipped);
        let changed = read.as_ref() != Ok(&rows);
        assert!(fault.is_some() || !changed, "{name}, bit {bit}: a changed row was not noticed");
        flips.tried += 1;
        flips.noticed += usize::from(fault.is_some());
        flips.changed += usize::from(changed);
        flips.silent += usize::from(changed && read.is_ok());
    }
    println!("{name}: {flips:?}");
    flips
}

/// Every column of every row, as a program would read them that trusts SQLite.
fn rows_by_sqlite_alone(state: &State) -> rusqlite::Result<Vec<Vec<rusqlite::types::Value>>> {
    let connection = rusqlite::Connection::open(state.file("ledger.db"))?;
    connection.pragma_update(None, "synchronous", "OFF")?;
    let mut rows = connection.prepare("SELECT seq, at_ms, kind, id, body, chain FROM journal ORDER BY seq")?;
    rows.query_map([], |row| (0..6).map(|at| row.get(at)).collect())?.collect()
}

fn random_bits(seed: u64, count: usize, bytes: usize) -> impl Iterator<Item = usize> {
    let mut dice = Dice::new(seed);
    (0..count).map(move |_| usize::try_from(dice.roll(bytes as u64 * 8)).unwrap())
}

#[test]
fn no_flipped_bit_of_the_database_changes_a_fact_unseen() {
    let victim = Victim::new(3, 30);
    let bytes = victim.read("ledger.db").len();
    let header = (0..100 * 8).step_by(13);
    let flips = flip(&victim, "ledger.db", random_bits(11, 300, bytes).chain(header));
    assert!(flips.silent > 30, "SQLite alone must be seen to fail: {flips:?}");
}

#[test]
fn no_flipped_bit_of_the_log_drops_a_commit_unseen() {
    let victim = Victim::new(4, 30);
    let bytes = victim.read("ledger.db-wal").len();
    let flips = flip(&victim, "ledger.db-wal", random_bits(12, 300, bytes).chain((0..32 * 8).step_by(7)));
    assert!(flips.silent > flips.tried / 2, "SQLite alone must be seen to fail: {flips:?}");
}

#[test]
fn every_flipped_bit_of_the_mark_is_noticed() {
    let flips = flip(&Victim::new(5, 5), "ledger.hwm", 0..64 * 8);
    assert_eq!((flips.tried, flips.noticed, flips.changed), (512, 512, 0));
}

#[test]
fn a_flipped_bit_of_the_log_is_refused_by_open_too_and_the_log_is_kept() {
    let victim = Victim::new(6, 10);
    let mut log = victim.read("ledger.db-wal");
    let at = log.len() / 2;
    log[at] ^= 1;
    let flipped = victim.with("ledger.db-wal", &log);
    let fault = flipped.fault();
    assert!(matches!(fault, OpenError::Shortened { .. }), "{fault}");
    assert_eq!(fs::read(flipped.file("ledger.db-wal")).unwrap(), log);
    assert_eq!(fs::read(flipped.file("ledger.hwm")).unwrap(), victim.read("ledger.hwm"));
}

/// Runs SQL on a ledger that was closed, as somebody with a shell would.
fn edit(sql: &str) -> State {
    let state = State::new();
    let (mut journal, _) = state.open();
    journal.append(&World::new(8).facts(40)).unwrap();
    drop(journal);
    let shell = rusqlite::Connection::open(state.file("ledger.db")).unwrap();
    assert!(shell.execute(sql, []).unwrap() > 0, "{sql}");
    state
}

#[test]
fn a_row_edited_with_plain_sql_breaks_the_chain() {
    for (sql, at) in [
        ("UPDATE journal SET body = replace(body, '1', '2') WHERE seq = 20", 20),
        ("UPDATE journal SET at_ms = at_ms + 1 WHERE seq = 7", 7),
        ("UPDATE journal SET kind = 'settled' WHERE seq = 5", 5),
        ("UPDATE journal SET id = x'00' WHERE seq = 9", 9),
        ("UPDATE journal SET chain = randomblob(16) WHERE seq = 30", 30),
        ("DELETE FROM journal WHERE seq = 12", 12),
        ("UPDATE journal SET seq = seq + 1 WHERE seq >= 33 AND seq = (SELECT max(seq) FROM journal)", 0),
        ("UPDATE ledger SET id = randomblob(16)", 1),
    ] {
        let state = edit(sql);
        let fault = state.fault();
        let OpenError::Corrupt { seq, file, .. } = &fault else { panic!("{sql}: {fault}") };
        assert!(at == 0 || *seq == at, "{sql}: {fault}");
        assert_eq!(*file, state.file("ledger.db"));
    }
}

#[test]
fn the_last_row_taken_away_is_missed() {
    let fault = edit("DELETE FROM journal WHERE seq >= 40").fault();
    let OpenError::Shortened { marked, found, .. } = &fault else { panic!("{fault}") };
    assert!(*marked >= 40 && *found == 39, "{fault}");
    assert!(fault.to_string().contains("ledger repair --charge-gap"), "{fault}");
}

#[test]
fn an_older_copy_that_went_on_is_another_history() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let mut world = World::new(9);
    journal.append(&world.facts(20)).unwrap();
    let backup = state.killed();
    journal.append(&world.facts(20)).unwrap();
    let head = journal.head();
    drop(journal);
    let (mut journal, recovered) = backup.open();
    let mut other = World::resume(10, recovered.ledger);
    journal.append(&other.facts(60)).unwrap();
    assert!(journal.head().0 > head.0);
    drop(journal);
    fs::copy(backup.file("ledger.db"), state.file("ledger.db")).unwrap();
    let fault = state.fault();
    assert!(matches!(fault, OpenError::Replaced { seq, .. } if seq == head.0), "{fault}");
}

#[test]
fn a_missing_or_damaged_mark_is_refused_and_named() {
    for (content, missing) in [(None, true), (Some(&b"x"[..]), false), (Some(&[][..]), false)] {
        let state = State::new();
        let (mut journal, _) = state.open();
        journal.append(&World::new(1).facts(5)).unwrap();
        drop(journal);
        match content {
            None => fs::remove_file(state.file("ledger.hwm")).unwrap(),
            Some(content) => fs::write(state.file("ledger.hwm"), content).unwrap(),
        }
        let fault = state.fault();
        assert!(matches!(&fault, OpenError::NoMark { missing: said, .. } if *said == missing), "{fault}");
        assert!(fault.to_string().contains("ledger.hwm"), "{fault}");
    }
}

#[test]
fn a_database_that_is_gone_or_empty_is_a_loss_and_no_new_ledger() {
    for empty in [false, true] {
        let state = State::new();
        let (mut journal, _) = state.open();
        journal.append(&World::new(1).facts(5)).unwrap();
        drop(journal);
        fs::remove_file(state.file("ledger.db")).unwrap();
        if empty {
            fs::write(state.file("ledger.db"), "").unwrap();
        }
        let fault = state.fault();
        assert!(matches!(fault, OpenError::Shortened { found: 0, .. }), "{fault}");
    }
}

#[test]
fn a_ledger_that_was_made_and_never_used_is_sound() {
    let state = State::new();
    drop(state.open());
    assert!(verify(&state.dir()).unwrap().is_sound());
    for file in ["ledger.hwm", "ledger.db"] {
        fs::remove_file(state.file(file)).unwrap();
        drop(state.open());
    }
}

#[test]
fn verify_reports_what_is_there() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let mut world = World::new(2);
    journal.append(&world.facts(50)).unwrap();
    let head = journal.head();
    assert!(matches!(verify(&state.dir()), Err(OpenError::InUse { .. })));
    drop(journal);
    let report = verify(&state.dir()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    assert_eq!((report.facts, report.head, report.marked), (head.0, Some(head.1), Some(head.0)));
    assert_eq!(report.open_holds, world.ledger.holds().len());
    assert_eq!(report.accounts, world.ledger.views(world.now).len());
    assert!(verify(Path::new("/nonexistent")).is_err());
    drop(Journal::open(&state.dir()).unwrap());
}
