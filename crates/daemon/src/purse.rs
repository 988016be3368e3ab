//! The keeper as the gateway's purse.

use almoner_gateway::{Decision, DeskError, End, Purse, Question};
use almoner_units::{CallId, Timestamp};

use crate::clock;
use crate::keeper::Keeper;

impl Purse for Keeper {
    fn new_call(&self) -> CallId {
        CallId::new(clock::read().wall, clock::dice())
    }

    fn now(&self) -> Timestamp {
        clock::read().wall
    }

    async fn reserve(&self, question: Question) -> Result<Decision, DeskError> {
        Self::reserve(self, question).await
    }

    fn end(&self, id: CallId, end: End) {
        Self::end(self, id, end);
    }

    fn is_closed(&self) -> bool {
        Self::is_closed(self)
    }
}
