//! The sentences, for the person who reads them at the end of a command line.

use almoner_ledger::{Refusal, RefusalReason};
use almoner_policy::pace::{PacedBy, Short};
use almoner_units::{Limit, Priority, Span, Window};

/// Why a call may not go.
pub(super) fn refusal(refusal: &Refusal) -> String {
    let start = match refusal.reason {
        RefusalReason::TooLarge => format!(
            "this call may cost {}, more than the whole of budget `{}`, {}",
            asked(refusal),
            refusal.account,
            refusal.limit
        ),
        RefusalReason::Exhausted | RefusalReason::Held => short(refusal),
        RefusalReason::Level => level(refusal),
    };
    format!("{start}{}. {}", until(refusal), suggestion(refusal))
}

/// Why a call may go later.
pub(super) fn later(refusal: &Refusal, after: Span) -> String {
    let start = match refusal.reason {
        RefusalReason::Level => level(refusal),
        RefusalReason::Held => {
            let held = refusal.limit.meter.show(refusal.held);
            format!("{}, while calls in flight hold {held}", short(refusal))
        }
        RefusalReason::Exhausted | RefusalReason::TooLarge => short(refusal),
    };
    format!("{start}; {}", again(after))
}

/// Why a session that is cut again and again is stopped.
pub(super) fn cut_short(refusal: &Refusal, cap: u64) -> String {
    let left = refusal.limit.meter.show(refusal.left());
    format!(
        "two answers in a row were cut short by budget `{}`, which has {left} left of {} and would allow this one \
         {cap} tokens; it would be paid for nothing. {}",
        refusal.account,
        refusal.limit,
        suggestion(refusal)
    )
}

/// Why a call goes later, though there is money.
pub(super) fn paced(by: Option<&PacedBy>, after: Span) -> String {
    let Some(PacedBy { pace, short }) = by else {
        return format!("too many calls are waiting for their turn; {}", again(after));
    };
    let full = match short {
        Short::Closed => "its provider said to wait".to_owned(),
        Short::Peak => "this is a peak hour, in which calls of priority low leave half of it to others".to_owned(),
        Short::Requests { of: 1 } => "the one request of this minute has gone".to_owned(),
        Short::Requests { of } => format!("the {of} requests of this minute have gone"),
        Short::Tokens { of } => format!("the {of} tokens of this minute are used or set aside for calls on their way"),
    };
    format!("pace `{pace}`: {full}; {}", again(after))
}

/// When to try again: as the header for programs has it, in whole seconds, and never too early.
pub(super) fn again(after: Span) -> String {
    format!("try again in {}", Span::from_secs(after.secs_up().max(1)))
}

fn short(refusal: &Refusal) -> String {
    let left = refusal.limit.meter.show(refusal.left());
    let account = &refusal.account;
    format!("budget `{account}` has {left} left of {}, this call may cost {}", refusal.limit, asked(refusal))
}

fn level(refusal: &Refusal) -> String {
    let (account, level, priority) = (&refusal.account, refusal.level, refusal.priority);
    let left = refusal.limit.meter.show(refusal.left());
    format!(
        "budget `{account}` is at level {level} with {left} left of {}, where calls of priority {priority} do not pass",
        refusal.limit
    )
}

fn asked(refusal: &Refusal) -> String {
    refusal.limit.meter.show(refusal.asked)
}

fn until(refusal: &Refusal) -> String {
    match (refusal.changes_at, &refusal.limit.window) {
        (Some(at), _) => format!("; it refills at {at}"),
        (None, Window::Lifetime) => "; it does not refill".to_owned(),
        (None, _) => String::new(),
    }
}

/// How to go on without money.
const LOCAL: &str = "let a local model go on (`when_exhausted` in the config)";

/// What to do next.
pub(super) fn suggestion(refusal: &Refusal) -> String {
    let raise =
        format!("raise it with `almoner budgets set {} {}`", word(refusal.account.budget.as_str()), more(refusal));
    match refusal.reason {
        RefusalReason::TooLarge => format!("Send less, ask for less output, or {raise}."),
        RefusalReason::Exhausted => capital(&format!("{raise}, or {LOCAL}.")),
        RefusalReason::Held => "Wait for the calls in flight to end.".to_owned(),
        RefusalReason::Level if refusal.priority < Priority::High => {
            format!("Send it with a higher priority (header `x-almoner-priority: high`), wait, {LOCAL}, or {raise}.")
        }
        RefusalReason::Level => format!("Wait, {LOCAL}, or {raise}."),
    }
}

/// A limit that this call fits in: twice the present one, or twice what the call asks on top of it.
fn more(refusal: &Refusal) -> String {
    let amount = refusal.limit.amount.saturating_mul(2).max(refusal.asked.saturating_mul(2));
    word(&Limit { amount, ..refusal.limit.clone() }.to_string())
}

/// A text as one word of a shell.
fn word(text: &str) -> String {
    let is_plain = text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte));
    if is_plain { text.to_owned() } else { format!("'{}'", text.replace('\'', r"'\''")) }
}

fn capital(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

/// A sentence without control characters: what strangers named stands in it, and terminals obey some of them.
pub(super) fn clean(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}
