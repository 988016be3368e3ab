//! What the config says to the gateway.

use almoner_units::Span;

use crate::http::Hosts;
use crate::relay::Patience;

/// What the config says to the gateway; plain values, checked before.
#[derive(Clone, Debug)]
pub struct GatewaySettings {
    /// The most output that one call is let to have, in tokens.
    pub max_output: u64,
    /// The output that is reserved for a call which asks for none, in tokens.
    pub default_output: u64,
    /// The names and addresses by which a request may ask for us.
    pub hosts: Hosts,
    /// Whether only those are let in who have one of our keys.
    pub require_key: bool,
    /// Whether a call with a part that nobody here knows is refused.
    pub strict: bool,
    /// How long a call waits with us: for its turn, for money and for another try, all of that together.
    pub wait_max: Span,
    /// After how long of that the client of a stream is sent pings, and how often; zero for never.
    pub ping_after: Span,
    /// How long a request may take to arrive.
    pub receive_max: Span,
    /// The most bytes of a request's body.
    pub body_bytes_max: u64,
    /// The most bytes of the bodies of all requests at once; one body may always have its own most.
    pub bodies_bytes_max: u64,
    /// How long an answer may take, and its parts.
    pub patience: Patience,
}
