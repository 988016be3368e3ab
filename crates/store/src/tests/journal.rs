//! The journal: what is acknowledged comes back, one process has it, and only a ledger is opened.

use std::collections::BTreeSet;
use std::fs;

use almoner_ledger::{Entry, Fact};
use almoner_units::CallId;

use super::world::{START, State, World};
use crate::{Journal, OpenError};

#[test]
fn replay_agrees_with_memory_after_random_histories() {
    for seed in 0..12 {
        let state = State::new();
        let (mut journal, recovered) = state.open();
        assert_eq!(recovered.ledger.seq(), 0);
        let mut world = World::new(seed);
        for _ in 0..60 {
            let size = usize::try_from(1 + world.dice.roll(9)).unwrap();
            journal.append(&world.facts(size)).unwrap();
            world.correct_with(&journal);
            journal.append(&world.ledger.take_facts()).unwrap();
        }
        let replayed = journal.replay().unwrap();
        assert!(replayed.agrees_with(&world.ledger, world.now), "seed {seed}");
        let head = journal.head();
        let killed = state.killed();
        drop(journal);
        for state in [state, killed] {
            let (journal, recovered) = state.open();
            assert_eq!(journal.head(), head, "seed {seed}");
            assert!(recovered.ledger.agrees_with(&world.ledger, world.now), "seed {seed}");
            let open: Vec<_> = world.ledger.holds().iter().map(|hold| hold.id).collect();
            assert_eq!(recovered.open_holds, open, "seed {seed}");
        }
    }
}

#[test]
fn a_ledger_goes_on_where_it_ended() {
    let state = State::new();
    let mut world = World::new(1);
    for round in 0..5 {
        let (mut journal, recovered) = state.open();
        if round > 0 {
            world = World::resume(round, recovered.ledger);
        }
        journal.append(&world.facts(20)).unwrap();
    }
    let (journal, recovered) = state.open();
    assert!(journal.head().0 >= 100);
    assert!(recovered.ledger.agrees_with(&world.ledger, world.now));
}

#[test]
fn two_state_directories_know_nothing_of_each_other() {
    let (here, there) = (State::new(), State::new());
    let (mut journal, _) = here.open();
    journal.append(&World::new(3).facts(50)).unwrap();
    let (other, recovered) = there.open();
    assert_eq!((other.head().0, recovered.ledger.views(START).len()), (0, 0));
    assert!(journal.replay().unwrap().views(START).len() > 1);
}

#[test]
fn the_facts_of_a_call_are_found_without_an_index() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let facts = World::new(4).facts(300);
    journal.append(&facts).unwrap();
    let about = |entry: &Entry| match &entry.fact {
        Fact::Held(hold) | Fact::Assumed { hold, .. } => Some(hold.id),
        Fact::Settled { id, .. } | Fact::Released { id, .. } | Fact::Added { id, .. } => Some(*id),
        _ => None,
    };
    let calls: BTreeSet<CallId> = facts.iter().filter_map(about).collect();
    assert!(calls.len() > 50);
    for call in calls {
        let expected: Vec<Entry> = facts.iter().filter(|entry| about(entry) == Some(call)).cloned().collect();
        assert_eq!(journal.facts_of(call).unwrap(), expected);
    }
    assert!(journal.facts_of(CallId::new(START, [99; 10])).unwrap().is_empty());
}

#[test]
#[should_panic(expected = "fact 3 cannot follow fact 0")]
fn a_batch_that_does_not_follow_is_a_broken_promise() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let facts = World::new(1).facts(5);
    let _ = journal.append(&facts[2..]);
}

#[test]
fn a_second_process_is_refused_with_the_pid_of_the_first() {
    let state = State::new();
    let (_journal, _) = state.open();
    let fault = state.fault();
    let OpenError::InUse { pid, .. } = &fault else { panic!("{fault}") };
    assert_eq!(*pid, Some(std::process::id()));
    let text = fault.to_string();
    assert!(text.contains(&format!("process {} has the ledger", std::process::id())), "{text}");
    assert!(text.contains("--state"), "{text}");
}

#[test]
fn a_real_second_process_is_refused() {
    let state = State::new();
    let (_journal, _) = state.open();
    let output = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "tests::journal::open_in_another_process", "--ignored", "--nocapture"])
        .env("ALMONER_TEST_STATE", state.dir())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(said.contains(&format!("process {} has the ledger", std::process::id())), "{said}");
}

/// The other process of the test above.
#[test]
#[ignore = "run by another test, in a process of its own"]
#[allow(clippy::disallowed_methods)]
fn open_in_another_process() {
    let dir = std::env::var_os("ALMONER_TEST_STATE").unwrap();
    match Journal::open(dir.as_ref()) {
        Ok(_) => println!("opened"),
        Err(error) => println!("{error}"),
    }
}

#[test]
fn the_lock_ends_with_its_holder() {
    let state = State::new();
    drop(state.open());
    drop(state.open());
}

#[test]
fn a_database_that_is_no_ledger_is_left_alone() {
    let foreign = rusqlite::Connection::open_in_memory().unwrap();
    let state = State::new();
    fs::create_dir_all(state.dir()).unwrap();
    foreign.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();
    foreign.execute("VACUUM INTO ?1", [state.file("ledger.db").to_str().unwrap()]).unwrap();
    for content in [fs::read(state.file("ledger.db")).unwrap(), b"a diary".to_vec(), vec![0; 5000]] {
        fs::write(state.file("ledger.db"), &content).unwrap();
        let fault = state.fault();
        assert!(matches!(fault, OpenError::Foreign { .. }), "{fault}");
        assert_eq!(fs::read(state.file("ledger.db")).unwrap(), content);
    }
}

#[test]
fn a_ledger_of_a_later_version_is_refused() {
    let state = State::new();
    let (journal, _) = state.open();
    journal.connection.pragma_update(None, "user_version", 4).unwrap();
    drop(journal);
    let fault = state.fault();
    assert!(matches!(fault, OpenError::Newer { found: 4, known: 3, .. }), "{fault}");
}

#[test]
fn a_directory_that_cannot_be_made_is_named() {
    let state = State::new();
    fs::write(state.dir(), "a file").unwrap();
    let fault = state.fault();
    assert!(matches!(&fault, OpenError::Unreadable { .. }), "{fault}");
    assert!(fault.to_string().contains("state"), "{fault}");
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_a_ledger() {
    use std::os::unix::fs::PermissionsExt;
    let state = State::new();
    let (mut journal, _) = state.open();
    journal.append(&World::new(1).facts(50)).unwrap();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&state.dir()), 0o700);
    let names: Vec<_> = fs::read_dir(state.dir()).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(names.len() >= 5, "{names:?}");
    for path in names {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn the_settings_are_those_that_make_a_commit_last() {
    let state = State::new();
    let (journal, _) = state.open();
    let ask = |pragma: &str| -> String {
        let text = |row: &rusqlite::Row<'_>| {
            row.get::<_, rusqlite::types::Value>(0).map(|value| match value {
                rusqlite::types::Value::Text(text) => text,
                rusqlite::types::Value::Integer(number) => number.to_string(),
                other => format!("{other:?}"),
            })
        };
        journal.connection.pragma_query_value(None, pragma, text).unwrap()
    };
    assert_eq!(ask("journal_mode"), "wal");
    assert_eq!(ask("synchronous"), "2");
    assert_eq!(ask("locking_mode"), "exclusive");
    assert_eq!(ask("cell_size_check"), "1");
    assert_eq!(ask("trusted_schema"), "0");
    assert_eq!(ask("wal_autocheckpoint"), "4000");
    assert!(rusqlite::version_number() >= 3_051_003, "{}", rusqlite::version());
}

#[test]
fn the_head_tells_one_history_from_another() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let empty = journal.head();
    journal.append(&World::new(1).facts(3)).unwrap();
    assert!(journal.head().0 >= 3 && journal.head().1 != empty.1);
    assert_eq!(journal.head().1.to_string().len(), 32);
    let other = State::new();
    assert_ne!(other.open().0.head(), empty, "two ledgers begin with their own ids");
}

#[test]
fn the_mark_is_flushed_now_and_then_even_while_time_stands_still() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let mut world = World::new(1);
    for _ in 0..3 {
        journal.append(&world.facts(3)).unwrap();
        assert!(!journal.high_water.is_flushed);
        journal.tick(START).unwrap();
        assert!(journal.high_water.is_flushed);
    }
}

/// The daemon hands the journal to a thread of its own.
#[test]
fn a_journal_can_move_to_another_thread() {
    fn moves<T: Send>(_: T) {}
    let state = State::new();
    moves(state.open().0);
    moves(crate::History::open(&state.dir()).unwrap());
}

#[test]
fn a_shell_that_reads_the_ledger_is_in_the_way_and_is_said_to_be() {
    let state = State::new();
    drop(state.open());
    let shell = rusqlite::Connection::open(state.file("ledger.db")).unwrap();
    let mut rows = shell.prepare("SELECT * FROM ledger").unwrap();
    let mut rows = rows.query([]).unwrap();
    rows.next().unwrap();
    let fault = state.fault().to_string();
    assert!(fault.contains("close whatever else has it open"), "{fault}");
}

#[test]
fn nothing_is_written_after_a_write_that_failed() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let mut world = World::new(1);
    journal.append(&world.facts(3)).unwrap();
    let head = journal.head();
    assert!(journal.transact(|batch| batch.execute("no such statement", [])).is_err());
    assert!(matches!(journal.append(&world.facts(3)), Err(crate::AppendError::Io { .. })));
    drop(journal);
    assert_eq!(state.open().0.head(), head);
}
