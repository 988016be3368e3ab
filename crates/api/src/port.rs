//! The port: all that a face which strangers can reach knows of the server behind it.

use std::future::Future;
use std::sync::Arc;

use almoner_units::{CallId, Role, Timestamp};

use crate::{Failure, Reply, Request};

/// The server, as a face sees it.
pub trait Port: Send + Sync + 'static {
    /// Does one operation.
    fn run(&self, request: Request) -> impl Future<Output = Reply> + Send;

    /// Who shows this token, where it is a good one.
    fn caller(&self, token: &str) -> Option<Caller>;

    /// What time it is.
    fn now(&self) -> Timestamp;

    /// An id that no call has had.
    fn new_call(&self) -> CallId;

    /// Remembers, for good, that this is about to be asked; or says what is known of it from before.
    fn begin(&self, asked: &Asked) -> impl Future<Output = Result<Begun, Failure>> + Send;

    /// Remembers what was answered to it.
    fn finish(&self, asked: &Asked, answered: &Answered) -> impl Future<Output = Result<(), Failure>> + Send;

    /// Forgets that it was asked, because nothing was done.
    fn forget(&self, asked: &Asked) -> impl Future<Output = ()> + Send;

    /// Tells whoever runs the server that somebody was turned away. The text has no secret in it.
    fn warn(&self, text: &str);
}

/// A server that others ask as well.
impl<P: Port> Port for Arc<P> {
    fn run(&self, request: Request) -> impl Future<Output = Reply> + Send {
        (**self).run(request)
    }

    fn caller(&self, token: &str) -> Option<Caller> {
        (**self).caller(token)
    }

    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn new_call(&self) -> CallId {
        (**self).new_call()
    }

    fn begin(&self, asked: &Asked) -> impl Future<Output = Result<Begun, Failure>> + Send {
        (**self).begin(asked)
    }

    fn finish(&self, asked: &Asked, answered: &Answered) -> impl Future<Output = Result<(), Failure>> + Send {
        (**self).finish(asked, answered)
    }

    fn forget(&self, asked: &Asked) -> impl Future<Output = ()> + Send {
        (**self).forget(asked)
    }

    fn warn(&self, text: &str) {
        (**self).warn(text);
    }
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// What their token is called.
    pub name: String,
    /// What tells their token from every other, one that had its name before included. It is no secret.
    pub token: String,
    /// What it lets them do.
    pub role: Role,
}

/// A request that must be done once, however often it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// What tells the token of whoever asks from every other: nobody hears the answer to somebody else's request.
    pub by: String,
    /// The key that they gave to the request.
    pub key: String,
    /// What they ask, as a hash: the same key is not for two different requests.
    pub digest: [u8; 32],
    /// The id of the call that it may book, so that it cannot book two.
    pub call: CallId,
    /// When it came.
    pub at: Timestamp,
}

/// What is known of a request that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begun {
    /// Nothing: it is the first of its key.
    First,
    /// It was begun before, and nobody knows how far it came: the server ended in between. The call it may have booked
    /// is this.
    Unfinished(CallId),
    /// It was answered before.
    Answered(Answered),
    /// The key was given to another request.
    Other,
    /// As many are remembered as there is room for.
    Full,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The status of the answer.
    pub status: u16,
    /// Its body; none where there is a secret in it, which nobody keeps.
    pub body: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::pin::pin;
    use std::sync::Mutex;
    use std::task::{Context, Poll, Waker};

    const NOW: Timestamp = Timestamp::from_ms(1_795_500_000_000);

    /// Notes what it is asked.
    #[derive(Default)]
    struct Noting(Mutex<Vec<String>>);

    impl Noting {
        fn note(&self, what: &str) {
            self.0.lock().unwrap().push(what.to_owned());
        }
    }

    impl Port for Noting {
        async fn run(&self, request: Request) -> Reply {
            self.note(&format!("run {request:?}"));
            Reply::Done { message: "noted".to_owned() }
        }

        fn caller(&self, token: &str) -> Option<Caller> {
            self.note(token);
            None
        }

        fn now(&self) -> Timestamp {
            NOW
        }

        fn new_call(&self) -> CallId {
            CallId::new(NOW, [7; 10])
        }

        async fn begin(&self, asked: &Asked) -> Result<Begun, Failure> {
            self.note(&format!("begin {}", asked.key));
            Ok(Begun::First)
        }

        async fn finish(&self, asked: &Asked, answered: &Answered) -> Result<(), Failure> {
            self.note(&format!("finish {} {}", asked.key, answered.status));
            Ok(())
        }

        async fn forget(&self, asked: &Asked) {
            self.note(&format!("forget {}", asked.key));
        }

        fn warn(&self, text: &str) {
            self.note(text);
        }
    }

    fn at_once<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => panic!("it waits for nothing"),
        }
    }

    #[test]
    fn who_shares_a_server_asks_that_server() {
        let noting = Arc::new(Noting::default());
        let shared = Arc::clone(&noting);
        let call = Port::new_call(&shared);
        let asked = Asked { by: "ci".to_owned(), key: "k".to_owned(), digest: [0; 32], call, at: Port::now(&shared) };
        assert_eq!(at_once(Port::run(&shared, Request::Ping)), Reply::Done { message: "noted".to_owned() });
        assert_eq!(Port::caller(&shared, "token"), None);
        assert_eq!(at_once(Port::begin(&shared, &asked)), Ok(Begun::First));
        assert_eq!(at_once(Port::finish(&shared, &asked, &Answered { status: 201, body: None })), Ok(()));
        at_once(Port::forget(&shared, &asked));
        Port::warn(&shared, "turned away");
        let told = noting.0.lock().unwrap().clone();
        assert_eq!(told, ["run Ping", "token", "begin k", "finish k 201", "forget k", "turned away"]);
        assert_eq!((asked.at, asked.call), (NOW, CallId::new(NOW, [7; 10])));
    }
}
