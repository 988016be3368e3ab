//! The desk: nobody hears a yes before it lasts, ends linger, a full disk closes and opens again,
//! and a broken one ends all.

use almoner_ledger::{
    Answer, AppendFailed, AssumedHold, Desk, DeskError, End, Entry, Fact, Journal, Ledger, Question, Reading,
    ReleaseReason, Who, Yes,
};
use almoner_units::{
    AccountKey, Ask, Budget, CallId, Charge, LevelMarks, Meter, Mode, PicoUsdPerToken, Priority, Span, Timestamp,
};

const START: u64 = 1_764_000_000_000;

/// A journal of paper, which fails as it is told.
#[derive(Default)]
struct Paper {
    lines: Vec<Entry>,
    fails: Option<AppendFailed>,
    is_cramped: bool,
    /// How often it was told to do what must be done now and then.
    tended: u32,
}

impl Journal for Paper {
    fn append(&mut self, entries: &[Entry]) -> Result<(), AppendFailed> {
        self.fails.clone().map_or(Ok(()), Err)?;
        self.lines.extend_from_slice(entries);
        Ok(())
    }

    fn tend(&mut self, _now: Timestamp) {
        self.tended += 1;
    }

    fn has_room(&self) -> bool {
        !self.is_cramped
    }

    fn assumed(&self, id: CallId) -> Option<AssumedHold> {
        self.lines.iter().find_map(|entry| match &entry.fact {
            Fact::Assumed { hold, held_by, .. } if hold.id == id => Some(AssumedHold {
                hold: hold.clone(),
                held_by: *held_by,
                assumed_by: entry.seq,
                assumed_at: entry.at,
                corrected: None,
            }),
            _ => None,
        })
    }
}

type Tried = Desk<&'static str, Paper>;

fn at(ms: u64) -> Reading {
    Reading { wall: Timestamp::from_ms(START + ms), steady: Span::from_ms(ms) }
}

fn id(number: u128) -> CallId {
    CallId::from_bits((u128::from(START) << 80) | number)
}

/// A desk with a budget `team` of a dollar, at which two calls may wait.
fn desk(mode: Mode) -> Tried {
    let mut desk = Desk::new(Ledger::new(), Paper::default(), at(0), 2);
    let budget = Budget {
        name: "team".parse().unwrap(),
        filter: Vec::new(),
        per: Vec::new(),
        limits: vec!["$1".parse().unwrap()],
        mode,
        marks: LevelMarks::default(),
    };
    let now = desk.begin(at(0));
    desk.ledger.set_budget(budget, Who("test".to_owned()), now);
    desk.write_now().unwrap();
    desk.take_outbox();
    desk
}

fn cents(cents: u64) -> Charge {
    let mut charge = Charge::ZERO;
    charge[Meter::Usd] = cents * 10_000_000;
    charge
}

fn question(number: u128, cost: u64) -> Box<Question> {
    Box::new(Question {
        id: id(number),
        accounts: vec![AccountKey { budget: "team".parse().unwrap(), per: Vec::new() }],
        key: String::new(),
        ask: Ask::new(cents(cost), 1, PicoUsdPerToken::ZERO, 100),
        priority: Priority::Normal,
        can_tighten: false,
        wait_max: Span::from_secs(30),
        hold_max: Span::from_secs(600),
    })
}

/// What is said, one word for each ticket.
fn said(desk: &mut Tried) -> String {
    let word = |answer: &Answer| match answer {
        Answer::Yes(_) => "yes",
        Answer::Tighten => "tighten",
        Answer::Refused(_) => "no",
        Answer::Failed(DeskError::Closed(_)) => "closed",
        Answer::Failed(DeskError::Crowded(_)) => "crowded",
        Answer::Failed(DeskError::Question(_)) => "bad question",
    };
    let outbox = desk.take_outbox();
    let answers = outbox.answers.iter().map(|(ticket, answer)| format!("{ticket} {}", word(answer)));
    let cuts = outbox.cuts.iter().map(|(_, reason)| format!("cut, {reason}"));
    answers.chain(cuts).collect::<Vec<_>>().join("; ")
}

#[test]
fn a_yes_is_said_after_the_commit_and_a_no_before_it() {
    let mut desk = desk(Mode::StopNew);
    let before = desk.journal.lines.len();
    desk.begin(at(10));
    desk.reserve(question(1, 60), "a");
    desk.reserve(question(2, 200), "b");
    desk.reserve(question(3, 30), "c");
    desk.attend();
    assert_eq!(said(&mut desk), "b no");
    assert_eq!(desk.journal.lines.len(), before);
    desk.commit(false).unwrap();
    assert!(desk.journal.lines.len() > before);
    assert_eq!(said(&mut desk), "a yes; c yes");
}

#[test]
fn an_end_waits_twenty_milliseconds_to_be_written_and_no_longer() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.reserve(question(1, 60), "a");
    desk.commit(false).unwrap();
    let before = desk.journal.lines.len();
    desk.begin(at(100));
    desk.end(id(1), End::Settled(cents(20)));
    desk.attend();
    desk.commit(false).unwrap();
    assert_eq!((desk.journal.lines.len(), desk.patience(Span::from_ms(105))), (before, Span::from_ms(15)));
    desk.begin(at(119));
    desk.commit(false).unwrap();
    assert_eq!(desk.journal.lines.len(), before);
    desk.begin(at(120));
    desk.commit(false).unwrap();
    assert_eq!(desk.journal.lines.len(), before + 1);
    assert_eq!(desk.take_outbox().written.last(), desk.journal.lines.last());
}

#[test]
fn who_waits_is_woken_by_an_end_and_the_room_is_bounded() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.reserve(question(1, 60), "a");
    desk.commit(false).unwrap();
    for (ticket, number) in [("b", 2), ("c", 3), ("d", 4)] {
        desk.reserve(question(number, 80), ticket);
    }
    desk.commit(false).unwrap();
    assert_eq!((said(&mut desk).as_str(), desk.waiting()), ("a yes; d crowded", 2));
    desk.begin(at(20));
    desk.keep_waiting(|ticket| *ticket != "c");
    desk.end(id(1), End::Settled(cents(10)));
    desk.attend();
    desk.commit(false).unwrap();
    assert_eq!((said(&mut desk).as_str(), desk.waiting()), ("b yes", 0));
}

#[test]
fn the_account_of_a_call_that_waits_is_not_swept_away() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.reserve(question(1, 60), "a");
    desk.reserve(question(2, 80), "b");
    desk.commit(false).unwrap();
    desk.begin(at(2000));
    // Nothing counts on the account any more, at the very moment of a sweep.
    desk.end(id(1), End::Released(ReleaseReason::NeverSent));
    desk.attend();
    desk.commit(false).unwrap();
    assert_eq!(said(&mut desk), "a yes; b yes");
}

#[test]
fn a_full_disk_turns_everybody_away_until_it_has_room_again() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.journal.fails = Some(AppendFailed::Full);
    desk.reserve(question(1, 60), "a");
    desk.commit(false).unwrap();
    assert_eq!(said(&mut desk), "a closed");
    assert!(desk.closed().is_some() && desk.ledger.holds().is_empty());
    desk.begin(at(500));
    desk.reserve(question(2, 60), "b");
    desk.commit(false).unwrap();
    assert_eq!(said(&mut desk), "b closed");
    desk.journal.fails = None;
    desk.begin(at(1010));
    desk.commit(false).unwrap();
    desk.reserve(question(3, 60), "c");
    desk.commit(false).unwrap();
    assert_eq!((said(&mut desk).as_str(), desk.closed()), ("c yes", None));
}

#[test]
fn room_that_was_kept_back_for_the_ends_of_calls_lets_no_new_one_in() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.reserve(question(1, 60), "a");
    desk.commit(false).unwrap();
    assert_eq!(said(&mut desk), "a yes");
    desk.begin(at(20));
    desk.journal.fails = Some(AppendFailed::Full);
    desk.reserve(question(2, 10), "b");
    desk.commit(false).unwrap();
    assert_eq!(said(&mut desk), "b closed");
    // The journal gave back what it kept for this, so that what has happened can be written, and nothing more.
    (desk.journal.fails, desk.journal.is_cramped) = (None, true);
    let before = desk.journal.lines.len();
    desk.begin(at(1030));
    desk.end(id(1), End::Settled(cents(20)));
    desk.commit(false).unwrap();
    assert!(desk.journal.lines.len() > before && desk.closed().is_some());
    desk.reserve(question(3, 10), "c");
    desk.commit(true).unwrap();
    assert_eq!(said(&mut desk), "c closed");
    // It is looked after though nothing happens.
    assert!(desk.patience(Span::from_ms(1030)) <= Span::from_secs(1));
    desk.journal.is_cramped = false;
    desk.begin(at(2040));
    desk.commit(false).unwrap();
    assert_eq!(desk.closed(), None);
}

#[test]
fn a_desk_over_a_full_disk_begins_closed() {
    let cramped = Paper { is_cramped: true, ..Paper::default() };
    let mut desk: Tried = Desk::new(Ledger::new(), cramped, at(0), 2);
    assert!(desk.closed().is_some());
    desk.journal.is_cramped = false;
    desk.begin(at(1000));
    desk.commit(false).unwrap();
    assert_eq!(desk.closed(), None);
}

#[test]
fn after_a_broken_journal_nothing_is_said_or_written() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.journal.fails = Some(AppendFailed::Io("no more".to_owned()));
    desk.reserve(question(1, 60), "a");
    assert_eq!(desk.commit(false), Err("no more".to_owned()));
    desk.journal.fails = None;
    let before = desk.journal.lines.len();
    assert_eq!(desk.commit(true), Err("no more".to_owned()));
    assert_eq!((said(&mut desk).as_str(), desk.journal.lines.len()), ("", before));
}

#[test]
fn a_spent_budget_cuts_what_runs_where_its_mode_says_so() {
    let mut desk = desk(Mode::KillRunning);
    desk.begin(at(10));
    desk.reserve(question(1, 50), "a");
    desk.reserve(question(2, 50), "b");
    desk.commit(false).unwrap();
    desk.end(id(1), End::Assumed("gone".to_owned()));
    desk.take_outbox();
    desk.reserve(question(3, 60), "c");
    assert_eq!(said(&mut desk), "c no; cut, the budget is spent: team");
}

#[test]
fn a_hold_without_news_is_assumed_when_its_time_is_up() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.reserve(question(1, 60), "a");
    desk.commit(false).unwrap();
    desk.begin(at(600_010));
    desk.attend();
    assert!(desk.ledger.holds().is_empty());
    assert_eq!(desk.ledger.views(desk.now())[0].limits[0].assumed, cents(60)[Meter::Usd]);
}

#[test]
fn late_news_replace_what_was_assumed() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.reserve(question(1, 60), "a");
    desk.commit(false).unwrap();
    desk.begin(at(600_010));
    desk.attend();
    desk.commit(true).unwrap();
    desk.begin(at(700_000));
    desk.end(id(1), End::Settled(cents(25)));
    let limit = desk.ledger.views(desk.now())[0].limits[0].clone();
    assert_eq!((limit.spent, limit.assumed), (cents(25)[Meter::Usd], 0));
    desk.end(id(1), End::Settled(cents(25)));
    assert_eq!(desk.ledger.views(desk.now())[0].limits[0].clone(), limit, "the same news twice is one fact");
}

#[test]
fn a_correction_that_does_not_last_yet_is_known() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.reserve(question(1, 60), "a");
    desk.commit(false).unwrap();
    desk.begin(at(20));
    desk.end(id(1), End::Assumed("no news".to_owned()));
    desk.commit(true).unwrap();
    let assumed = desk.journal.assumed(id(1)).unwrap();
    let now = desk.begin(at(30));
    desk.journal.fails = Some(AppendFailed::Full);
    desk.ledger.correct(assumed, cents(25), Who("test".to_owned()), "a bill".to_owned(), now).unwrap();
    desk.commit(true).unwrap();
    // The journal knows nothing of it, however long that lasts.
    assert!(desk.is_being_corrected(id(1)) && !desk.is_being_corrected(id(2)));
    desk.journal.fails = None;
    desk.commit(true).unwrap();
    assert!(!desk.is_being_corrected(id(1)));
}

#[test]
fn the_same_question_later_has_the_same_answer() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.reserve(question(1, 60), "a");
    desk.commit(false).unwrap();
    desk.begin(at(5000));
    desk.reserve(question(1, 60), "again");
    desk.reserve(question(1, 50), "another");
    desk.commit(false).unwrap();
    assert_eq!(said(&mut desk), "a yes; another bad question; again yes");
    assert_eq!(desk.ledger.holds()[0].expires_at, Timestamp::from_ms(START + 600_010));
}

/// What the holder of this ticket is told, which is yes.
fn yes(desk: &mut Tried, ticket: &str) -> Yes {
    let answers = desk.take_outbox().answers;
    let yes = answers.into_iter().find_map(|(whose, answer)| match answer {
        Answer::Yes(yes) if whose == ticket => Some(*yes),
        _ => None,
    });
    yes.unwrap()
}

#[test]
fn a_yes_that_nobody_heard_gives_its_hold_back() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.reserve(question(1, 60), "a");
    desk.commit(false).unwrap();
    let yes = yes(&mut desk, "a");
    desk.unheard(&yes);
    assert!(desk.ledger.holds().is_empty());
}

#[test]
fn a_yes_that_somebody_else_heard_keeps_its_hold() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.reserve(question(1, 60), "a");
    desk.reserve(question(1, 60), "b");
    desk.commit(false).unwrap();
    let first = yes(&mut desk, "a");
    desk.unheard(&first);
    desk.begin(at(20));
    desk.reserve(question(1, 60), "c");
    desk.commit(false).unwrap();
    let third = yes(&mut desk, "c");
    desk.unheard(&third);
    assert_eq!(desk.ledger.holds().len(), 1, "`b` may have sent the call");
}

#[test]
fn a_full_disk_takes_no_hold_from_a_call_that_is_on_its_way() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.reserve(question(1, 60), "a");
    desk.commit(false).unwrap();
    desk.begin(at(20));
    desk.journal.fails = Some(AppendFailed::Full);
    desk.reserve(question(1, 60), "again");
    desk.reserve(question(2, 30), "b");
    desk.commit(false).unwrap();
    assert_eq!(said(&mut desk), "a yes; again closed; b closed");
    assert_eq!(desk.ledger.holds().iter().map(|hold| hold.id).collect::<Vec<_>>(), [id(1)]);
}

#[test]
fn nobody_waits_for_a_wall_clock_that_was_set_back() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.reserve(question(1, 60), "a");
    desk.reserve(question(2, 80), "b");
    desk.commit(false).unwrap();
    assert_eq!(said(&mut desk), "a yes");
    // An hour back: ledger time stands still for as long, and thirty seconds are over all the same.
    desk.begin(Reading { wall: Timestamp::from_ms(START - 3_600_000), steady: Span::from_ms(30_010) });
    desk.attend();
    assert_eq!(said(&mut desk), "b no");
}

#[test]
fn the_journal_is_tended_once_a_second_though_the_wall_clock_is_not_believed() {
    let mut desk = desk(Mode::StopNew);
    let tomorrow = Timestamp::from_ms(START + 86_400_000);
    for (steady, tended) in [(10, 1), (900, 1), (1_010, 2), (1_500, 2), (2_010, 3)] {
        // Ledger time stands still all the while.
        let now = desk.begin(Reading { wall: tomorrow, steady: Span::from_ms(steady) });
        desk.attend();
        assert_eq!((now, desk.journal.tended), (Timestamp::from_ms(START), tended), "at {steady} ms");
    }
}

#[test]
fn a_hold_lasts_from_when_it_is_made_however_long_its_call_has_waited() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.reserve(question(1, 60), "a");
    desk.reserve(question(2, 80), "b");
    desk.commit(false).unwrap();
    desk.begin(at(20_010));
    desk.end(id(1), End::Settled(cents(1)));
    desk.attend();
    desk.commit(false).unwrap();
    assert_eq!(desk.ledger.holds()[0].expires_at, Timestamp::from_ms(START + 620_010));
}

#[test]
fn who_waits_for_a_budget_that_is_retired_goes_on_without_it_and_so_does_who_had_it_in_mind() {
    let mut desk = desk(Mode::StopNew);
    desk.begin(at(10));
    desk.reserve(question(1, 80), "first");
    desk.reserve(question(2, 80), "waits");
    desk.attend();
    desk.commit(false).unwrap();
    assert_eq!(said(&mut desk), "first yes");
    desk.begin(at(20));
    desk.retire_budget(&"team".parse().unwrap(), Who("the configuration".to_owned()));
    desk.reserve(question(3, 80), "late");
    desk.attend();
    desk.commit(false).unwrap();
    assert_eq!(said(&mut desk), "late yes; waits yes");
    desk.begin(at(30));
    desk.end(id(1), End::Settled(cents(70)));
    desk.commit(true).unwrap();
    assert!(desk.ledger.views(at(30).wall).is_empty());
    // One that was forgotten, as that of a key is which was revoked, lets nobody by.
    let mut desk = self::desk(Mode::StopNew);
    let now = desk.begin(at(10));
    desk.ledger.forget_budget(&"team".parse().unwrap(), Who("test".to_owned()), now);
    desk.reserve(question(1, 80), "revoked");
    desk.commit(true).unwrap();
    assert_eq!(said(&mut desk), "revoked bad question");
}
