//! Tokens with names: that two of one name are never made, and that the audit has who made and ended them.

use almoner_api::{EventQuery, NewToken, Reply, Request};

use super::{Server, settings, start};

impl Server {
    /// The event behind this one, as the audit has it, and its number.
    async fn event_behind(&self, after: u64) -> (String, u64) {
        let query = EventQuery { after: Some(after), wait_ms: 20_000, limit: Some(1), ..EventQuery::default() };
        match self.operations.run(Request::Events(Box::new(query))).await {
            Reply::Events { events, .. } => (format!("{}: {}", events[0].kind, events[0].message), events[0].id),
            other => panic!("{other:?}"),
        }
    }

    async fn create_token(&self, name: &str) -> Reply {
        let new = NewToken {
            name: name.to_owned(),
            role: "viewer".to_owned(),
            expires: "never".to_owned(),
            by: "a test".to_owned(),
            ..NewToken::default()
        };
        self.operations.run(Request::CreateToken(Box::new(new))).await
    }
}

#[tokio::test]
async fn of_many_who_ask_for_one_name_at_once_one_gets_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&settings(&dir)).await;
    let (a, b, c) = tokio::join!(server.create_token("ci"), server.create_token("ci"), server.create_token("ci"));
    let made = [a, b, c].into_iter().filter(|reply| matches!(reply, Reply::Token(_))).count();
    assert_eq!(made, 1, "the others would have a secret that is good for nothing");
}

#[tokio::test]
async fn the_audit_has_who_made_and_who_ended_a_token() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(&settings(&dir)).await;
    assert!(matches!(server.create_token("ci").await, Reply::Token(_)));
    let revoke = Request::RevokeToken { token: "ci".to_owned(), by: "token boss".to_owned() };
    assert!(matches!(server.operations.run(revoke).await, Reply::Done { .. }));
    let (made, last) = server.event_behind(0).await;
    assert_eq!(made, "token_made: token ci of role viewer was made, by a test");
    assert_eq!(server.event_behind(last).await.0, "token_revoked: token ci was revoked, by token boss");
}
