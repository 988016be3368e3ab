//! Answers of our own: refusals, errors, and what we add to a provider's answer.
//!
//! Each is said in the form of the client's dialect, with the status that ends or slows each real client as it should
//! (measured: a 400 or 409 for policy is sent again, a 402 is not), and with the same facts once more for programs.

mod cut;
mod digits;
mod form;
mod lines;
mod nesting;
mod said;
mod tell;
#[cfg(test)]
mod tests;
mod usage_filter;

pub(crate) use cut::instead_of_a_stream;
pub use cut::{StreamSoFar, cut};
pub use tell::{Told, tell};
pub(crate) use tell::{tell_attempts, tell_first, tell_in_vain, tell_route, warn};
pub use usage_filter::UsageFilter;

use almoner_ledger::Refusal;
use almoner_policy::pace::PacedBy;
use almoner_units::{CallId, Span};
use http_body_util::Full;
use hyper::body::Bytes;
use hyper::{Response, StatusCode};

use crate::body::BadBody;
use crate::dialect::Dialect;
use crate::route::NoRoute;

/// An answer that did not come from a provider.
#[derive(Clone, Debug)]
pub enum Answer {
    /// A budget has too little left for this call. Asking again changes nothing.
    NoMoney(Box<Refusal>),
    /// The call fits later: time or other calls stand in its way.
    SlowDown {
        /// The account that decided; `None` where the queue itself is full.
        refusal: Option<Box<Refusal>>,
        /// How long to wait.
        after: Span,
    },
    /// The call goes later: as much as may go in a minute has gone.
    Paced {
        /// What it waits for; `None` where the room is full.
        by: Option<PacedBy>,
        /// How long to wait.
        after: Span,
    },
    /// Two answers of this session in a row ended at the cap that its budget allowed, so the next is not begun.
    CutShort {
        /// The account that set the cap.
        refusal: Box<Refusal>,
        /// The cap of the last one.
        cap: u64,
    },
    /// The call was stopped on its way, because its budget is spent; what it may have cost stays charged.
    Stopped(String),
    /// The call is not allowed as it stands, whatever is left: no price, no bound, an unknown member.
    Policy {
        /// A stable word for programs, such as `price_missing`.
        code: &'static str,
        /// What is wrong and what to do.
        message: String,
    },
    /// The body cannot be read.
    BadBody(BadBody),
    /// The client has no key, or a wrong one.
    Unauthorized(String),
    /// The request is not one that this port takes: another Host or Origin, or a body that does not say it is JSON.
    Forbidden(String),
    /// There is no such route.
    NotFound(NoRoute),
    /// The body or the headers are larger than is read.
    TooLarge {
        /// How many bytes are read.
        bytes_max: u64,
    },
    /// The body did not arrive in time.
    TooSlow {
        /// How long it was waited for.
        within: Span,
    },
    /// The body ended before its end.
    BrokeOff(String),
    /// The ledger takes no new holds.
    LedgerClosed {
        /// Why.
        why: String,
        /// When to ask again.
        after: Span,
    },
    /// The server ends as soon as the calls that run have ended.
    Stopping {
        /// When to ask again, whoever answers then.
        after: Span,
    },
    /// There is no room for the body, because too many large ones are here.
    Crowded {
        /// When to ask again.
        after: Span,
    },
    /// The provider sent the call elsewhere, where nothing here follows it.
    Elsewhere(String),
    /// The provider refused the call, in an error that could not be read to its end.
    Unread(String),
    /// The provider could not be reached.
    Unreachable(String),
    /// The provider did not answer in time.
    TimedOut(String),
    /// A fault of our own.
    Fault(String),
}

/// Whose fault an answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Client,
    Provider,
    Almoner,
}

impl Fault {
    const fn name(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Provider => "provider",
            Self::Almoner => "almoner",
        }
    }
}

impl Answer {
    /// The answer in the words of a dialect; `call` is the call it is about, where there is one.
    #[must_use]
    pub fn respond(&self, dialect: Dialect, call: Option<CallId>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(form::body(self, dialect)));
        *response.status_mut() = self.status(dialect);
        tell::refused(response.headers_mut(), self, call);
        if let Some(name) = dialect.tongue().reason_header.filter(|_| self.ends_the_money()) {
            tell::reason(response.headers_mut(), name, &self.message());
        }
        response
    }

    /// The status, in a dialect. It is never 409.
    #[must_use]
    pub const fn status(&self, dialect: Dialect) -> StatusCode {
        match self {
            Self::NoMoney(_) | Self::CutShort { .. } | Self::Stopped(_) => dialect.tongue().no_money,
            Self::SlowDown { .. } | Self::Paced { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::Policy { .. } => dialect.tongue().policy,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::BadBody(_) | Self::BrokeOff(_) => StatusCode::BAD_REQUEST,
            Self::Unauthorized(_) => StatusCode::UNAUTHORIZED,
            // After this Codex posts at once; after any other refusal it tries the socket six times more.
            Self::NotFound(NoRoute::Socket) => StatusCode::UPGRADE_REQUIRED,
            Self::NotFound(_) => StatusCode::NOT_FOUND,
            Self::TooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Self::TooSlow { .. } => StatusCode::REQUEST_TIMEOUT,
            Self::LedgerClosed { .. } | Self::Stopping { .. } | Self::Crowded { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Elsewhere(_) | Self::Unread(_) | Self::Unreachable(_) => StatusCode::BAD_GATEWAY,
            Self::TimedOut(_) => StatusCode::GATEWAY_TIMEOUT,
            Self::Fault(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// A stable word for programs.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoMoney(_) => "no_money",
            Self::SlowDown { .. } => "slow_down",
            Self::Paced { .. } => "paced",
            Self::CutShort { .. } => "cut_short",
            Self::Stopped(_) => "stopped",
            Self::Policy { code, .. } => code,
            Self::BadBody(_) => "bad_body",
            Self::Unauthorized(_) => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::NotFound(_) => "not_found",
            Self::TooLarge { .. } => "too_large",
            Self::TooSlow { .. } => "too_slow",
            Self::BrokeOff(_) => "broke_off",
            Self::LedgerClosed { .. } => "ledger_closed",
            Self::Stopping { .. } => "stopping",
            Self::Crowded { .. } => "crowded",
            Self::Elsewhere(_) => "elsewhere",
            Self::Unread(_) => "unread",
            Self::Unreachable(_) => "unreachable",
            Self::TimedOut(_) => "timed_out",
            Self::Fault(_) => "fault",
        }
    }

    /// One sentence for the person who reads it, with the numbers and what to do next.
    #[must_use]
    pub fn message(&self) -> String {
        let said = match self {
            Self::NoMoney(refusal) => said::refusal(refusal),
            Self::SlowDown { refusal: Some(refusal), after } => said::later(refusal, *after),
            Self::SlowDown { refusal: None, after } => {
                format!("too many calls are waiting for their turn; {}", said::again(*after))
            }
            Self::Paced { by, after } => said::paced(by.as_ref(), *after),
            Self::CutShort { refusal, cap } => said::cut_short(refusal, *cap),
            Self::Stopped(why) => format!("this answer was stopped: {why}; what it may have cost stays charged"),
            Self::Policy { message, .. } | Self::Unauthorized(message) | Self::Forbidden(message) => message.clone(),
            Self::BadBody(bad) => bad.to_string(),
            Self::NotFound(none) => none.to_string(),
            Self::TooLarge { bytes_max } => {
                format!("the request is larger than the {bytes_max} bytes that are read; send less")
            }
            Self::TooSlow { within } => format!("the request did not arrive within {within}; send it again"),
            Self::BrokeOff(why) => format!("the request broke off: {why}; send it again"),
            Self::LedgerClosed { why, after } => {
                let again = said::again(*after);
                format!("no call is let through, because its hold could not be kept: {why}; {again}")
            }
            Self::Stopping { after } => {
                let again = said::again(*after);
                format!("no new call is let through, because the server was told to stop; {again}")
            }
            Self::Crowded { after } => {
                let again = said::again(*after);
                format!("there is no room for this body now, because too many large ones are here; {again}")
            }
            Self::Elsewhere(why) => {
                format!("{why}, which is not followed; set the `base_url` in the config to where it really is")
            }
            Self::Unread(why) => why.clone(),
            Self::Unreachable(why) => format!("the provider could not be reached: {why}; nothing was spent"),
            Self::TimedOut(why) => {
                format!("the provider did not answer: {why}; what it may have cost stays charged until it is known")
            }
            Self::Fault(why) => format!("a fault of Almoner's own: {why}"),
        };
        format!("Almoner: {}", said::clean(&said))
    }

    /// The account that decided, where one did.
    #[must_use]
    pub fn refusal(&self) -> Option<&Refusal> {
        match self {
            Self::NoMoney(refusal) | Self::CutShort { refusal, .. } => Some(refusal),
            Self::SlowDown { refusal, .. } => refusal.as_deref(),
            _ => None,
        }
    }

    /// Whether it is about a budget that is spent.
    const fn ends_the_money(&self) -> bool {
        matches!(self, Self::NoMoney(_) | Self::CutShort { .. } | Self::Stopped(_))
    }

    /// How long to wait, for those that time mends.
    const fn after(&self) -> Option<Span> {
        match self {
            Self::SlowDown { after, .. }
            | Self::Paced { after, .. }
            | Self::LedgerClosed { after, .. }
            | Self::Stopping { after }
            | Self::Crowded { after } => Some(*after),
            _ => None,
        }
    }

    /// Whether the rest of the request is left unread, so that nothing more can be said on its connection.
    const fn hangs_up(&self) -> bool {
        matches!(self, Self::TooSlow { .. } | Self::BrokeOff(_) | Self::Crowded { .. })
    }

    /// Whether asking again with the same words is in vain.
    const fn is_final(&self) -> bool {
        matches!(
            self,
            Self::NoMoney(_)
                | Self::CutShort { .. }
                | Self::Stopped(_)
                | Self::Policy { .. }
                | Self::Forbidden(_)
                | Self::BadBody(_)
                | Self::NotFound(_)
                | Self::TooLarge { .. }
                | Self::Elsewhere(_)
        )
    }

    const fn fault(&self) -> Fault {
        match self {
            Self::Elsewhere(_) | Self::Unread(_) | Self::Unreachable(_) | Self::TimedOut(_) => Fault::Provider,
            Self::LedgerClosed { .. } | Self::Stopping { .. } | Self::Crowded { .. } | Self::Fault(_) => Fault::Almoner,
            _ => Fault::Client,
        }
    }
}
