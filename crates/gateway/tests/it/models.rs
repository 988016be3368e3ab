//! Lists of models, each in the words of whoever asks.

use std::sync::Arc;

use almoner_gateway::KeyFacts;
use almoner_policy::ModelPattern;
use http_body_util::Full;
use hyper::Request;
use hyper::body::Bytes;
use serde_json::Value as Json;

use crate::world::{Bench, read};

async fn get(path: &str, headers: &[(&str, &str)]) -> (u16, Json) {
    let mut request = Request::get(path).header("host", "localhost");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let bench = Bench::dollar();
    let response = bench.call(request.body(Full::new(Bytes::new())).unwrap()).await;
    let status = response.status().as_u16();
    assert!(bench.shared.state().reports.is_empty(), "a list is no call");
    (status, serde_json::from_str(&read(response).await.0).unwrap())
}

fn ids<'j>(list: &'j Json, member: &str) -> Vec<&'j str> {
    list.as_array().unwrap().iter().map(|model| model[member].as_str().unwrap()).collect()
}

#[tokio::test]
async fn openais_clients_read_openais_list() {
    let (status, list) = get("/v1/models", &[("authorization", "Bearer sk-own")]).await;
    assert_eq!((status, &list["object"]), (200, &"list".into()));
    let ids = ids(&list["data"], "id");
    assert!(ids.contains(&"gpt-5.6") && ids.contains(&"text-embedding-3-small"), "{ids:?}");
    assert!(ids.contains(&"gpt-4o-2024-08-06"), "under every name: {ids:?}");
    assert!(!ids.iter().any(|id| id.starts_with("claude")), "of OpenAI's dialects only: {ids:?}");
    assert!(!ids.contains(&"gpt-4"), "what has retired is not offered: {ids:?}");
    let (status, model) = get("/v1/models/gpt-5.6", &[]).await;
    assert_eq!((status, &model["id"], &model["owned_by"]), (200, &"gpt-5.6".into(), &"openai".into()));
    let (status, none) = get("/v1/models/gpt-none", &[]).await;
    assert_eq!((status, &none["error"]["type"]), (404, &"invalid_request_error".into()));
}

#[tokio::test]
async fn anthropics_clients_read_anthropics_pages() {
    let version = ("anthropic-version", "2023-06-01");
    let (_, all) = get("/v1/models?limit=1000", &[version]).await;
    let known = ids(&all["data"], "id");
    // A local server of the config speaks their words too, and serves what begins with `qwen`.
    let is_theirs = |id: &&str| id.starts_with("claude") || id.starts_with("qwen");
    assert!(known.contains(&"claude-opus-5") && known.iter().all(is_theirs), "{known:?}");
    assert_eq!((&all["has_more"], all["last_id"].as_str()), (&false.into(), known.last().copied()));
    let (mut seen, mut query) = (Vec::new(), "limit=2".to_owned());
    loop {
        let (_, page) = get(&format!("/v1/models?{query}"), &[version]).await;
        seen.extend(ids(&page["data"], "id").into_iter().map(str::to_owned));
        if page["has_more"] == false {
            break;
        }
        query = format!("limit=2&after_id={}", page["last_id"].as_str().unwrap());
    }
    assert_eq!(seen, known);
    let (_, before) = get(&format!("/v1/models?limit=1&before_id={}", known[2]), &[version]).await;
    assert_eq!((ids(&before["data"], "id"), &before["has_more"]), (vec![known[1]], &true.into()));
    let (status, model) = get("/v1/models/claude-opus-5", &[version]).await;
    assert_eq!((status, &model["type"]), (200, &"model".into()));
    let (status, none) = get("/v1/models/gpt-5", &[version]).await;
    assert_eq!((status, &none["error"]["type"]), (404, &"not_found_error".into()));
}

#[tokio::test]
async fn googles_clients_read_googles_list() {
    for (path, headers) in [("/v1beta/models", vec![]), ("/v1/models", vec![("x-goog-api-key", "k")])] {
        let (_, list) = get(path, &headers).await;
        let names = ids(&list["models"], "name");
        assert!(!names.is_empty() && names.iter().all(|name| name.starts_with("models/gemini")), "{names:?}");
    }
}

#[tokio::test]
async fn a_key_sees_the_models_that_it_may_use() {
    let bench = Bench::dollar();
    let models = vec![ModelPattern::new("gpt-5.6*"), ModelPattern::new("gpt-4o-2024-08-06")];
    let facts = KeyFacts { models, ..KeyFacts::anyone() };
    bench.shared.state().keys.insert("alm_few".to_owned(), Arc::new(facts));
    let request = Request::get("/v1/models").header("host", "localhost").header("authorization", "Bearer alm_few");
    let response = bench.call(request.body(Full::new(Bytes::new())).unwrap()).await;
    let list: Json = serde_json::from_str(&read(response).await.0).unwrap();
    let ids = ids(&list["data"], "id");
    assert!(ids.contains(&"gpt-5.6") && ids.contains(&"gpt-4o-2024-08-06"), "{ids:?}");
    assert!(ids.iter().all(|id| id.starts_with("gpt-5.6") || *id == "gpt-4o-2024-08-06"), "{ids:?}");
}

#[tokio::test]
async fn a_key_that_is_none_sees_no_models() {
    let (status, refused) = get("/v1/models", &[("authorization", "Bearer alm_gone")]).await;
    assert_eq!((status, &refused["error"]["code"]), (401, &"invalid_api_key".into()));
}
