//! `almoner events`

use std::process::ExitCode;

use almoner_api::{EventInfo, EventQuery, Reply, Request};
use serde_json::json;

use crate::args::{Common, Events};
use crate::client::{ask, unexpected};
use crate::fail::{Failed, Outcome};
use crate::show;

/// How long each question waits for an event, where more are to follow.
const WAIT_MS: u64 = 30_000;

/// What came of one question.
struct Page {
    events: Vec<EventInfo>,
    last: u64,
    gap: bool,
}

pub(crate) fn run(common: &Common, asked: Events) -> Outcome {
    let mut query = EventQuery { after: asked.after, kinds: asked.kind, limit: Some(asked.limit), wait_ms: 0 };
    let page = page(common, &query)?;
    if asked.follow {
        return follow(common, &mut query, page);
    }
    if common.json {
        show::json(&json!({ "events": page.events, "last": page.last, "gap": page.gap }))?;
    } else {
        tell_gap(page.gap);
        page.events.iter().map(in_words).for_each(show::line);
    }
    Ok(ExitCode::SUCCESS)
}

/// Shows events as they happen, until the server or whoever watches has enough.
fn follow(common: &Common, query: &mut EventQuery, mut page: Page) -> Outcome {
    query.wait_ms = WAIT_MS;
    loop {
        tell_gap(page.gap);
        for event in &page.events {
            if common.json {
                show::line(serde_json::to_string(event)?);
            } else {
                show::line(in_words(event));
            }
        }
        query.after = Some(page.last);
        page = self::page(common, query)?;
    }
}

fn page(common: &Common, query: &EventQuery) -> Result<Page, Failed> {
    match ask(common, &Request::Events(Box::new(query.clone())))? {
        Reply::Events { events, last, gap } => Ok(Page { events, last, gap }),
        _ => Err(unexpected()),
    }
}

fn tell_gap(gap: bool) {
    if gap {
        show::aside("some of the events that were asked for are gone: too old, or lost with the history");
    }
}

fn in_words(event: &EventInfo) -> String {
    format!("{} {} {}: {}", event.id, event.at, event.kind, event.message)
}
