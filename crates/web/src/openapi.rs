//! The OpenAPI document, written from the table of resources and the types of what they take and give.

use almoner_units::Role;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::again;
use crate::events;
use crate::problem::ProblemView;
use crate::query::Param;
use crate::table::{ENDPOINTS, Endpoint, Gives, PLACES, Verb};

const ABOUT: &str = "Almoner hands LLM agents their allowance, and keeps the accounts. Amounts are whole numbers, and \
                     the name of a member, or the `unit` beside it, says of what: `usd_nano` is a billionth of a \
                     dollar. Times are RFC 3339. What is not done is told as `application/problem+json`.";

/// The document, as `GET /api/v1/openapi.json` gives it.
#[must_use]
pub fn document() -> String {
    let settings = SchemaSettings::draft2020_12().with(|settings| {
        settings.definitions_path = "/components/schemas".into();
        settings.meta_schema = None;
    });
    let mut schemas = settings.into_generator();
    let mut paths = Map::new();
    for endpoint in ENDPOINTS {
        let path = paths.entry(endpoint.path).or_insert_with(|| json!({}));
        let verb = endpoint.verb.name().to_ascii_lowercase();
        path[verb] = operation(endpoint, &mut schemas);
    }
    let problem = schemas.subschema_for::<ProblemView>();
    let problem = |about: &str| json!({ "description": about, "content": { "application/problem+json": { "schema": problem.clone() } } });
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Almoner",
            "version": "1",
            "description": ABOUT,
            "license": { "name": "MIT OR Apache-2.0" },
        },
        "servers": [{ "url": "/" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "A token of `almoner token`; the key of an agent is none.",
                },
            },
            "responses": {
                "Refused": problem("The request is not done, and why."),
                "Failed": problem("The server could not do it, and why."),
            },
            "schemas": schemas.take_definitions(true),
        },
    });
    // What was made of plain values always is JSON.
    serde_json::to_string_pretty(&document).unwrap_or_default() + "\n"
}

fn operation(endpoint: &Endpoint, schemas: &mut SchemaGenerator) -> Value {
    let mut parameters: Vec<Value> = places(endpoint).chain(endpoint.query.iter().map(parameter)).collect();
    // What stands under two paths is told apart by the second.
    let id = match endpoint.path == "/api/throttle/stats" {
        true => format!("{}_at_its_old_path", endpoint.act.name()),
        false => endpoint.act.name().to_owned(),
    };
    let mut operation = json!({
        "operationId": id,
        "summary": endpoint.about,
        "tags": [tag(endpoint)],
        "responses": responses(endpoint, schemas),
    });
    if let Some(takes) = endpoint.takes {
        let schema = takes(schemas);
        let is_needed = needs_body(&schema, schemas);
        operation["requestBody"] =
            json!({ "required": is_needed, "content": { "application/json": { "schema": schema } } });
    }
    if endpoint.verb == Verb::Post {
        parameters.push(header(
            "Idempotency-Key",
            "Sent again with the same key, the same request is done once, and answered alike with \
             `idempotency-replayed: true`. Keys are remembered for a day.",
            &json!({ "type": "string", "pattern": "^[!-~]+$", "minLength": 1, "maxLength": again::KEY_MAX }),
        ));
    }
    if matches!(endpoint.gives, Gives::Events) {
        let about = format!("The `id` of the last event that was seen (`{}`).", events::LAST);
        parameters.push(header("Last-Event-ID", &about, &json!({ "type": "string", "pattern": "^[0-9]{1,15}$" })));
    }
    match endpoint.role {
        Some(role) => operation["description"] = format!("Needs a token of role {}.", or_more(role)).into(),
        None => operation["security"] = json!([]),
    }
    if !parameters.is_empty() {
        operation["parameters"] = parameters.into();
    }
    operation
}

fn or_more(role: Role) -> String {
    let more: Vec<&str> = Role::ALL.iter().filter(|other| **other >= role).map(|role| role.name()).collect();
    more.join(" or ")
}

/// What the resource is about: the first word behind the version.
fn tag(endpoint: &Endpoint) -> &'static str {
    let words = endpoint.path.trim_start_matches("/api/").trim_start_matches('/').trim_start_matches("v1/");
    words.split(['/', '.']).next().unwrap_or_default()
}

fn responses(endpoint: &Endpoint, schemas: &mut SchemaGenerator) -> Value {
    let (status, about, content) = match endpoint.gives {
        Gives::Json(shape) => {
            ("200", "What was asked for.", json!({ "application/json": { "schema": shape(schemas) } }))
        }
        Gives::Secret(shape) => {
            ("201", "What was made, with its secret.", json!({ "application/json": { "schema": shape(schemas) } }))
        }
        Gives::Metrics => ("200", "The page.", json!({ "text/plain": { "schema": { "type": "string" } } })),
        Gives::Events => ("200", "Events, until the client hangs up.", json!({ "text/event-stream": {} })),
    };
    json!({
        status: { "description": about, "content": content },
        "4XX": { "$ref": "#/components/responses/Refused" },
        "5XX": { "$ref": "#/components/responses/Failed" },
    })
}

/// Whether a body must be there: some member of it must.
fn needs_body(schema: &schemars::Schema, schemas: &SchemaGenerator) -> bool {
    let name = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
    let of = name.and_then(|name| schemas.definitions().get(name));
    of.is_some_and(|of| of.get("required").is_some() || of.get("minProperties").is_some())
}

fn places(endpoint: &Endpoint) -> impl Iterator<Item = Value> {
    let places = endpoint.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    places.map(|name| {
        let about = PLACES.iter().find(|(known, _)| *known == name).map_or("", |(_, about)| about);
        json!({
            "name": name, "in": "path", "required": true, "description": about,
            "schema": { "type": "string", "minLength": 1 },
        })
    })
}

fn parameter(param: &Param) -> Value {
    json!({
        "name": param.name, "in": "query", "required": false, "description": param.about,
        "schema": param.kind.schema(),
    })
}

fn header(name: &str, about: &str, schema: &Value) -> Value {
    json!({ "name": name, "in": "header", "required": false, "description": about, "schema": schema })
}
