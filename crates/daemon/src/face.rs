//! The server as its faces see it over the network.

use almoner_api::{Answered, Asked, Begun, Caller, Failure, Port, Reply, Request};
use almoner_store::{Known, StoredAsk};
use almoner_units::{CallId, Span, Timestamp};

use crate::clock;
use crate::operations::Operations;

/// How long a request is remembered that must be done once.
const ASKED_KEPT: Span = Span::from_secs(24 * 3600);

impl Port for Operations {
    async fn run(&self, request: Request) -> Reply {
        Self::run(self, request).await
    }

    fn caller(&self, token: &str) -> Option<Caller> {
        self.tokens.find(token, clock::read().wall)
    }

    fn now(&self) -> Timestamp {
        clock::read().wall
    }

    fn new_call(&self) -> CallId {
        CallId::new(clock::read().wall, clock::dice())
    }

    async fn begin(&self, asked: &Asked) -> Result<Begun, Failure> {
        let ask = stored(asked);
        let (digest, oldest) = (asked.digest, Timestamp::from_ms(asked.at.ms().saturating_sub(ASKED_KEPT.ms())));
        let known = self.tokens.remember(move |control| {
            control.forget_before(oldest)?;
            control.begin(&ask)
        });
        Ok(match known.await? {
            Known::New => Begun::First,
            Known::Full => Begun::Full,
            Known::Before(before) if before.digest != digest => Begun::Other,
            Known::Before(before) => match before.answer {
                Some((status, body)) => Begun::Answered(Answered { status, body }),
                None => Begun::Unfinished(before.call),
            },
        })
    }

    async fn finish(&self, asked: &Asked, answered: &Answered) -> Result<(), Failure> {
        let (by, key, answered) = (asked.by.clone(), asked.key.clone(), answered.clone());
        let finish = move |control: &mut almoner_store::Control| {
            control.finish(&by, &key, answered.status, answered.body.as_deref())
        };
        self.tokens.remember(finish).await
    }

    async fn forget(&self, asked: &Asked) {
        let (by, key) = (asked.by.clone(), asked.key.clone());
        // Where it stays, whoever asks again hears that it was begun.
        drop(self.tokens.remember(move |control| control.forget(&by, &key)).await);
    }

    #[allow(clippy::print_stderr, reason = "this is where the server tells what it does")]
    fn warn(&self, text: &str) {
        eprintln!("almoner: {text}");
    }
}

fn stored(asked: &Asked) -> StoredAsk {
    let Asked { by, key, digest, call, at } = asked.clone();
    StoredAsk { by, key, digest, call, at, answer: None }
}
