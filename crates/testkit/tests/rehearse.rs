//! The rehearsal behind a socket says what the rehearsal says.

use almoner_testkit::{RehearsalServer, post};

#[tokio::test]
async fn the_rehearsal_answers_over_http() {
    let server = RehearsalServer::start().await.unwrap();
    let ask = |body: &'static str| post(server.addr(), "/v1/messages?beta=true", &[], body.as_bytes());
    let body = r#"{"model":"rehearsal","stream":true,"messages":[{"role":"user","content":"words: 20"}]}"#;
    let answer = ask(body).await.unwrap();
    assert!(answer.complete && answer.text().ends_with("\"type\":\"message_stop\"}\n\n"), "{}", answer.text());
    let broke = ask(r#"{"model":"rehearsal","messages":[{"role":"user","content":"fail: 402"}]}"#).await.unwrap();
    assert_eq!((broke.status, broke.header("x-should-retry")), (402, Some("false")));
    assert_eq!(post(server.addr(), "/v1/models", &[], b"{}").await.unwrap().status, 404);
    assert_eq!(server.posts(), 2);
}
