//! An answer as bytes, ready for any server to send.

use serde_json::Value;

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// The `content-type` of the body.
    pub content_type: &'static str,
    /// Whether the body is a stream of events.
    pub stream: bool,
    /// The body: one chunk for each event of a stream, else one chunk.
    pub chunks: Vec<Vec<u8>>,
}

impl Reply {
    /// An answer of one JSON object.
    pub(crate) fn json(status: u16, body: &Value) -> Self {
        let chunks = vec![body.to_string().into_bytes()];
        Self { status, content_type: "application/json", stream: false, chunks }
    }

    /// An answer of server-sent events.
    pub(crate) fn events(events: Vec<Event>, cut: Option<usize>) -> Self {
        let told = events.iter().position(|event| event.tells_usage);
        // A stream that is cut must leave its reader without news, so it never reaches the event with the usage.
        let kept = cut.map_or(events.len(), |cut| cut.min(told.unwrap_or(events.len())));
        let chunks = events.into_iter().take(kept).map(|event| event.bytes).collect();
        Self { status: 200, content_type: "text/event-stream; charset=utf-8", stream: true, chunks }
    }

    /// An answer of objects, the last of which tells what it used.
    pub(crate) fn objects(framing: Framing, objects: &[Value], cut: Option<usize>) -> Self {
        let last = objects.len().saturating_sub(1);
        let kept = cut.map_or(objects.len(), |cut| cut.min(last));
        let chunk = |(at, object): (usize, &Value)| match framing {
            Framing::Events => format!("data: {object}\r\n\r\n"),
            Framing::Lines => format!("{object}\n"),
            Framing::Array => {
                let (begin, end) = (if at == 0 { "[" } else { ",\r\n" }, if at == last { "]" } else { "" });
                format!("{begin}{object}{end}")
            }
        };
        let chunks = objects.iter().take(kept).enumerate().map(|at| chunk(at).into_bytes()).collect();
        let content_type = match framing {
            Framing::Events => "text/event-stream; charset=utf-8",
            Framing::Lines => "application/x-ndjson",
            Framing::Array => "application/json; charset=utf-8",
        };
        Self { status: 200, content_type, stream: true, chunks }
    }
}

/// How the parts of a stream lie in its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// As the data of server-sent events.
    Events,
    /// As the objects of one array.
    Array,
    /// As an object a line.
    Lines,
}

/// One server-sent event.
pub(crate) struct Event {
    bytes: Vec<u8>,
    tells_usage: bool,
}

impl Event {
    /// An event with a name, as Anthropic sends it: the name is the data's own `type`.
    pub(crate) fn named(data: &Value) -> Self {
        let name = data["type"].as_str().unwrap_or_default();
        Self { bytes: format!("event: {name}\ndata: {data}\n\n").into_bytes(), tells_usage: false }
    }

    /// An event without a name.
    pub(crate) fn plain(data: &str) -> Self {
        Self { bytes: format!("data: {data}\n\n").into_bytes(), tells_usage: false }
    }

    /// The same event, marked as the one that tells what the whole answer used.
    pub(crate) fn with_usage(self) -> Self {
        Self { tells_usage: true, ..self }
    }
}
