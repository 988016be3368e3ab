//! Repair: what can be trusted is kept, and what cannot be known is charged.

use std::fs;

use almoner_ledger::{AccountView, Entry, Fact, Ledger, Patience, Reserve, Verdict};
use almoner_units::{Ask, CallId, Charge, Meter, PicoUsdPerToken, Priority, Span};

use super::world::{START, State, World};
use crate::{Journal, OpenError, RepairError, RepairMode, repair, verify};

/// A ledger that lost its last facts: its log was cut in the middle.
fn shortened(seed: u64) -> (State, World, u64) {
    let state = State::new();
    let (mut journal, _) = state.open();
    let mut world = World::new(seed);
    for _ in 0..40 {
        journal.append(&world.facts(5)).unwrap();
    }
    let killed = state.killed();
    let log = fs::read(killed.file("ledger.db-wal")).unwrap();
    fs::write(killed.file("ledger.db-wal"), &log[..log.len() / 2]).unwrap();
    (killed, world, journal.head().0)
}

fn hard(views: &[AccountView]) -> impl Iterator<Item = &AccountView> {
    views.iter().filter(|view| view.mode.is_hard())
}

#[test]
fn a_charged_gap_leaves_nothing_of_any_hard_limit() {
    for seed in 0..8 {
        let (state, world, marked) = shortened(seed);
        assert!(matches!(state.fault(), OpenError::Shortened { .. }));
        let now = world.now.after(Span::from_secs(60));
        let report = repair(&state.dir(), RepairMode::ChargeGap, now).unwrap();
        assert_eq!((report.lost, report.epoch), (Some(marked - report.kept), 2), "seed {seed}");
        assert!(report.kept > 0 && report.kept < marked, "seed {seed}");
        assert!(report.moved_to.exists());
        let (journal, recovered) = state.open();
        assert_eq!(journal.epoch(), 2);
        assert!(recovered.open_holds.is_empty(), "seed {seed}");
        for id in &report.assumed {
            assert!(journal.assumed(*id).unwrap().is_some(), "seed {seed}");
        }
        let views = recovered.ledger.views(now);
        assert!(hard(&views).count() > 0, "seed {seed}");
        for view in hard(&views) {
            for limit in &view.limits {
                assert_eq!(limit.left(), 0, "seed {seed}: {} of {}", limit.limit, view.key);
            }
        }
        check_refused(recovered.ledger, now);
    }
}

/// Asks every hard account for the smallest call there is.
#[track_caller]
fn check_refused(mut ledger: Ledger, now: almoner_units::Timestamp) {
    let views = ledger.views(now);
    for view in hard(&views) {
        let account = ledger.find(&view.key).unwrap();
        let mut fixed = Charge::ZERO;
        fixed[Meter::Usd] = 1;
        fixed[Meter::Tokens] = 1;
        fixed[Meter::Requests] = 1;
        let call = Reserve {
            id: CallId::new(now.after(Span::from_ms(1)), [9; 10]),
            accounts: [account].into(),
            ask: Ask::new(fixed, 1, PicoUsdPerToken::new(1), 1),
            priority: Priority::Critical,
            lasts: Span::from_secs(600),
            can_tighten: false,
        };
        let verdict = ledger.reserve(&call, Patience::Spent, now).unwrap();
        assert!(matches!(verdict, Verdict::Refused(_)), "{}: {verdict:?}", view.key);
    }
}

#[test]
fn an_accepted_loss_charges_only_the_holds_that_were_open() {
    let (state, world, _) = shortened(1);
    let before = verify(&state.dir()).unwrap();
    let report = repair(&state.dir(), RepairMode::AcceptLoss, world.now).unwrap();
    assert_eq!(report.assumed.len(), before.open_holds);
    assert!(report.charged.is_empty() && report.may_have_lost_accounts.is_empty());
    let (_, recovered) = state.open();
    let views = recovered.ledger.views(world.now);
    assert!(hard(&views).any(|view| view.limits.iter().any(|limit| limit.left() > 0)));
}

#[test]
fn a_damaged_row_takes_those_after_it_along_but_not_the_accounts_they_opened() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let mut world = World::new(4);
    journal.append(&world.facts(300)).unwrap();
    let end = journal.head().0;
    let accounts = journal.replay().unwrap().views(world.now).len();
    drop(journal);
    let shell = rusqlite::Connection::open(state.file("ledger.db")).unwrap();
    shell
        .execute("UPDATE journal SET body = replace(body, '\"account\":', '\"account\": ') WHERE seq = 5", [])
        .unwrap();
    shell.execute("UPDATE journal SET at_ms = at_ms + 1 WHERE seq = 5", []).unwrap();
    drop(shell);
    let report = repair(&state.dir(), RepairMode::ChargeGap, world.now).unwrap();
    assert_eq!((report.kept, report.lost), (4, Some(end - 4)));
    let (_, recovered) = state.open();
    assert!(recovered.ledger.views(world.now).len() >= accounts, "the lost accounts are opened and charged");
    assert_eq!(report.may_have_lost_accounts.len(), 1);
    assert!(fs::read_dir(state.dir()).unwrap().count() <= 7, "nothing is left lying about");
}

#[test]
fn after_a_repair_work_goes_on() {
    let (state, world, _) = shortened(2);
    repair(&state.dir(), RepairMode::ChargeGap, world.now).unwrap();
    let (mut journal, recovered) = state.open();
    let mut world = World::resume(3, recovered.ledger);
    journal.append(&world.facts(50)).unwrap();
    drop(journal);
    let (_, recovered) = state.open();
    assert!(recovered.ledger.agrees_with(&world.ledger, world.now));
}

#[test]
fn a_sound_ledger_is_not_repaired() {
    let state = State::new();
    let (mut journal, _) = state.open();
    journal.append(&World::new(1).facts(5)).unwrap();
    assert!(matches!(repair(&state.dir(), RepairMode::ChargeGap, START), Err(RepairError::Open(_))));
    drop(journal);
    assert!(matches!(repair(&state.dir(), RepairMode::ChargeGap, START), Err(RepairError::Sound(_))));
    assert!(!state.file("ledger.repaired.db").exists());
    drop(state.open());
}

#[test]
fn a_lost_mark_is_a_gap_too() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let mut world = World::new(1);
    journal.append(&world.facts(50)).unwrap();
    let kept = journal.head().0;
    drop(journal);
    fs::remove_file(state.file("ledger.hwm")).unwrap();
    let report = repair(&state.dir(), RepairMode::ChargeGap, world.now).unwrap();
    assert_eq!((report.kept, report.lost), (kept, None));
    assert!(!report.charged.is_empty());
    drop(state.open());
}

#[test]
fn where_nothing_can_be_read_only_an_accepted_loss_begins_anew() {
    let state = State::new();
    let (mut journal, _) = state.open();
    journal.append(&World::new(1).facts(5)).unwrap();
    drop(journal);
    fs::write(state.file("ledger.db"), vec![0xff; 20_000]).unwrap();
    assert!(matches!(state.fault(), OpenError::Corrupt { .. }));
    let refused = repair(&state.dir(), RepairMode::ChargeGap, START).unwrap_err();
    assert!(matches!(refused, RepairError::NothingKnown(_)), "{refused}");
    let report = repair(&state.dir(), RepairMode::AcceptLoss, START).unwrap();
    assert_eq!(report.kept, 0);
    let (journal, recovered) = state.open();
    assert_eq!((journal.epoch(), recovered.ledger.seq()), (2, 0));
}

#[test]
fn a_repair_that_was_interrupted_is_run_again() {
    let (state, world, _) = shortened(5);
    let old_mark = fs::read(state.file("ledger.hwm")).unwrap();
    repair(&state.dir(), RepairMode::ChargeGap, world.now).unwrap();
    fs::write(state.file("ledger.hwm"), old_mark).unwrap();
    assert!(matches!(state.fault(), OpenError::Interrupted { .. }));
    let again = repair(&state.dir(), RepairMode::ChargeGap, world.now).unwrap();
    assert!(again.charged.is_empty(), "nothing was left to charge");
    assert_eq!(again.epoch, 3);
    drop(Journal::open(&state.dir()).unwrap());
}

#[test]
fn keys_and_assumed_holds_survive_a_repair() {
    let (state, world, _) = shortened(6);
    let kept = verify(&state.dir()).unwrap();
    let report = repair(&state.dir(), RepairMode::ChargeGap, world.now).unwrap();
    assert_eq!(report.kept, kept.facts);
    let (journal, _) = state.open();
    let assumed = journal.assumed_list().unwrap();
    assert!(assumed.len() >= report.assumed.len() && !assumed.is_empty());
    assert!(verify(&report.moved_to).is_err(), "the damaged file is no directory");
}

#[test]
fn a_fact_that_breaks_the_books_is_damage_though_its_hash_fits() {
    let state = State::new();
    let (mut journal, _) = state.open();
    let mut world = World::new(7);
    let mut facts = world.facts(100);
    let seq = u64::try_from(facts.len()).unwrap() + 1;
    let id = CallId::new(START, [77; 10]);
    facts.push(Entry { seq, at: world.now, fact: Fact::Settled { id, spent: Charge::ZERO } });
    journal.append(&facts).unwrap();
    drop(journal);
    let fault = state.fault();
    assert!(matches!(&fault, OpenError::Corrupt { seq: said, .. } if *said == seq), "{fault}");
    assert!(fault.to_string().contains(&id.to_string()), "{fault}");
    let report = repair(&state.dir(), RepairMode::AcceptLoss, world.now).unwrap();
    assert_eq!((report.kept, report.lost), (seq - 1, Some(1)));
    assert_eq!(report.assumed.len(), world.ledger.holds().len());
    drop(state.open());
}
