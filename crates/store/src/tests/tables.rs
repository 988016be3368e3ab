//! The tables beside the journal: assumed holds and keys.

use almoner_units::{Labels, Span, Timestamp};

use super::world::{START, State, World};
use crate::{Journal, ReadError, StoredKey};

/// A journal with one assumed hold, and the world that made it.
fn with_assumed(journal: &mut Journal) -> World {
    let mut world = World::new(3);
    while world.reserve().is_none() {}
    world.assume();
    journal.append(&world.ledger.take_facts()).unwrap();
    world
}

#[test]
fn an_assumed_hold_is_kept_until_its_truth_comes() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let mut world = with_assumed(&mut journal);
    let kept = journal.assumed_list().unwrap();
    assert_eq!(kept.len(), 1);
    assert_eq!(journal.assumed(kept[0].hold.id).unwrap().as_ref(), Some(&kept[0]));
    drop(journal);
    let (mut journal, _) = state.open();
    assert_eq!(journal.assumed_list().unwrap(), kept);
    let corrected = world.correct_with(&journal).unwrap();
    journal.append(&world.ledger.take_facts()).unwrap();
    assert_eq!(corrected, kept[0].hold.id);
    // It is listed no more, and somebody may know better still.
    let known = journal.assumed(corrected).unwrap().unwrap();
    assert_eq!((known.hold, known.corrected.map(|known| known.at)), (kept[0].hold.clone(), Some(world.now)));
    assert!(journal.assumed_list().unwrap().is_empty());
}

#[test]
fn late_news_are_taken_for_35_days() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let world = with_assumed(&mut journal);
    let day = Span::from_secs(24 * 3600);
    let at = |days: u64| world.now.after(Span::from_ms(day.ms() * days));
    assert_eq!(journal.purge_assumed(at(35)).unwrap(), 0);
    assert_eq!(journal.purge_assumed(at(36)).unwrap(), 1);
    assert!(journal.assumed_list().unwrap().is_empty());
}

#[test]
fn an_assumed_hold_that_was_changed_by_hand_is_not_handed_out() {
    let state = State::new();
    let (mut journal, _) = state.open();
    with_assumed(&mut journal);
    let id = journal.assumed_list().unwrap()[0].hold.id;
    journal.connection.execute("UPDATE assumed SET body = replace(body, '\"cap\":', '\"cap\":1')", []).unwrap();
    let fault = journal.assumed(id).unwrap_err();
    assert!(matches!(fault, ReadError::Damaged { table: "assumed", .. }), "{fault}");
    assert!(journal.assumed_list().is_err());
}

fn key(id: &str, expires_at: Timestamp) -> StoredKey {
    let labels: Labels = [("team".parse().unwrap(), "red".parse().unwrap())].into_iter().collect();
    StoredKey {
        id: id.to_owned(),
        hash: [id.len().try_into().unwrap(); 32],
        labels,
        expires_at,
        created_at: START,
        note: "for a run".to_owned(),
    }
}

#[test]
fn keys_last_until_they_expire() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let (soon, late) = (START.after(Span::from_secs(60)), START.after(Span::from_secs(3600)));
    let keys = [key("a", soon), key("bb", late)];
    for key in &keys {
        journal.keys_put(key).unwrap();
    }
    drop(journal);
    let (mut journal, _) = state.open();
    assert_eq!(journal.keys_all().unwrap(), keys);
    assert_eq!(journal.keys_remove_expired(soon).unwrap(), 1);
    assert_eq!(journal.keys_all().unwrap(), keys[1..]);
    let moved = key("bb", soon);
    journal.keys_put(&moved).unwrap();
    assert_eq!(journal.keys_all().unwrap(), [moved]);
}

#[test]
fn a_key_that_was_given_other_labels_by_hand_is_not_handed_out() {
    let state = State::new();
    let (mut journal, _) = state.open();
    journal.keys_put(&key("a", START)).unwrap();
    journal.connection.execute("UPDATE keys SET labels = '{\"team\":\"blue\"}'", []).unwrap();
    assert!(matches!(journal.keys_all(), Err(ReadError::Damaged { table: "keys", .. })));
}
