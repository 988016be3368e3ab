//! The full disk: nothing acknowledged is lost, nothing slips in, and work goes on once there is space.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use almoner_ledger::Entry;

use super::world::{START, State, World};
use crate::{AppendError, Journal};

/// Appends batches until the disk is full; gives the batch that did not fit.
fn fill(journal: &mut Journal, world: &mut World) -> Vec<Entry> {
    for _ in 0..100_000 {
        let batch = world.facts(20);
        let before = journal.head();
        match journal.append(&batch) {
            Ok(()) => {}
            Err(AppendError::Full { .. }) => {
                assert_eq!(journal.head(), before);
                return batch;
            }
            Err(other) => panic!("{other}"),
        }
    }
    panic!("the disk never became full")
}

#[test]
fn a_full_disk_keeps_every_acknowledged_fact_and_the_batch_can_be_tried_again() {
    let state = State::new();
    let (mut journal, _) = state.open();
    assert!(journal.has_ballast());
    let mut world = World::new(1);
    journal.limit_pages(60);
    let batch = fill(&mut journal, &mut world);
    let error = journal.append(&batch).unwrap_err();
    assert!(matches!(&error, AppendError::Full { .. }), "{error}");
    assert!(error.to_string().contains("the disk is full"), "{error}");
    assert!(!journal.has_ballast() && !state.file("ballast").exists());
    let acknowledged = journal.head();
    assert_eq!(state.killed().open().0.head(), acknowledged);
    assert_eq!(journal.replay().unwrap().seq(), acknowledged.0);

    journal.limit_pages(1_000_000);
    journal.append(&batch).unwrap();
    journal.tick(START).unwrap();
    assert!(journal.has_ballast(), "there is space again");
    drop(journal);
    let (_, recovered) = state.open();
    assert!(recovered.ledger.agrees_with(&world.ledger, world.now));
}

/// A small file system of its own, where the tests may mount one.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, size: &str) -> Option<Self> {
        fs::create_dir_all(at).unwrap();
        let options = format!("size={size},mode=700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "almoner-test"]).arg(at).output();
        mounted.is_ok_and(|done| done.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).output();
    }
}

#[test]
fn on_a_disk_that_is_really_full_the_ballast_lets_settles_through() {
    let root = tempfile::tempdir().unwrap();
    let Some(disk) = SmallDisk::mount(&root.path().join("disk"), "7m") else {
        println!("not allowed to mount a small disk here; the limit on pages stands in for it");
        return;
    };
    let dir = disk.0.join("state");
    let (mut journal, _) = Journal::open(&dir).unwrap();
    let mut world = World::new(2);
    let filler = disk.0.join("filler");
    fs::write(&filler, vec![1; 2 << 20]).unwrap();
    let batch = fill(&mut journal, &mut world);
    assert!(!journal.has_ballast());

    journal.append(&batch).unwrap();
    let batch = fill(&mut journal, &mut world);
    let acknowledged = journal.head();
    journal.tick(START).unwrap();
    assert!(!journal.has_ballast(), "there is no space for it");

    fs::remove_file(filler).unwrap();
    journal.append(&batch).unwrap();
    assert!(journal.head().0 > acknowledged.0);
    drop(journal);
    let (_, recovered) = Journal::open(&dir).unwrap();
    assert!(recovered.ledger.agrees_with(&world.ledger, world.now));
    drop(disk);
}
