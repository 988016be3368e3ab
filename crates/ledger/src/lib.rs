//! The ledger: a pure, single-threaded, two-phase account book.
//!
//! *Reserve* sets the worst case of a call aside on every account it touches, all or nothing; *settle* replaces the
//! hold by the truth; *release* drops it, with proof that nothing was spent; *expire* turns it into assumed spending,
//! because unknown means spent; *correct* turns assumed into spent when the truth comes late.
//!
//! Every change is a [`Fact`], and the books are folded from facts: what decides never writes, and what writes never
//! decides, so replaying the journal through [`Ledger::replay`] gives the same books. There is no clock, no dice, no
//! file and no thread in here; time is an argument. The [`Desk`] is where calls ask and wait, and it answers nobody
//! before the [`Journal`] has what it promised.
//!
//! The promise, asserted where a hold is written and again where it is read back: no admission leaves more charged than
//! the limit in force, on any limit of any budget whose mode is not `warn`.

mod account;
mod books;
mod calendar;
mod clock;
mod closed;
mod counter;
mod decide;
mod desk;
mod fact;
mod ledger;
mod ring;
mod snapshot;
mod verdict;
mod waiting;

pub use account::{AccountId, AccountView, LimitView};
pub use clock::{Clock, Reading};
pub use closed::{ClosedCall, Ended};
pub use desk::{Answer, AppendFailed, Desk, DeskError, End, Journal, Outbox, Question, Refused, Yes};
pub use fact::{AssumedHold, Correction, Entry, Fact, Hold, ReleaseReason, Who};
pub use ledger::{Ledger, MAX_ACCOUNTS_PER_KEY, MAX_TOUCHED};
pub use snapshot::{AccountSnapshot, CounterSnapshot, Snapshot, Unfit, WindowSnapshot};
pub use verdict::{
    Admission, Closed, Contradiction, CorrectError, Patience, Refusal, RefusalReason, Reserve, ReserveError,
    SettleError, Settlement, Verdict,
};
pub use waiting::{RoomFull, WaitingRoom};
