//! Snapshots: opening begins at the latest, whatever was going on when the process died, and old facts are let go.

use std::fs;

use almoner_ledger::{Desk, Entry, Fact, Ledger, Reading};
use almoner_units::{Span, Timestamp};

use super::tables::OLD_KEYS;
use super::world::{START, State, World};
use crate::{Journal, OpenError, RepairMode, repair, verify};

const DAY: u64 = 24 * 3600;

/// Goes on with a snapshot as the desk does.
fn go_on(journal: &mut Journal, world: &mut World) {
    if journal.is_snapshot_due() {
        journal.begin_snapshot(&world.ledger);
    }
    if let Some((upto, digest)) = journal.kept_snapshot() {
        world.ledger.note_snapshot(upto, digest, world.now);
    }
}

fn count(journal: &Journal, table: &str) -> i64 {
    journal.connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
}

#[track_caller]
fn opens_as(state: &State, world: &World, head: (u64, crate::Chain)) {
    let (journal, recovered) = state.open();
    assert_eq!(journal.head(), head);
    assert!(recovered.ledger.agrees_with(&world.ledger, world.now));
    let whole = journal.replay().unwrap();
    assert!(whole.agrees_with(&recovered.ledger, world.now));
}

#[test]
fn a_process_may_die_at_any_point_of_a_snapshot() {
    for seed in 0..3 {
        let state = State::new();
        let (mut journal, _) = state.open();
        journal.snapshot_every(20);
        let mut world = World::new(seed);
        for _ in 0..40 {
            journal.append(&world.facts(4)).unwrap();
            opens_as(&state.killed(), &world, journal.head());
            go_on(&mut journal, &mut world);
            journal.append(&world.ledger.take_facts()).unwrap();
            opens_as(&state.killed(), &world, journal.head());
        }
        assert_eq!(count(&journal, "snapshot"), 2, "seed {seed}");
        assert!(count(&journal, "snapshot_part") < 20, "old parts are removed");
        drop(journal);
        assert!(verify(&state.dir()).unwrap().is_sound());
    }
}

#[test]
fn a_ledger_from_a_snapshot_goes_on_like_any_other() {
    let state = State::new();
    let mut world = World::new(5);
    for round in 0..6 {
        let (mut journal, recovered) = state.open();
        if round > 0 {
            assert!(recovered.ledger.agrees_with(&world.ledger, world.now));
            world = World::resume(round, recovered.ledger);
        }
        journal.append(&world.facts(60)).unwrap();
        journal.snapshot_now(&mut world.ledger, world.now).unwrap();
        journal.append(&world.facts(7)).unwrap();
        opens_as(&state.killed(), &world, journal.head());
    }
}

#[test]
fn the_desk_keeps_snapshots_by_itself() {
    let state = State::new();
    let (mut journal, recovered) = state.open();
    journal.snapshot_every(30);
    let reading = |ms| Reading { wall: START.after(Span::from_ms(ms)), steady: Span::from_ms(ms) };
    let mut desk: Desk<(), Journal> = Desk::new(recovered.ledger, journal, reading(0), 10);
    let mut world = World::new(6);
    desk.ledger = std::mem::take(&mut world.ledger);
    for batch in 1..200_u64 {
        desk.begin(reading(batch * 1500));
        world.ledger = std::mem::take(&mut desk.ledger);
        world.now = desk.now();
        let _ = world.reserve();
        if batch % 2 == 0 {
            world.assume();
        }
        desk.ledger = std::mem::take(&mut world.ledger);
        desk.attend();
        desk.commit(true).unwrap();
    }
    assert_eq!(count(&desk.journal, "snapshot"), 2);
    let latest: i64 = desk.journal.connection.query_row("SELECT max(seq) FROM snapshot", [], |row| row.get(0)).unwrap();
    let behind = desk.journal.head().0 - u64::try_from(latest).unwrap();
    assert!(behind < 60, "the latest snapshot is {behind} facts behind");
    desk.commit(true).unwrap();
    let (_, recovered) = state.killed().open();
    assert!(recovered.ledger.agrees_with(&desk.ledger, desk.now()));
}

/// A journal with two snapshots whose old facts were let go, closed, and its books.
fn trimmed() -> (State, World) {
    let state = State::new();
    let mut world = World::new(7);
    let (mut journal, _) = state.open();
    for _ in 0..3 {
        journal.append(&world.facts(100)).unwrap();
        journal.snapshot_now(&mut world.ledger, world.now).unwrap();
    }
    journal.append(&world.facts(10)).unwrap();
    let before = count(&journal, "journal");
    journal.tick(world.now.after(Span::from_secs(34 * DAY))).unwrap();
    assert_eq!(count(&journal, "journal"), before, "late news may still be about every fact");
    journal.tick(world.now.after(Span::from_secs(36 * DAY))).unwrap();
    let kept = count(&journal, "journal");
    assert!(kept < before - 150 && kept > 100, "{kept} of {before}");
    drop(journal);
    (state, world)
}

#[test]
fn old_facts_are_let_go_and_the_rest_is_still_checked_from_there() {
    let (state, mut world) = trimmed();
    let report = verify(&state.dir()).unwrap();
    assert!(report.is_sound(), "{report:?}");
    let (mut journal, recovered) = state.open();
    assert_eq!(report.head, Some(journal.head().1));
    assert!(recovered.ledger.agrees_with(&world.ledger, world.now));
    // Calls that the journal no longer reaches are unknown to it, and others are found.
    let old = journal.facts_of(almoner_units::CallId::new(START, [1; 10])).unwrap();
    assert_eq!(old, []);
    let facts = world.facts(60);
    journal.append(&facts).unwrap();
    let held = facts.iter().find_map(|entry| match &entry.fact {
        Fact::Held(hold) => Some(hold.id),
        _ => None,
    });
    assert!(!journal.facts_of(held.unwrap()).unwrap().is_empty());
    opens_as(&state.killed(), &world, journal.head());
    drop(journal);
    // The first fact that is left hangs on the last that went.
    let shell = rusqlite::Connection::open(state.file("ledger.db")).unwrap();
    shell.execute("DELETE FROM journal WHERE seq = (SELECT min(seq) FROM journal)", []).unwrap();
    drop(shell);
    let fault = verify(&state.dir()).unwrap().fault.unwrap();
    assert!(matches!(fault, OpenError::Corrupt { .. }), "{fault}");
}

#[test]
fn a_snapshot_that_was_changed_is_refused_and_made_anew() {
    for sql in [
        "UPDATE snapshot_part SET body = replace(body, '1', '2') WHERE seq = (SELECT max(seq) FROM snapshot)",
        "UPDATE snapshot SET head = replace(head, '1', '2') WHERE seq = (SELECT max(seq) FROM snapshot)",
        "UPDATE snapshot SET digest = randomblob(16) WHERE seq = (SELECT max(seq) FROM snapshot)",
        "UPDATE closed SET body = randomblob(length(body)) WHERE upto = (SELECT max(upto) FROM closed)",
        "DELETE FROM snapshot_part WHERE seq = (SELECT max(seq) FROM snapshot)",
        "DELETE FROM closed WHERE upto = (SELECT max(upto) FROM closed)",
    ] {
        let (state, world) = trimmed();
        let shell = rusqlite::Connection::open(state.file("ledger.db")).unwrap();
        assert!(shell.execute(sql, []).unwrap() > 0, "{sql}");
        drop(shell);
        let fault = state.fault();
        assert!(matches!(fault, OpenError::Snapshot { .. }), "{sql}: {fault}");
        assert!(fault.to_string().contains("almoner ledger repair"), "{fault}");
        assert!(!verify(&state.dir()).unwrap().is_sound(), "{sql}");
        let report = repair(&state.dir(), RepairMode::ChargeGap, world.now).unwrap();
        assert_eq!((report.charged.len(), report.lost), (0, Some(0)), "{sql}: {report:?}");
        let (_, recovered) = state.open();
        let mut expected = world.ledger.clone();
        for id in report.assumed {
            expected.assume(id, "the journal was damaged while this call was in flight", world.now).unwrap();
        }
        assert_eq!(recovered.ledger.views(world.now), expected.views(world.now), "{sql}");
        assert!(verify(&state.dir()).unwrap().is_sound(), "{sql}");
    }
}

#[test]
fn where_the_latest_snapshot_is_gone_the_one_before_it_serves() {
    let (state, world) = trimmed();
    let shell = rusqlite::Connection::open(state.file("ledger.db")).unwrap();
    shell.execute("DELETE FROM snapshot WHERE seq = (SELECT max(seq) FROM snapshot)", []).unwrap();
    drop(shell);
    assert!(state.open().1.ledger.agrees_with(&world.ledger, world.now));
}

#[test]
fn without_any_snapshot_facts_that_were_let_go_are_lost_and_it_is_said() {
    let (state, world) = trimmed();
    let shell = rusqlite::Connection::open(state.file("ledger.db")).unwrap();
    shell.execute("DELETE FROM snapshot", []).unwrap();
    drop(shell);
    let fault = state.fault();
    assert!(fault.to_string().contains("no snapshot has them"), "{fault}");
    assert!(repair(&state.dir(), RepairMode::ChargeGap, world.now).is_err());
    repair(&state.dir(), RepairMode::AcceptLoss, world.now).unwrap();
    assert_eq!(state.open().1.ledger.views(world.now), []);
}

/// Another journal with the same chain but another snapshot in it, whose digest fits.
#[test]
fn a_snapshot_that_says_something_else_than_the_facts_is_found() {
    let state = State::new();
    let mut world = World::new(9);
    let (mut journal, _) = state.open();
    let facts = world.facts(80);
    journal.append(&facts).unwrap();
    let spoiled = |entry: &Entry| match &entry.fact {
        Fact::Settled { id, .. } => {
            Entry { fact: Fact::Settled { id: *id, spent: almoner_units::Charge::ZERO }, ..entry.clone() }
        }
        _ => entry.clone(),
    };
    let mut wrong = Ledger::new();
    facts.iter().map(spoiled).for_each(|entry| wrong.replay(&entry));
    journal.snapshot_now(&mut wrong, world.now).unwrap();
    drop(journal);
    let fault = verify(&state.dir()).unwrap().fault.unwrap();
    assert!(fault.to_string().contains("the facts add up to something else"), "{fault}");
}

#[test]
fn a_mark_from_before_the_snapshot_is_no_reason_to_refuse_and_another_history_is() {
    let state = State::new();
    let mut world = World::new(10);
    let (mut journal, _) = state.open();
    journal.append(&world.facts(30)).unwrap();
    let mark = fs::read(state.file("ledger.hwm")).unwrap();
    journal.append(&world.facts(30)).unwrap();
    journal.snapshot_now(&mut world.ledger, world.now).unwrap();
    let head = journal.head();
    let killed = state.killed();
    fs::write(killed.file("ledger.hwm"), &mark).unwrap();
    opens_as(&killed, &world, head);
    let stranger = State::new();
    let (mut journal, _) = stranger.open();
    journal.append(&World::new(11).facts(30)).unwrap();
    let killed = state.killed();
    fs::copy(stranger.file("ledger.hwm"), killed.file("ledger.hwm")).unwrap();
    assert!(matches!(killed.fault(), OpenError::Replaced { .. }));
}

#[test]
fn a_ledger_from_before_there_were_snapshots_gets_them() {
    let state = State::new();
    let mut world = World::new(12);
    let (mut journal, _) = state.open();
    journal.append(&world.facts(90)).unwrap();
    let head = journal.head();
    drop(journal);
    let shell = rusqlite::Connection::open(state.file("ledger.db")).unwrap();
    let old = "DROP TABLE snapshot; DROP TABLE snapshot_part; DROP TABLE closed; DROP TABLE trimmed;";
    shell.execute_batch(old).unwrap();
    shell.execute_batch(OLD_KEYS).unwrap();
    shell.pragma_update(None, "user_version", 1).unwrap();
    drop(shell);
    assert!(verify(&state.dir()).unwrap().is_sound());
    opens_as(&state, &world, head);
    let (mut journal, _) = state.open();
    journal.snapshot_now(&mut world.ledger, world.now).unwrap();
    opens_as(&state.killed(), &world, journal.head());
}

#[test]
fn a_full_disk_puts_a_snapshot_off_and_keeps_the_facts() {
    let state = State::new();
    let mut world = World::new(13);
    let (mut journal, _) = state.open();
    journal.append(&world.facts(40)).unwrap();
    let pages: u32 = journal.connection.pragma_query_value(None, "page_count", |row| row.get(0)).unwrap();
    journal.begin_snapshot(&world.ledger);
    journal.limit_pages(pages);
    let facts = world.facts(200);
    while journal.append(&facts).is_err() && journal.kept_snapshot().is_none() {
        journal.limit_pages(pages + 4096);
    }
    assert!(!journal.has_ballast());
    for second in 1..9 {
        journal.tick(world.now.after(Span::from_secs(second))).unwrap();
        journal.append(&world.facts(2)).unwrap();
        if let Some((upto, digest)) = journal.kept_snapshot() {
            world.ledger.note_snapshot(upto, digest, world.now);
        }
    }
    journal.append(&world.ledger.take_facts()).unwrap();
    assert_eq!(count(&journal, "snapshot"), 1);
    opens_as(&state.killed(), &world, journal.head());
}

#[test]
fn snapshots_are_taken_now_and_then_only() {
    let state = State::new();
    let mut world = World::new(1);
    let (mut journal, _) = state.open();
    journal.append(&world.facts(100)).unwrap();
    assert!(!journal.is_snapshot_due());
    journal.snapshot_every(50);
    assert!(journal.is_snapshot_due());
    journal.snapshot_now(&mut world.ledger, Timestamp::from_ms(0)).unwrap();
    assert!(!journal.is_snapshot_due());
}
