//! The face on a port of its own making: every route, every role, and what hostile requests come to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use almoner_api::{
    AccountInfo, Answered, Asked, Begun, BudgetInfo, Caller, EventInfo, Failure, HoldInfo, LimitInfo, Port, PriceInfo,
    RateInfo, Reply, Request as Operation, RouteInfo, ShownKey, ShownToken, Status, ThrottleNumbers, ThrottleStats,
};
use almoner_units::{CallId, Role, Timestamp};
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::{HeaderMap, Request};
use serde_json::{Value, json};

use crate::table::{Act, ENDPOINTS, Endpoint, Gives, Verb};
use crate::{Web, document, takes};

/// A server that does nothing and remembers what it was asked.
#[derive(Default)]
struct Fake {
    asked: Mutex<Vec<Operation>>,
    begun: Mutex<BTreeMap<String, (Asked, Option<Answered>)>>,
    calls: AtomicU64,
    told: Mutex<Vec<String>>,
    /// Whether operations wait until they may go on.
    gate: Option<tokio::sync::Semaphore>,
    /// Whether every token has ended.
    ended: AtomicBool,
}

impl Port for Fake {
    async fn run(&self, request: Operation) -> Reply {
        self.asked.lock().unwrap().push(request.clone());
        if let Some(gate) = &self.gate {
            gate.acquire().await.unwrap().forget();
        }
        reply(request)
    }

    fn caller(&self, token: &str) -> Option<Caller> {
        if self.ended.load(Ordering::Relaxed) {
            return None;
        }
        let role = Role::ALL.into_iter().find(|role| token == format!("alm_token_{role}"))?;
        Some(Caller { name: format!("the {role}"), token: token.to_owned(), role })
    }

    fn now(&self) -> Timestamp {
        Timestamp::from_ms(90_000)
    }

    fn new_call(&self) -> CallId {
        CallId::from_bits(u128::from(self.calls.fetch_add(1, Ordering::Relaxed)))
    }

    async fn begin(&self, asked: &Asked) -> Result<Begun, Failure> {
        let mut begun = self.begun.lock().unwrap();
        let before = begun.get(&asked.key).cloned();
        Ok(match before {
            None => {
                begun.insert(asked.key.clone(), (asked.clone(), None));
                Begun::First
            }
            Some((before, _)) if before.digest != asked.digest => Begun::Other,
            Some((_, Some(answered))) => Begun::Answered(answered),
            Some((before, None)) => Begun::Unfinished(before.call),
        })
    }

    async fn finish(&self, asked: &Asked, answered: &Answered) -> Result<(), Failure> {
        self.begun.lock().unwrap().get_mut(&asked.key).unwrap().1 = Some(answered.clone());
        Ok(())
    }

    async fn forget(&self, asked: &Asked) {
        self.begun.lock().unwrap().remove(&asked.key);
    }

    fn warn(&self, text: &str) {
        self.told.lock().unwrap().push(text.to_owned());
    }
}

fn reply(request: Operation) -> Reply {
    let done = || Reply::Done { message: "done".to_owned() };
    let text = str::to_owned;
    match request {
        Operation::Status => Reply::Status(Box::new(Status { version: text("1"), ..Status::default() })),
        Operation::BudgetList => {
            let budget = |name: &str| BudgetInfo {
                budget: text(name),
                mode: text("stop-new"),
                limits: vec![text("$5 / day")],
                filter: vec![(text("team"), text("red"))],
                per: vec![text("session")],
            };
            Reply::BudgetList { budgets: ["each session", "b/c", "a"].map(budget).into() }
        }
        Operation::Budgets { .. } => Reply::Accounts { accounts: vec![account("s1"), account("s2")], config: None },
        Operation::Holds => Reply::Holds { holds: (0..5).map(hold).collect() },
        Operation::Explain { id } => Reply::Failed(failure("unknown_call", &format!("no call {id}"))),
        Operation::AddUsage { reason, .. } if reason.is_empty() => Reply::Failed(failure("no_reason", "say why")),
        Operation::Decisions(_) => Reply::Decisions { decisions: Vec::new(), next: None },
        Operation::Usage(_) => Reply::Usage { rows: Vec::new(), since: None, is_cut: false },
        Operation::Keys { .. } => Reply::Keys { keys: Vec::new(), require_key: false, config: None },
        Operation::CreateKey(_) | Operation::RotateKey { .. } => Reply::Key(Box::new(ShownKey {
            id: text("ci-1"),
            name: Some(text("ci")),
            secret: text("alm_secret"),
            expires_at: None,
            old_until: None,
            budget: None,
            listen: String::new(),
            require_key: false,
            credentials: Vec::new(),
            dialects: Vec::new(),
            budgets: Vec::new(),
            config: None,
        })),
        Operation::CreateToken(new) => Reply::Token(Box::new(ShownToken {
            name: new.name,
            role: new.role,
            secret: text("alm_token_secret"),
            expires_at: None,
            listen: String::new(),
        })),
        Operation::ThrottleStats { session } => {
            let numbers = ThrottleNumbers {
                tokens_hour: 7,
                tokens_day: 8,
                cost_hour_nano: 1_500_000_000,
                cost_day_nano: 2_000_000_000,
                throttle_level: text("SOFT"),
            };
            let sessions = session.into_iter().filter(|name| name == "a").map(|name| (name, numbers.clone())).collect();
            Reply::Throttle(Box::new(ThrottleStats { global: numbers, sessions, is_cut: false }))
        }
        Operation::Routes => Reply::Routes { routes: ["night", "day"].map(route).into() },
        Operation::Prices => Reply::Prices { version: text("b"), prices: ["b", "a"].map(price).into() },
        Operation::Metrics => Reply::Metrics { text: text("# HELP almoner_up 1\n") },
        Operation::Reload { .. } => Reply::Reloaded(Box::default()),
        Operation::Tokens => Reply::Tokens { tokens: Vec::new() },
        Operation::Events(query) => events(query.after, query.limit),
        _ => done(),
    }
}

fn route(name: &str) -> RouteInfo {
    RouteInfo { route: name.to_owned(), filter: (name == "day").then(Vec::new), ..RouteInfo::default() }
}

fn price(model: &str) -> PriceInfo {
    let rate = RateInfo { tier: "standard".to_owned(), input: 3_000_000, ..RateInfo::default() };
    let aliases = vec![format!("{model}-20261123")];
    PriceInfo { model: model.to_owned(), aliases, rates: vec![rate], ..PriceInfo::default() }
}

fn failure(code: &str, message: &str) -> Failure {
    Failure { code: code.to_owned(), message: message.to_owned(), hint: None }
}

fn account(session: &str) -> AccountInfo {
    let limit = LimitInfo {
        limit: "$5 / day".to_owned(),
        meter: "usd".to_owned(),
        amount: 5_000_000_000,
        spent: 1,
        assumed: 0,
        held: 0,
        left: 4_999_999_999,
        over: 0,
        level: "none".to_owned(),
        resets_at: None,
    };
    AccountInfo {
        account: format!("each session [session={session}]"),
        budget: "each session".to_owned(),
        per: vec![("session".to_owned(), session.to_owned())],
        mode: "stop-new".to_owned(),
        level: "none".to_owned(),
        open: true,
        open_holds: 0,
        limits: vec![limit],
        over_because: None,
    }
}

fn hold(number: u8) -> HoldInfo {
    HoldInfo {
        id: CallId::new(Timestamp::from_ms(u64::from(number)), [number; 10]).to_string(),
        state: if number == 0 { "assumed" } else { "open" }.to_owned(),
        since: "2026-11-23T08:00:00Z".to_owned(),
        accounts: Vec::new(),
        usd_nano: 7,
        tokens: 8,
    }
}

/// Three events, of which the first are gone, and after them the end.
fn events(after: Option<u64>, limit: Option<u32>) -> Reply {
    let event = |id| EventInfo {
        id,
        at: "2026-11-23T08:00:00Z".to_owned(),
        kind: "refused".to_owned(),
        message: "a budget\nrefused a call".to_owned(),
        data: serde_json::Map::new(),
    };
    match (after, limit) {
        (None, _) => Reply::Events { events: Vec::new(), last: 40, gap: false },
        (Some(after), _) if after < 40 => {
            let events = (41..44).map(event).collect();
            Reply::Events { events, last: 43, gap: after < 39 }
        }
        (Some(40), _) => Reply::Events { events: vec![event(41)], last: 41, gap: false },
        _ => Reply::Failed(failure("stopping", "the server was told to stop")),
    }
}

/// An answer.
#[derive(Debug)]
struct Said {
    status: u16,
    headers: HeaderMap,
    text: String,
}

impl Said {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error} in {}", self.text))
    }

    #[track_caller]
    fn is(&self, status: u16, code: &str) {
        assert_eq!(self.status, status, "{self:?}");
        assert_eq!(self.headers["content-type"], "application/problem+json");
        assert_eq!((self.json()["code"].as_str(), self.json()["status"].as_u64()), (Some(code), Some(status.into())));
    }
}

struct World {
    fake: Arc<Fake>,
    web: Arc<Web<Arc<Fake>>>,
}

impl World {
    fn new() -> Self {
        Self::with(Fake::default())
    }

    fn with(fake: Fake) -> Self {
        let fake = Arc::new(fake);
        let is_for_us =
            |head: &hyper::http::request::Parts| head.headers.get("host").is_some_and(|host| host == "localhost");
        Self { web: Arc::new(Web::new(Arc::clone(&fake), is_for_us)), fake }
    }

    async fn send(&self, method: &str, address: &str, headers: &[(&str, &str)], body: &str) -> Said {
        let request = Request::builder().method(method).uri(address);
        let has = |name: &str| headers.iter().any(|(given, _)| *given == name);
        let mut request = if has("host") { request } else { request.header("host", "localhost") };
        if !body.is_empty() && !has("content-type") {
            request = request.header("content-type", "application/json");
        }
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let answer = Arc::clone(&self.web).handle(request).await;
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        let bytes = answer.into_body().collect().await.unwrap().to_bytes();
        Said { status, headers, text: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn as_role(&self, role: Role, method: &str, address: &str, body: &str) -> Said {
        self.send(method, address, &[("authorization", &format!("Bearer alm_token_{role}"))], body).await
    }

    async fn get(&self, address: &str) -> Said {
        self.as_role(Role::Viewer, "GET", address, "").await
    }

    async fn post_once(&self, address: &str, key: &str, body: &str) -> Said {
        let headers = [("authorization", "Bearer alm_token_admin"), ("idempotency-key", key)];
        self.send("POST", address, &headers, body).await
    }

    fn asked(&self) -> Vec<Operation> {
        std::mem::take(&mut self.fake.asked.lock().unwrap())
    }
}

/// The address of an endpoint with something in its places.
fn address(endpoint: &Endpoint) -> String {
    endpoint.path.replace("{budget}", "a").replace("{id}", "x").replace("{key}", "ci").replace("{token}", "board")
}

/// A body that an endpoint takes.
fn body(act: Act) -> &'static str {
    match act {
        Act::ChangeBudget => r#"{"mode":"warn"}"#,
        Act::AddUsage => r#"{"cost_usd_nano":5,"reason":"r","labels":{"session":"a"}}"#,
        Act::Correct => r#"{"unspent":true,"reason":"r"}"#,
        Act::CreateKey => r#"{"name":"ci"}"#,
        Act::CreateToken => r#"{"name":"board","role":"viewer"}"#,
        Act::ResetBudget | Act::RotateKey | Act::RevokeKey | Act::RevokeToken | Act::Reload => "{}",
        _ => "",
    }
}

#[tokio::test]
async fn nobody_is_answered_without_a_token_that_is_good_for_it() {
    let world = World::new();
    for endpoint in ENDPOINTS.iter().filter(|endpoint| endpoint.role.is_some()) {
        let (verb, address, body) = (endpoint.verb.name(), address(endpoint), body(endpoint.act));
        let needed = endpoint.role.unwrap();
        for bad in ["", "Basic alm_token_admin", "Bearer", "Bearer ", "Bearer alm_ci", "bearer alm_token_none"] {
            let headers: Vec<_> = [("authorization", bad)].into_iter().filter(|(_, value)| !value.is_empty()).collect();
            let said = world.send(verb, &address, &headers, body).await;
            assert!([401, 429].contains(&said.status), "{verb} {address} as `{bad}`: {said:?}");
            assert!(said.status == 429 || said.headers["www-authenticate"] == "Bearer realm=\"almoner\"");
        }
        for place in [("cookie", "token=alm_token_admin"), ("x-api-key", "alm_token_admin")] {
            assert_eq!(world.send(verb, &address, &[place], body).await.status, 401, "{verb} {address}");
        }
        let twice = [("authorization", "Bearer alm_token_admin"), ("authorization", "Bearer alm_token_admin")];
        assert_eq!(world.send(verb, &address, &twice, body).await.status, 401);
        for role in Role::ALL.into_iter().filter(|role| *role < needed) {
            let said = world.as_role(role, verb, &address, body).await;
            said.is(403, "role");
            assert!(said.text.contains(&format!("of role {needed}; `the {role}` is of role {role}")), "{said:?}");
        }
    }
    assert_eq!(world.asked(), [], "nothing was done for any of them");
}

#[tokio::test]
async fn a_good_token_passes_however_many_bad_ones_were_shown() {
    let world = World::new();
    let mut statuses = Vec::new();
    for _ in 0..100 {
        let said = world.send("GET", "/api/v1/status", &[("authorization", "Bearer alm_token_guess")], "").await;
        assert!(!said.text.contains("guess"));
        if said.status == 429 {
            assert_eq!(said.headers["retry-after"], "30");
        }
        statuses.push(said.status);
    }
    assert_eq!(statuses.iter().filter(|status| **status == 401).count(), 60);
    assert_eq!(world.get("/api/v1/status").await.status, 200);
    let told = world.fake.told.lock().unwrap();
    assert_eq!(told.len(), 2, "a hundred of them are two lines: {told:?}");
}

#[tokio::test]
async fn no_page_of_another_origin_is_told_even_which_paths_there_are() {
    let world = World::new();
    for endpoint in ENDPOINTS {
        let headers = [("host", "evil.example"), ("authorization", "Bearer alm_token_admin")];
        let said = world.send(endpoint.verb.name(), &address(endpoint), &headers, body(endpoint.act)).await;
        said.is(403, "foreign");
    }
    world.send("GET", "/api/v1/none", &[("host", "evil.example")], "").await.is(403, "foreign");
}

#[tokio::test]
async fn every_route_of_the_table_answers_in_its_form() {
    let world = World::new();
    for endpoint in ENDPOINTS.iter().filter(|endpoint| !matches!(endpoint.gives, Gives::Events)) {
        assert!(takes(endpoint.path), "{}", endpoint.path);
        let said = world.as_role(Role::Admin, endpoint.verb.name(), &address(endpoint), body(endpoint.act)).await;
        let none = [Act::Decision, Act::Key].contains(&endpoint.act);
        let wanted = if matches!(endpoint.gives, Gives::Secret(_)) { 201 } else { 200 };
        assert!(said.status == wanted || none, "{} {}: {said:?}", endpoint.verb.name(), endpoint.path);
        assert_eq!(said.headers["cache-control"], "no-store");
        assert_eq!(said.headers["x-content-type-options"], "nosniff");
        assert!(endpoint.act == Act::Metrics || said.json().is_object(), "{said:?}");
    }
}

#[tokio::test]
async fn another_method_and_another_path_are_refused_by_name() {
    let world = World::new();
    for (method, path, allow) in [
        ("DELETE", "/api/v1/budgets/a", "GET, PATCH"),
        ("POST", "/api/v1/status", "GET"),
        ("OPTIONS", "/api/v1/usage", "GET, POST"),
        ("TRACE", "/api/v1/keys/ci/rotate", "POST"),
        ("BREW", "/api/throttle/stats", "GET"),
    ] {
        let said = world.as_role(Role::Admin, method, path, "").await;
        said.is(405, "bad_method");
        assert_eq!(said.headers["allow"], allow, "{method} {path}");
    }
    for path in
        ["/api/v1", "/api/v1/", "/api/v1/status/", "/api/v1/budgets//reset", "/api/v1/../v1/status", "/api/v1/x"]
    {
        world.as_role(Role::Admin, "GET", path, "").await.is(404, "no_such_path");
    }
    assert_eq!(world.as_role(Role::Viewer, "HEAD", "/api/v1/status", "").await.status, 200);
}

#[test]
fn calls_stay_with_the_gateway() {
    for ours in ["/api/v1", "/api/v1/x", "/api/throttle/stats", "/metrics"] {
        assert!(takes(ours), "{ours}");
    }
    for other in [
        "/",
        "/v1/messages",
        "/api/chat",
        "/api/v1beta",
        "/api/hello",
        "/api/throttled",
        "/metricsx",
        "/api",
        "/API/v1/x",
    ] {
        assert!(!takes(other), "{other}");
    }
}

#[tokio::test]
async fn what_is_asked_arrives_with_who_asks() {
    let world = World::new();
    let body = r#"{"limits":["$9 / day"],"mode":"throttle"}"#;
    assert_eq!(world.as_role(Role::Admin, "PATCH", "/api/v1/budgets/each%20session", body).await.status, 200);
    let by = "token the admin".to_owned();
    let limits = vec!["$9 / day".to_owned()];
    let set = Operation::SetBudget {
        budget: "each session".to_owned(),
        limits,
        mode: Some("throttle".to_owned()),
        by: by.clone(),
    };
    assert_eq!(world.asked(), [set]);
    let reset = r#"{"labels":{"session":"a"},"reason":"a new day"}"#;
    assert_eq!(world.as_role(Role::Operator, "POST", "/api/v1/budgets/b%2Fc/reset", reset).await.status, 200);
    let reset = Operation::ResetBudget {
        budget: "b/c".to_owned(),
        per: vec![("session".to_owned(), "a".to_owned())],
        reason: "a new day".to_owned(),
        by: "token the operator".to_owned(),
    };
    assert_eq!(world.asked(), [reset]);
    let key = r#"{"name":"ci","labels":{"team":"red"},"limits":["$5"],"expires":"90d"}"#;
    let made = world.as_role(Role::Admin, "POST", "/api/v1/keys", key).await;
    assert_eq!((made.status, made.json()["secret"].as_str()), (201, Some("alm_secret")));
    let [Operation::CreateKey(new)] = &world.asked()[..] else { panic!("no key was asked for") };
    assert_eq!((new.by.as_str(), new.expires.as_str()), (by.as_str(), "90d"));
    assert_eq!(new.labels, [("team".to_owned(), "red".to_owned())]);
}

#[tokio::test]
async fn amounts_say_their_unit_and_labels_are_objects() {
    let world = World::new();
    let accounts = world.get("/api/v1/accounts?label=session=s2").await.json();
    let [account] = &accounts["items"].as_array().unwrap()[..] else { panic!("{accounts}") };
    assert_eq!(account["labels"], json!({ "session": "s2" }));
    let limit = &account["limits"][0];
    assert_eq!((&limit["unit"], &limit["amount"]), (&json!("usd_nano"), &json!(5_000_000_000_u64)));
    let budget = world.get("/api/v1/budgets/each%20session").await.json();
    assert_eq!((&budget["where"], &budget["per"]), (&json!({ "team": "red" }), &json!(["session"])));
    let unknown = world.get("/api/v1/budgets/each%20sesion").await;
    unknown.is(404, "unknown_budget");
    assert_eq!(unknown.json()["hint"], "did you mean `each session`?");
}

#[tokio::test]
async fn routes_and_prices_are_listed_in_pages_and_prices_found_by_any_name() {
    let world = World::new();
    let first = world.get("/api/v1/routes?limit=1").await.json();
    assert_eq!((&first["items"][0]["route"], &first["items"][0]["where"]), (&json!("day"), &json!({})));
    let cursor = first["next_cursor"].as_str().unwrap();
    let next = world.get(&format!("/api/v1/routes?cursor={cursor}")).await.json();
    assert_eq!((&next["items"][0]["route"], &next["items"][0]["where"]), (&json!("night"), &Value::Null));
    assert_eq!(next["next_cursor"], Value::Null);
    let all = world.get("/api/v1/prices?limit=1").await.json();
    assert_eq!((&all["version"], &all["items"][0]["model"]), (&json!("b"), &json!("a")));
    assert!(all["next_cursor"].is_string(), "{all}");
    let one = world.get("/api/v1/prices?model=b-20261123").await.json();
    let [price] = &one["items"].as_array().unwrap()[..] else { panic!("{one}") };
    assert_eq!((&price["model"], &price["rates"][0]["input_usd_pico"]), (&json!("b"), &json!(3_000_000)));
    assert_eq!(world.get("/api/v1/prices?provider=none").await.json()["items"], json!([]));
}

#[tokio::test]
async fn throttle_stats_have_the_members_of_the_guide_under_both_paths() {
    let world = World::new();
    for path in ["/api/throttle/stats", "/api/v1/throttle/stats"] {
        let all = world.get(path).await.json();
        let numbers =
            json!({ "tokens_hour": 7, "tokens_day": 8, "cost_hour": 1.5, "cost_day": 2, "throttle_level": "SOFT" });
        assert_eq!(all, json!({ "global": numbers, "sessions": {} }));
        let one = world.get(&format!("{path}?session=a")).await.json();
        assert_eq!((&one["tokens_hour"], &one["throttle_level"]), (&json!(7), &json!("SOFT")));
        assert_eq!(one["global"]["tokens_day"], 8);
    }
}

#[tokio::test]
async fn a_list_comes_in_pages() {
    let world = World::new();
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = world.get(&format!("/api/v1/holds?state=open&limit=3{cursor}")).await.json();
        seen.extend(page["items"].as_array().unwrap().iter().map(|hold| hold["id"].as_str().unwrap().to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, (1..5).map(|number| hold(number).id).collect::<Vec<_>>());
    world.get("/api/v1/holds?cursor=nonsense").await.is(422, "bad_cursor");
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_does_nothing() {
    let world = World::new();
    let post = async |body: &str, headers: &[(&str, &str)]| {
        let headers = [&[("authorization", "Bearer alm_token_admin")], headers].concat();
        world.send("POST", "/api/v1/usage", &headers, body).await
    };
    post("{}", &[("content-type", "text/plain")]).await.is(415, "bad_content_type");
    post("{}", &[("content-encoding", "gzip")]).await.is(415, "bad_content_type");
    post(&format!("\"{}\"", "x".repeat(crate::web::BODY_MAX)), &[]).await.is(413, "too_large");
    post("{", &[]).await.is(400, "bad_json");
    post(&"[".repeat(10_000), &[]).await.is(400, "bad_json");
    post(r#"{"cost_usd_nano":9007199254740992,"reason":"r"}"#, &[]).await.is(400, "bad_member");
    let slip = post(r#"{"cost_usd_nano":1,"reson":"r"}"#, &[]).await;
    slip.is(400, "unknown_member");
    assert_eq!(slip.json()["hint"], "did you mean `reason`?");
    let twice = r#"{"cost_usd_nano":1,"reason":"r","labels":{"team":"red","team":"blue"}}"#;
    post(twice, &[]).await.is(400, "bad_member");
    world.get("/api/v1/usage?gruop_by=session").await.is(400, "unknown_parameter");
    world.get("/api/v1/budgets/%ff").await.is(400, "bad_address");
    world.get("/api/v1/status?token=alm_token_admin").await.is(400, "unknown_parameter");
    let nothing = world.as_role(Role::Admin, "PATCH", "/api/v1/budgets/a", "{}").await;
    nothing.is(422, "nothing_to_change");
    let both = r#"{"unspent":true,"cost_usd_nano":1,"reason":"r"}"#;
    world.as_role(Role::Admin, "POST", "/api/v1/holds/x/correct", both).await.is(422, "bad_truth");
    assert_eq!(world.asked(), []);
}

#[tokio::test]
async fn a_request_with_a_key_is_done_once_and_answered_alike() {
    let world = World::new();
    let body = body(Act::AddUsage);
    let first = world.post_once("/api/v1/usage", "k1", body).await;
    let again = world.post_once("/api/v1/usage", "k1", body).await;
    assert_eq!((first.status, &first.text), (again.status, &again.text));
    assert_eq!(again.headers["idempotency-replayed"], "true");
    assert!(!first.headers.contains_key("idempotency-replayed"));
    assert_eq!(world.asked().len(), 1);
    let other = r#"{"cost_usd_nano":6,"reason":"r"}"#;
    world.post_once("/api/v1/usage", "k1", other).await.is(422, "idempotency_key_reused");
    world.post_once("/api/v1/budgets/a/reset", "k1", "").await.is(422, "idempotency_key_reused");
    for bad in ["", "a b", &"x".repeat(256), "é"] {
        world.post_once("/api/v1/usage", bad, body).await.is(400, "bad_idempotency_key");
    }
    assert_eq!(world.asked(), []);
    // What was refused was not done, and may be asked again.
    let refused = r#"{"cost_usd_nano":5,"reason":""}"#;
    world.post_once("/api/v1/usage", "k2", refused).await.is(422, "no_reason");
    assert_eq!(world.post_once("/api/v1/usage", "k2", body).await.status, 200);
}

#[tokio::test]
async fn a_secret_is_answered_again_and_stands_on_no_disk() {
    let world = World::new();
    let first = world.post_once("/api/v1/keys", "k", r#"{"name":"ci"}"#).await;
    let again = world.post_once("/api/v1/keys", "k", r#"{"name":"ci"}"#).await;
    assert_eq!((again.status, &again.text), (201, &first.text));
    let kept = world.fake.begun.lock().unwrap()["k"].1.clone();
    assert_eq!(kept, Some(Answered { status: 201, body: None }));
    // After a start it is gone.
    let next = World { web: Arc::new(Web::new(Arc::clone(&world.fake), |_| true)), fake: Arc::clone(&world.fake) };
    next.post_once("/api/v1/keys", "k", r#"{"name":"ci"}"#).await.is(409, "secret_not_kept");
}

#[tokio::test]
async fn after_a_crash_in_its_midst_usage_is_booked_under_the_same_id_and_all_else_is_said() {
    let world = World::with(Fake { gate: Some(tokio::sync::Semaphore::new(0)), ..Fake::default() });
    let body = body(Act::AddUsage);
    for (address, key, body) in [("/api/v1/usage", "u", body), ("/api/v1/budgets/a/reset", "r", "{}")] {
        // It is with the ledger when the process dies.
        let request = world.post_once(address, key, body);
        let died = tokio::time::timeout(std::time::Duration::from_millis(10), request).await;
        assert!(died.is_err());
    }
    let [Operation::AddUsage { id: Some(id), .. }, Operation::ResetBudget { .. }] = &world.asked()[..] else {
        panic!("both were begun")
    };
    let begun = std::mem::take(&mut *world.fake.begun.lock().unwrap());
    let next = World::with(Fake { begun: Mutex::new(begun), calls: AtomicU64::new(1000), ..Fake::default() });
    assert_eq!(next.post_once("/api/v1/usage", "u", body).await.status, 200);
    let [Operation::AddUsage { id: Some(again), .. }] = &next.asked()[..] else { panic!("it is booked") };
    assert_eq!(again, id, "the ledger knows it, and counts it once");
    next.post_once("/api/v1/budgets/a/reset", "r", "{}").await.is(409, "idempotency_unfinished");
    assert_eq!(next.asked(), []);
}

#[tokio::test]
async fn of_two_at_once_the_second_waits_for_the_first() {
    let world = Arc::new(World::with(Fake { gate: Some(tokio::sync::Semaphore::new(0)), ..Fake::default() }));
    let twins: Vec<_> = (0..2)
        .map(|_| {
            let world = Arc::clone(&world);
            tokio::spawn(async move { world.post_once("/api/v1/usage", "k", body(Act::AddUsage)).await })
        })
        .collect();
    while world.fake.asked.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    world.fake.gate.as_ref().unwrap().add_permits(2);
    let mut replayed = 0;
    for twin in twins {
        let said = twin.await.unwrap();
        assert_eq!(said.status, 200);
        replayed += usize::from(said.headers.contains_key("idempotency-replayed"));
    }
    assert_eq!((replayed, world.asked().len()), (1, 1));
}

#[tokio::test]
async fn events_go_on_behind_the_last_that_was_seen() {
    let world = World::new();
    let listen = async |address: &str, last: Option<&str>| {
        let token = ("authorization", "Bearer alm_token_viewer");
        let headers: Vec<_> = [token].into_iter().chain(last.map(|last| ("last-event-id", last))).collect();
        world.send("GET", address, &headers, "").await
    };
    let next = listen("/api/v1/events", None).await;
    assert_eq!(next.headers["content-type"], "text/event-stream");
    assert!(next.text.starts_with(": all is well\n\nid: 41\nevent: refused\ndata: {"), "{}", next.text);
    assert!(next.text.contains("a budget\\nrefused a call"), "an event is one line: {}", next.text);
    let resumed = listen("/api/v1/events", Some("39")).await.text;
    assert!(
        resumed.contains("id: 41\n") && resumed.contains("id: 43\n") && !resumed.contains("event: gap"),
        "{resumed}"
    );
    let late = listen("/api/v1/events?after=5", None).await.text;
    assert!(late.contains("event: gap\ndata: {\"after\":5,\"next\":41}\n\nid: 41\n"), "{late}");
    assert!(late.ends_with("\n\n") && late.contains("event: problem\n"), "the end is said: {late}");
    for bad in ["x", "+5", "-1", "5 5"] {
        listen("/api/v1/events", Some(bad)).await.is(400, "bad_event_id");
    }
    let slip = listen("/api/v1/events?kinds=refusd", None).await;
    slip.is(422, "bad_kind");
    assert_eq!(slip.json()["hint"], "did you mean `refused`?");
}

#[tokio::test]
async fn whoever_listens_hears_nothing_that_happened_after_the_token_ended() {
    let world = Arc::new(World::with(Fake { gate: Some(tokio::sync::Semaphore::new(0)), ..Fake::default() }));
    let listening = {
        let world = Arc::clone(&world);
        tokio::spawn(async move {
            let headers = [("authorization", "Bearer alm_token_viewer"), ("last-event-id", "39")];
            world.send("GET", "/api/v1/events", &headers, "").await.text
        })
    };
    while world.fake.asked.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
    world.fake.ended.store(true, Ordering::Relaxed);
    world.fake.gate.as_ref().unwrap().add_permits(10);
    let heard = listening.await.unwrap();
    assert!(!heard.contains("id: 41"), "{heard}");
    assert!(heard.contains("event: problem\n") && heard.contains("no longer good"), "the end is said: {heard}");
}

#[test]
fn the_document_has_every_route_and_no_other() {
    let document: Value = serde_json::from_str(&document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let written: Vec<(String, String)> = paths
        .iter()
        .flat_map(|(path, verbs)| verbs.as_object().unwrap().keys().map(|verb| (path.clone(), verb.to_uppercase())))
        .collect();
    for endpoint in ENDPOINTS {
        let found = (endpoint.path.to_owned(), endpoint.verb.name().to_owned());
        assert!(written.contains(&found), "{found:?} is not in the document");
        let operation = &paths[endpoint.path][endpoint.verb.name().to_lowercase()];
        assert_eq!(operation["security"] == json!([]), endpoint.role.is_none());
        let places = endpoint.path.matches('{').count();
        let parameters = operation["parameters"].as_array().map_or(0, Vec::len);
        let headers = usize::from(endpoint.verb == Verb::Post) + usize::from(endpoint.act == Act::Events);
        assert_eq!(parameters, places + endpoint.query.len() + headers, "{}", endpoint.path);
    }
    assert_eq!(written.len(), ENDPOINTS.len(), "the document has a route that there is not");
    // Whatever is referred to is there.
    let text = document.to_string();
    for name in text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next()) {
        assert!(document["components"]["schemas"].get(name).is_some(), "{name} is not in the document");
    }
}

/// `cargo xtask openapi` writes it anew.
#[test]
fn the_document_is_the_one_that_is_published() {
    let published = include_str!("../../../docs/openapi.json");
    assert!(document() == published, "docs/openapi.json differs; `cargo xtask openapi` writes it anew");
}
