//! The provider of a test: the one that keeps the truth, and the configuration that names it.

use almoner_testkit::truth::{Plan, Settings, Totals};
use almoner_testkit::{Answer, Post, TruthProvider};
use serde_json::json;

/// What the server shows to the provider.
pub(crate) const CREDENTIAL: &str = "sk-of-the-server";

/// A provider that keeps bodies, and does what a call's own headers say.
pub(crate) async fn truth() -> TruthProvider {
    planned("").await
}

/// The same, doing this with every call.
pub(crate) async fn planned(plan: &str) -> TruthProvider {
    let plan = Plan::read(plan).unwrap();
    TruthProvider::start(Settings { plan, keep_bodies: true, ..Settings::default() }).await.unwrap()
}

/// A configuration that sends models named `truth-…` to a provider, priced like the truth, with these lines before it.
/// No call of a test waits for what another was refused.
pub(crate) fn config(base_url: &str, settings: &str, budgets: &str) -> String {
    format!(
        r#"{settings}
[[provider]]
name = "truth"
dialects = ["anthropic", "openai-chat"]
base_url = "{base_url}"
models = ["truth-*"]
key = {{ file = "truth.key" }}
adaptive = false

[[price]]
model = "truth-1"
input = 3.00
output = 15.00
context_window = 200_000

{budgets}
"#
    )
}

/// A world whose server sends `truth-1` to this provider, under these budgets.
pub(crate) fn world(truth: &TruthProvider, settings: &str, budgets: &str) -> crate::world::World {
    world_at(truth.addr(), settings, budgets)
}

/// The same, with whatever provider listens there.
pub(crate) fn world_at(addr: std::net::SocketAddr, settings: &str, budgets: &str) -> crate::world::World {
    world_of(&format!("http://{addr}"), settings, budgets)
}

/// The same, with whatever provider has this address.
pub(crate) fn world_of(base_url: &str, settings: &str, budgets: &str) -> crate::world::World {
    use std::os::unix::fs::PermissionsExt;
    let world = crate::world::World::new(&config(base_url, settings, budgets));
    std::fs::write(world.path("truth.key"), CREDENTIAL).unwrap();
    std::fs::set_permissions(world.path("truth.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    world
}

/// What the provider answers without anybody between.
pub(crate) async fn direct(truth: &TruthProvider, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
    let headers = [headers, &[("x-api-key", CREDENTIAL)]].concat();
    let post = Post { path, headers: &headers, body: body.as_bytes(), patience: almoner_testkit::Patience::ToTheEnd };
    post.send(truth.addr()).await.unwrap()
}

/// A call of Anthropic Messages.
pub(crate) fn messages(model: &str, max_tokens: u64, text: &str) -> String {
    json!({ "model": model, "max_tokens": max_tokens, "messages": [{ "role": "user", "content": text }] }).to_string()
}

/// The same, streamed.
pub(crate) fn messages_stream(model: &str, max_tokens: u64, text: &str) -> String {
    let messages = json!([{ "role": "user", "content": text }]);
    json!({ "model": model, "max_tokens": max_tokens, "stream": true, "messages": messages }).to_string()
}

/// A call of Chat Completions, with these members beside.
pub(crate) fn chat(model: &str, max_tokens: u64, text: &str, more: &serde_json::Value) -> String {
    let messages = json!([{ "role": "user", "content": text }]);
    let mut call = json!({ "model": model, "max_completion_tokens": max_tokens, "messages": messages });
    call.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    call.to_string()
}

/// Waits until the provider's sums are so, which they must become.
pub(crate) async fn until(truth: &TruthProvider, so: impl FnMut(&Totals) -> bool) {
    let waited = tokio::time::timeout(crate::server::AT_MOST, truth.wait_until(so)).await;
    waited.unwrap_or_else(|_| panic!("the provider stays at {:?}", truth.totals()));
}
