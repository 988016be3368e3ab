//! The tables beside the journal: assumed holds and keys.

use almoner_units::{Labels, Mode, Priority, Span};

use super::world::{START, State, World};
use crate::{Journal, KeyChange, ReadError, StoredKey, StoredSecret, verify};

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

/// The table of keys as form 2 had it.
pub(super) const OLD_KEYS: &str = "
    DROP TABLE keys;
    CREATE TABLE keys (
        id            TEXT PRIMARY KEY,
        hash          BLOB NOT NULL,
        labels        TEXT NOT NULL,
        expires_at_ms INTEGER NOT NULL,
        created_at_ms INTEGER NOT NULL,
        note          TEXT NOT NULL,
        seal          BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
";

fn labels(team: &str) -> Labels {
    [("team".parse().unwrap(), team.parse().unwrap())].into_iter().collect()
}

/// A key with something in each of its parts.
fn key(id: &str) -> StoredKey {
    let secret = |byte, good_until| StoredSecret { hash: [byte; 32], good_until };
    let change = |what: &str| KeyChange { at: START, by: "uid 1".to_owned(), what: what.to_owned() };
    StoredKey {
        id: id.to_owned(),
        name: Some("ci".to_owned()),
        secrets: vec![secret(1, None), secret(2, Some(START.after(Span::from_secs(60))))],
        labels: labels("red"),
        limits: vec!["$5 / day in Europe/Berlin".parse().unwrap(), "100k tokens / sliding 1h".parse().unwrap()],
        mode: Mode::KillRunning,
        models: vec!["claude-*".to_owned()],
        rpm: Some(60),
        tpm: None,
        priority_max: Priority::Critical,
        created_at: START,
        expires_at: Some(START.after(Span::from_secs(3600))),
        revoked_at: Some(START.after(Span::from_secs(1))),
        note: "for a run".to_owned(),
        changes: vec![change("created"), change("revoked")],
    }
}

#[test]
fn all_of_a_key_lasts_until_it_is_forgotten() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let never = StoredKey { name: None, expires_at: None, revoked_at: None, ..key("b") };
    let keys = [key("a"), never];
    for key in &keys {
        journal.keys_put(key).unwrap();
    }
    drop(journal);
    let (mut journal, _) = state.killed().open();
    assert_eq!(journal.keys_all().unwrap(), keys);
    let moved = StoredKey { revoked_at: Some(START), ..keys[1].clone() };
    journal.keys_put(&moved).unwrap();
    assert_eq!(journal.keys_all().unwrap()[1], moved);
    journal.keys_remove(&["a".to_owned(), "no such".to_owned()]).unwrap();
    assert_eq!(journal.keys_all().unwrap(), [moved]);
}

#[test]
fn a_key_that_was_given_other_labels_by_hand_is_not_handed_out() {
    let state = State::new();
    let (mut journal, _) = state.open();
    journal.keys_put(&key("a")).unwrap();
    journal.connection.execute("UPDATE keys SET body = replace(body, 'red', 'blue')", []).unwrap();
    assert!(matches!(journal.keys_all(), Err(ReadError::Damaged { table: "keys", .. })));
    drop(journal);
    assert!(!verify(&state.dir()).unwrap().is_sound());
}

#[test]
fn a_key_cannot_be_put_in_the_place_of_another_by_hand() {
    let state = State::new();
    let (mut journal, _) = state.open();
    journal.keys_put(&key("a")).unwrap();
    journal.connection.execute("UPDATE keys SET id = 'b'", []).unwrap();
    assert!(journal.keys_all().is_err());
}

/// Writes a key as form 2 did.
fn put_old(shell: &rusqlite::Connection, id: &str, team: &str, note: &str) {
    let (labels, digest) = (format!("{{\"team\":\"{team}\"}}"), [7; 32]);
    let (expires, created) = (START.after(Span::from_secs(60)).ms().cast_signed(), START.ms().cast_signed());
    let parts: [&[u8]; 7] = [
        b"key",
        id.as_bytes(),
        &digest,
        labels.as_bytes(),
        &expires.to_le_bytes(),
        &created.to_le_bytes(),
        b"for a run",
    ];
    let seal = crate::chain::hash(&parts);
    let row = (id, &digest[..], labels, expires, created, note, &seal[..]);
    shell.execute("INSERT INTO keys VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)", row).unwrap();
}

#[test]
fn the_keys_of_an_earlier_version_stay_good_and_what_was_changed_by_hand_does_not() {
    let state = State::new();
    drop(state.open());
    let shell = rusqlite::Connection::open(state.file("ledger.db")).unwrap();
    shell.execute_batch(OLD_KEYS).unwrap();
    put_old(&shell, "key-1", "red", "for a run");
    put_old(&shell, "key-2", "red", "another note than its seal knows");
    shell.pragma_update(None, "user_version", 2).unwrap();
    drop(shell);
    // Looking at it changes nothing, and finds the damage.
    assert!(!verify(&state.dir()).unwrap().is_sound());
    let (journal, _) = state.open();
    let keys = journal.keys_all().unwrap();
    let [key] = &keys[..] else { panic!("{keys:?}") };
    assert_eq!((key.id.as_str(), key.secrets[0].hash, &key.labels), ("key-1", [7; 32], &labels("red")));
    assert_eq!((key.expires_at, key.note.as_str()), (Some(START.after(Span::from_secs(60))), "for a run"));
    drop(journal);
    assert!(verify(&state.dir()).unwrap().is_sound());
    let (journal, _) = state.open();
    assert_eq!(journal.keys_all().unwrap(), keys);
}
