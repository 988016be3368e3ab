//! A process that is killed without warning: whatever it had acknowledged is there.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use super::world::{Dice, State, World};
use crate::Journal;

const KILLS: u64 = 25;

#[test]
fn what_was_acknowledged_survives_kill_9() {
    let state = State::new();
    drop(state.open());
    let mut dice = Dice::new(1);
    let mut acknowledged = 0;
    for kill in 0..KILLS {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "tests::kill::append_until_killed", "--ignored", "--nocapture"])
            .env("ALMONER_TEST_STATE", state.dir())
            .env("ALMONER_TEST_SEED", kill.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        for _ in 0..1 + dice.roll(40) {
            let ack = said.by_ref().find_map(|line| line.strip_prefix("ack ")?.parse::<u64>().ok());
            acknowledged = ack.expect("the other process appends until it is killed");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let later = said.filter_map(|line| line.strip_prefix("ack ")?.parse().ok()).last();
        acknowledged = later.unwrap_or(acknowledged);
        let (journal, recovered) = state.open();
        assert!(journal.head().0 >= acknowledged, "kill {kill}: {} of {acknowledged}", journal.head().0);
        assert_eq!(recovered.ledger.seq(), journal.head().0);
    }
    assert!(acknowledged > KILLS);
}

/// The process that the test above kills.
#[test]
#[ignore = "run by another test, in a process of its own"]
#[allow(clippy::disallowed_methods)]
fn append_until_killed() {
    let dir = std::env::var_os("ALMONER_TEST_STATE").unwrap();
    let seed = std::env::var("ALMONER_TEST_SEED").unwrap().parse().unwrap();
    let (mut journal, recovered) = Journal::open(dir.as_ref()).unwrap();
    // So often that many are killed in the middle of one.
    journal.snapshot_every(40);
    let mut world = if recovered.ledger.seq() == 0 { World::new(seed) } else { World::resume(seed, recovered.ledger) };
    let mut out = std::io::stdout().lock();
    // A bound, so that it ends even where nobody kills it.
    for _ in 0..100_000 {
        let size = usize::try_from(1 + world.dice.roll(6)).unwrap();
        journal.append(&world.facts(size)).unwrap();
        if journal.is_snapshot_due() {
            journal.begin_snapshot(&world.ledger);
        }
        if let Some((upto, digest)) = journal.kept_snapshot() {
            world.ledger.note_snapshot(upto, digest, world.now);
        }
        if writeln!(out, "ack {}", journal.head().0).and_then(|()| out.flush()).is_err() {
            return;
        }
    }
}
