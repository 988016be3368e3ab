//! The false world for tests: a provider that keeps the truth, the rehearsal behind a socket, a client that hangs up.
//!
//! Everything listens on a free port of the loopback and says which; nothing here reads a clock or the environment.

mod almoner;
mod client;
mod crowd;
mod dice;
mod drip;
mod hang_up;
mod hostile;
mod http;
pub mod proof;
mod rehearse;
mod small_disk;
mod tls;
pub mod truth;
mod tunnel;

pub use almoner::{Books, Household, Serving, one_budget, priced_provider};
pub use client::{Answer, NoAnswer, Patience, Post, post};
pub use crowd::{Crowd, Habits, Tally};
pub use dice::Dice;
pub use hostile::{HostileProvider, MISDEEDS};
pub use rehearse::RehearsalServer;
pub use small_disk::SmallDisk;
pub use tls::{Authority, TlsDoor, Validity};
pub use truth::TruthProvider;
pub use tunnel::TunnelProxy;
