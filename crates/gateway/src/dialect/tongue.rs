//! What is particular to a dialect, in one place: its routes, its credential, its refusals and the ends of its streams.

use almoner_meter::Framing;
use hyper::StatusCode;
use hyper::header::{self, HeaderName};
use serde_json::Value;

use super::Endpoint;
use crate::answer::Answer;

/// All that is particular to a dialect, but for how its bodies are read, which is each endpoint's own.
pub(crate) struct Tongue {
    /// Its routes.
    pub(crate) endpoints: &'static [&'static Endpoint],
    /// Under which paths what has no route is refused in its words.
    pub(crate) home: &'static [&'static str],
    /// Where a credential stands.
    pub(crate) credential: CredentialPlace,
    /// Under which names a query may carry one instead, and where each of them is put.
    pub(crate) query_credential: &'static [(&'static str, CredentialPlace)],
    /// The status for an end of the money after which its clients ask no second time.
    pub(crate) no_money: StatusCode,
    /// The status for what is not allowed as it stands, after which its clients ask no second time.
    pub(crate) policy: StatusCode,
    /// A header whose text its clients show their user instead of the message.
    pub(crate) reason_header: Option<&'static str>,
    /// Whether some of its clients take digits anywhere in an error for a status, and ask again.
    pub(crate) minds_digits: bool,
    /// The error object.
    pub(crate) error: fn(&Wrong<'_>) -> Value,
    /// JSON pointers to the text by which an error is known for its provider's own.
    pub(crate) own_error: &'static [&'static str],
    /// How a stream lies in its bytes where its content type does not say that they are server-sent events.
    pub(crate) plain_stream: Framing,
    /// The lines after which a stream has ended, each a field and its value. Where there are none, it ends with its
    /// bytes.
    pub(crate) last_lines: &'static [(&'static str, &'static str)],
    /// An error object as the last event of a stream.
    pub(crate) last_event: fn(&Value) -> String,
    /// What may stand before a stream of server-sent events and means nothing; `None` where its streams are no such.
    pub(crate) ping: Option<&'static str>,
}

/// What an error object is made of.
pub(crate) struct Wrong<'a> {
    pub(crate) answer: &'a Answer,
    /// The sentence for a person.
    pub(crate) message: String,
    /// The facts for a program.
    pub(crate) almoner: Value,
}

/// Where a credential stands in a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CredentialPlace {
    /// In a header of its own.
    Header(&'static str),
    /// In `authorization`, behind `Bearer`.
    Bearer,
}

impl CredentialPlace {
    /// The header that it stands in.
    pub(crate) const fn header(self) -> HeaderName {
        match self {
            Self::Header(name) => HeaderName::from_static(name),
            Self::Bearer => header::AUTHORIZATION,
        }
    }
}
