//! Known bugs, each planted around the desk, the way a mistake in it or beside it would act.

use crate::disk::Lag;

/// A known bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// After a crash, open holds are given back.
    ReleasesOnCrash,
    /// After a crash, what was assumed before it is free.
    ForgetsAssumed,
    /// After a crash, the last facts are missing and nobody notices.
    ForgetsTail,
    /// A snapshot has half of what was spent.
    SnapshotsForget,
    /// A yes is said before its commit.
    SaysYesBeforeCommit,
    /// The journal acknowledges what lasts only from the next commit on.
    AcknowledgesEarly,
    /// A full disk is no reason not to say yes.
    IgnoresFullDisk,
    /// How a call ended counts twice.
    SettlesTwice,
    /// What comes back of a hold comes back twice.
    RefundsTwice,
    /// News of an end get lost, and the hold is given back.
    LosesEndsAndReleases,
    /// News of every third end get lost.
    LosesEnds,
    /// A client that hangs up pays nothing.
    ReleasesOnHangUp,
    /// Holds without news never end.
    IgnoresExpiry,
    /// A sliding window frees what was spent after half of it.
    FreesEarly,
    /// The last account of a call is left out.
    ForgetsAnAccount,
    /// Half of what a call may cost is held.
    HoldsHalf,
    /// What others hold is not counted when a call is judged.
    IgnoresHeld,
    /// Late truth is booked as free.
    RefundsLateTruth,
    /// Some who wait are forgotten.
    LosesWaiters,
    /// Who waits, waits a hundred times as long.
    WaitsTooLong,
    /// The wall clock is believed whatever it shows.
    BelievesJumps,
    /// A repeated question is a new call.
    RepeatsAnew,
    /// A lower limit is not put in force.
    LowersNever,
    /// A commit that takes long is taken for done.
    TiresOfTheDisk,
    /// A budget that is removed stays in force.
    RemovesNever,
    /// With a budget go the holds that touch it, on all their accounts.
    RemovalReleases,
    /// Calendar windows are those of UTC, whatever their zone.
    CountsInUtc,
    /// The clocks of a zone are never changed.
    KnowsNoSummer,
    /// What a provider refused is sent again under the hold that the refusal gives back.
    RetriesUnheld,
}

impl Mutant {
    /// Every known bug.
    pub const ALL: [Self; 29] = [
        Self::ReleasesOnCrash,
        Self::ForgetsAssumed,
        Self::ForgetsTail,
        Self::SnapshotsForget,
        Self::SaysYesBeforeCommit,
        Self::AcknowledgesEarly,
        Self::IgnoresFullDisk,
        Self::SettlesTwice,
        Self::RefundsTwice,
        Self::LosesEndsAndReleases,
        Self::LosesEnds,
        Self::ReleasesOnHangUp,
        Self::IgnoresExpiry,
        Self::FreesEarly,
        Self::ForgetsAnAccount,
        Self::HoldsHalf,
        Self::IgnoresHeld,
        Self::RefundsLateTruth,
        Self::LosesWaiters,
        Self::WaitsTooLong,
        Self::BelievesJumps,
        Self::RepeatsAnew,
        Self::LowersNever,
        Self::TiresOfTheDisk,
        Self::RemovesNever,
        Self::RemovalReleases,
        Self::CountsInUtc,
        Self::KnowsNoSummer,
        Self::RetriesUnheld,
    ];

    pub(crate) fn lag(self) -> Option<Lag> {
        match self {
            Self::SaysYesBeforeCommit => Some(Lag::Told),
            Self::AcknowledgesEarly => Some(Lag::NextCommit),
            Self::IgnoresFullDisk => Some(Lag::WhenFull),
            Self::TiresOfTheDisk => Some(Lag::WhenSlow),
            _ => None,
        }
    }
}
