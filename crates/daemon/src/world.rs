//! The real world, as the gateway sees it.

use crate::keeper::Keeper;
use crate::keys::Keyring;
use crate::recorder::Recorder;
use crate::upstream::Way;

/// The ledger on disk, history on disk, our keys, and sockets.
pub(crate) struct RealWorld;

impl almoner_gateway::World for RealWorld {
    type Purse = Keeper;
    type Recorder = Recorder;
    type Keys = Keyring;
    type Upstream = Way;
}
