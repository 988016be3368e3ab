//! How one stop of a call came out: with an answer, or with what stood in its way.

use almoner_policy::Setback;
use almoner_units::{BudgetName, CallId, Level};
use hyper::Response;

use crate::answer::Answer;
use crate::reject::Rejection;
use crate::relay::ClientBody;
use crate::retry::Again;
use crate::stack::Came;

/// How one stop of a call came out.
pub(crate) enum Stop {
    /// With an answer for the client.
    Answered(Response<ClientBody>),
    /// Something stood in the way.
    Setback(Box<Trouble>),
}

/// What stood in the way of a call at a stop.
pub(crate) struct Trouble {
    pub(crate) setback: Setback,
    /// Whether its client is told that time alone brings no money.
    pub(crate) is_final: bool,
    /// In words.
    pub(crate) why: String,
    /// The call of this stop; `None` where it did not get so far.
    pub(crate) call: Option<CallId>,
    /// The budget that refused it.
    pub(crate) budget: Option<BudgetName>,
    /// What the client gets where nothing leads on.
    pub(crate) ending: Option<Ending>,
    /// Whether it is worth another try at the same stop.
    pub(crate) again: Again,
    /// What came, of a call that is worth another try and took no route.
    pub(crate) came: Option<Box<Came>>,
}

/// The last word of a call that went nowhere.
pub(crate) enum Ending {
    Response(Response<ClientBody>),
    Rejection(Box<Rejection>),
}

impl Trouble {
    /// That of a call that was refused here.
    pub(crate) fn of_refusal(call: CallId, answer: &Answer, response: Response<ClientBody>) -> Self {
        let refusal = answer.refusal();
        let why = refusal.map_or_else(
            || plain(&answer.message()),
            |refusal| {
                let left = refusal.limit.meter.show(refusal.left());
                format!("budget `{}` has {left} left of {} at level {}", refusal.account, refusal.limit, refusal.level)
            },
        );
        Self {
            setback: match (refusal, answer) {
                (Some(refusal), _) => Setback::Exhausted(refusal.level),
                (None, Answer::Paced { .. }) => Setback::RateLimited,
                (None, _) => Setback::Unfit,
            },
            is_final: matches!(answer, Answer::NoMoney(_)),
            why,
            call: Some(call),
            budget: refusal.map(|refusal| refusal.account.budget.clone()),
            ending: Some(Ending::Response(response)),
            again: Again::No,
            came: None,
        }
    }

    /// That of a call that would have gone.
    pub(crate) fn of_level(call: CallId, level: Level) -> Self {
        let why = format!("a budget is at level {level}");
        Self { setback: Setback::Level(level), call: Some(call), ..Self::unfit(why, None) }
    }

    /// That of a call that a provider did not answer, or not well.
    pub(crate) fn of_provider(call: CallId, setback: Setback, why: String, response: Response<ClientBody>) -> Self {
        Self { setback, call: Some(call), ending: Some(Ending::Response(response)), ..Self::unfit(why, None) }
    }

    /// That of a target that cannot take the call.
    pub(crate) fn unfit(why: String, rejection: Option<Box<Rejection>>) -> Self {
        let ending = rejection.map(Ending::Rejection);
        let setback = Setback::Unfit;
        Self { setback, is_final: false, why, call: None, budget: None, ending, again: Again::No, came: None }
    }
}

/// A message of ours without our name before it.
pub(crate) fn plain(message: &str) -> String {
    message.strip_prefix("Almoner: ").unwrap_or(message).to_owned()
}
