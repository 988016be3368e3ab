//! Headers at the border: what goes on to the provider, what comes back, and who may ask at all.

use hyper::Uri;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};
use hyper::http::request::Parts;

use crate::dialect::{CredentialPlace, Dialect};
use crate::route::split_key;
use crate::who::{KEY_PREFIX, is_ours};

/// Headers that belong to one connection and never pass it.
const HOP_BY_HOP: [&str; 10] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "expect",
];

/// How many headers an answer mostly gets from us, so that their map is made once.
const OURS_BACK: usize = 8;

/// Headers of the client that are ours to make or to keep; those with a credential for any provider among them, because
/// a call goes only to the one that it is for.
const OURS: [&str; 13] = [
    "host",
    "content-length",
    "accept-encoding",
    "authorization",
    "api-key",
    "x-api-key",
    "x-goog-api-key",
    "cookie",
    "forwarded",
    "x-real-ip",
    "via",
    // By these Google leaves a part of its answer out, and takes one request for another.
    "x-goog-fieldmask",
    "x-http-method-override",
];

/// The part of a query by which Google leaves a part of its answer out: a client could leave out what it costs.
const FIELDS: &str = "fields";

/// The headers of a client's request that go on to the provider: all but those of the connection, those that carry a
/// credential, and ours. A provider's own headers are many and change, so what is not known passes.
#[must_use]
pub(crate) fn onward(from: &HeaderMap) -> HeaderMap {
    let named = named_by_connection(from);
    // A credential, and what the client to the provider adds, come on top.
    let mut to = HeaderMap::with_capacity(from.len() + 4);
    for (name, value) in from {
        let text = name.as_str();
        let ours = OURS.contains(&text) || text.starts_with("x-almoner-") || text.starts_with("x-forwarded-");
        if !ours && !names_key(text) && !has_key(value) && !HOP_BY_HOP.contains(&text) && !named.contains(name) {
            to.append(name.clone(), value.clone());
        }
    }
    // The meter reads what comes back, so it is asked for as it is.
    to.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    to
}

/// Takes every credential out of the query of a request, and puts it into its header where that is free. An address is
/// kept, shown and sent on; a header that carries a credential is not. What would narrow the answer goes as well.
pub(crate) fn clear_query(head: &mut Parts) {
    let Some(query) = head.uri.query() else { return };
    let places = Dialect::of_path(split_key(head.uri.path()).1).tongue().query_credential;
    let (mut kept, mut moved, mut narrows) = (Vec::new(), Vec::new(), false);
    for pair in query.split('&') {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (name, value) = (decoded(name), decoded(value));
        // Google takes each of its own with a `$` in front as well.
        let name = name.strip_prefix('$').unwrap_or(&name);
        let place = places.iter().find(|(known, _)| *known == name).map(|(_, place)| *place);
        match place {
            _ if name.eq_ignore_ascii_case(FIELDS) => narrows = true,
            _ if names_key(&value) => moved.push((OUR_KEY, value)),
            // Without a name, or packed once more, it is a key all the same: a good one, or nobody is let in.
            _ if names_key(name) => moved.push((OUR_KEY, name.to_owned())),
            _ if hides_key(pair) => moved.push((OUR_KEY, unpacked(pair))),
            Some(CredentialPlace::Bearer) => moved.push((header::AUTHORIZATION, format!("Bearer {value}"))),
            Some(place) => moved.push((place.header(), value)),
            None => kept.push(pair),
        }
    }
    if moved.is_empty() && !narrows {
        return;
    }
    let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
    let mut parts = head.uri.clone().into_parts();
    // What was a part of a path and query is one again.
    parts.path_and_query = format!("{}{query}", head.uri.path()).parse().ok();
    head.uri = Uri::from_parts(parts).unwrap_or_default();
    for (place, value) in moved {
        if let Ok(mut value) = HeaderValue::from_str(&value) {
            value.set_sensitive(true);
            head.headers.entry(place).or_insert(value);
        }
    }
}

/// The header for our key beside a client's own credential.
const OUR_KEY: HeaderName = HeaderName::from_static("x-almoner-key");

/// A part of a query with its `%XX` undone; an odd byte stands as it came.
fn decoded(part: &str) -> String {
    let mut bytes = Vec::with_capacity(part.len());
    let mut rest = part.as_bytes();
    while let [first, more @ ..] = rest {
        let digits = more.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &more[2..];
            }
            None => {
                bytes.push(*first);
                rest = more;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether a value has one of our keys in it, whatever header a client thought was the place for it.
pub(crate) fn has_key(value: &HeaderValue) -> bool {
    hides_key(&String::from_utf8_lossy(value.as_bytes()))
}

/// How often `%XX` may be written over `%XX` before nobody can mean it.
const PACKED_MAX: usize = 8;

/// Whether a text has one of our keys in it, however often it is packed in `%XX`. One that is packed deeper than
/// anybody does is taken for one.
fn hides_key(text: &str) -> bool {
    let open = unpacked(text);
    names_key(&open) || (open.contains('%') && decoded(&open) != open)
}

/// A text with its `%XX` undone until there are none.
fn unpacked(text: &str) -> String {
    let mut open = text.to_owned();
    for _ in 0..PACKED_MAX {
        if !open.contains('%') {
            break;
        }
        open = decoded(&open);
    }
    open
}

fn names_key(text: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(is_ours) || has_secret(text)
}

/// How many letters and digits after its beginning make a key of ours, also in the middle of a word.
const SECRET_MIN: usize = 16;

/// Whether a text has the secret of a key in it: its beginning, and enough behind it.
pub(crate) fn has_secret(text: &str) -> bool {
    let is_secret = |rest: &[u8]| rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).count() >= SECRET_MIN;
    let bytes = text.as_bytes();
    bytes.windows(KEY_PREFIX.len()).enumerate().any(|(at, word)| {
        word.eq_ignore_ascii_case(KEY_PREFIX.as_bytes()) && is_secret(&bytes[at + KEY_PREFIX.len()..])
    })
}

/// The headers of a provider's answer that go back to the client.
#[must_use]
pub(crate) fn back(from: &HeaderMap) -> HeaderMap {
    let named = named_by_connection(from);
    let passes = |name: &HeaderName| {
        let text = name.as_str();
        !HOP_BY_HOP.contains(&text) && !text.starts_with("x-almoner-") && text != "set-cookie" && !named.contains(name)
    };
    let mut to = HeaderMap::with_capacity(from.len() + OURS_BACK);
    to.extend(from.iter().filter(|(name, _)| passes(name)).map(|(name, value)| (name.clone(), value.clone())));
    to
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// Which names are ours.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// The names beside those of this machine for itself, in small letters.
    pub names: Vec<String>,
    /// Whether other machines reach us, by any address that we have. No page of a browser comes by one that is not its
    /// own: only names are rebound.
    pub is_open: bool,
}

impl Hosts {
    /// Whether a request really is for us, and from no web page of another origin.
    ///
    /// A page in the user's browser can send requests to a loopback port, by its own name for it (DNS rebinding) or
    /// across origins; behind this port lies a credential that costs money.
    #[must_use]
    pub fn take(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        // A second one may be the one that somebody on the way believed.
        let hosts: Vec<_> = headers.get_all(header::HOST).iter().collect();
        let is_one = matches!(hosts[..], [host] if host.to_str().is_ok_and(|host| self.is_ours(host)));
        is_one
            && uri.authority().is_none_or(|authority| self.is_ours(authority.as_str()))
            && headers.get_all(header::ORIGIN).iter().all(|origin| origin.to_str().is_ok_and(|it| self.is_page(it)))
    }

    /// Whether a `host`, `host:port` or `[v6]:port` is a name or an address of ours.
    fn is_ours(&self, authority: &str) -> bool {
        let ip = || host(authority).is_some_and(|host| host.parse::<std::net::IpAddr>().is_ok());
        self.is_known(authority) || (self.is_open && ip())
    }

    /// Whether an origin is a page that we know by name.
    fn is_page(&self, origin: &str) -> bool {
        origin.split_once("://").is_some_and(|(_, authority)| self.is_known(authority))
    }

    fn is_known(&self, authority: &str) -> bool {
        host(authority)
            .is_some_and(|host| is_loopback(host) || self.names.iter().any(|name| name.eq_ignore_ascii_case(host)))
    }
}

/// The host of an authority, where the rest of it is a port.
fn host(authority: &str) -> Option<&str> {
    let (host, port) = match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, rest)) => (v6, rest.strip_prefix(':').unwrap_or(if rest.is_empty() { "0" } else { rest })),
        None => authority.rsplit_once(':').unwrap_or((authority, "0")),
    };
    port.bytes().all(|byte| byte.is_ascii_digit()).then_some(host)
}

/// Whether a host is this machine's name for itself.
fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// Whether the body is sent as it is: what is packed cannot be read here, and must not be read otherwise elsewhere.
#[must_use]
pub(crate) fn is_plain(headers: &HeaderMap) -> bool {
    let is_identity = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    headers.get_all(header::CONTENT_ENCODING).iter().all(is_identity)
}

/// Whether the content type is JSON, which no web form can send without asking first.
#[must_use]
pub(crate) fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    #[test]
    fn credentials_and_hops_stay_here_and_the_rest_goes_on() {
        let sent = headers(&[
            ("host", "127.0.0.1:4141"),
            ("x-api-key", "secret"),
            ("authorization", "Bearer secret"),
            ("x-almoner-key", "alm_secret"),
            ("x-forwarded-for", "10.0.0.1"),
            ("connection", "close, x-hop"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("x-goog-api-key", "secret"),
            ("api-key", "secret"),
            ("x-goog-fieldmask", "candidates"),
            ("x-title", "Bearer alm_secret"),
            ("x-shout", "ALM_SECRET"),
            ("x-packed", "%2561lm_secret"),
            ("x-glued", "xalm_0123456789abcdef"),
            ("x-alm_0123456789abcdef", "1"),
            ("alm_secret", "1"),
            ("x-app", "calm_reader"),
            ("anthropic-beta", "a,b"),
            ("accept-encoding", "gzip"),
        ]);
        let to = onward(&sent);
        let names: Vec<&str> = to.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-app", "anthropic-beta", "accept-encoding"]);
        assert_eq!(to["accept-encoding"], "identity");
    }

    /// What is left of an address, and the credentials that were taken out of it.
    fn cleared(uri: &str, given: &[(&'static str, &'static str)]) -> (String, Vec<String>) {
        let (mut head, ()) = hyper::Request::post(uri).body(()).unwrap().into_parts();
        head.headers = headers(given);
        clear_query(&mut head);
        let shown = head.headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        head.headers.remove("x-almoner-key");
        assert!(!names_key(&format!("{head:?}")) && !format!("{head:?}").contains("AIza"), "{head:?}");
        (head.uri.to_string(), shown)
    }

    #[test]
    fn a_credential_in_the_query_is_moved_to_its_header() {
        let path = "/v1beta/models/m:generateContent";
        let moved = |query: &str, header: &str| {
            let (uri, headers) = cleared(&format!("{path}{query}"), &[]);
            assert_eq!(headers, [header.to_owned()], "{query}");
            uri
        };
        assert_eq!(moved("?key=AIza1", "x-goog-api-key: AIza1"), path);
        assert_eq!(moved("?alt=sse&key=AIza1&x=1", "x-goog-api-key: AIza1"), format!("{path}?alt=sse&x=1"));
        assert_eq!(moved("?k%65y=%41Iza1", "x-goog-api-key: AIza1"), path);
        assert_eq!(moved("?access_token=AIza1", "authorization: Bearer AIza1"), path);
        assert_eq!(moved("?key=alm_1", "x-almoner-key: alm_1"), path);
        assert_eq!(moved("?any=%61lm_1", "x-almoner-key: alm_1"), path);
        for (query, key) in [
            ("?alm_1", "alm_1"),
            ("?alm_1=", "alm_1"),
            ("?alm_1=1", "alm_1"),
            ("?%61lm_1", "alm_1"),
            ("?%2561lm_1", "alm_1"),
            ("?a=%252561lm_1", "a=alm_1"),
            ("?x;alm_1", "x;alm_1"),
            ("?ALM_1", "ALM_1"),
            ("?xalm_0123456789abcdef", "xalm_0123456789abcdef"),
        ] {
            assert_eq!(moved(query, &format!("x-almoner-key: {key}")), path);
        }
        assert_eq!(cleared(&format!("{path}?%{}61", "25".repeat(20)), &[]).0, path, "nobody packs so deep");
        let (uri, headers) = cleared(&format!("/k/x{path}?key=AIza1"), &[("x-goog-api-key", "own")]);
        assert_eq!((uri, headers), (format!("/k/x{path}"), vec!["x-goog-api-key: own".to_owned()]));
        for left in [
            "/v1/messages?beta=true&key=1",
            "/v1/messages?by=calm_reader&of=100%25",
            "/v1beta/models/m:countTokens?%zz=%",
            "/v1beta/models/m:x?",
        ] {
            assert_eq!(cleared(left, &[]), (left.to_owned(), Vec::new()));
        }
    }

    #[test]
    fn no_query_leaves_out_of_an_answer_what_it_costs() {
        let path = "/v1beta/models/m:generateContent";
        for fields in ["fields=candidates", "$fields=candidates", "f%69elds=usageMetadata.promptTokenCount"] {
            assert_eq!(cleared(&format!("{path}?{fields}"), &[]), (path.to_owned(), Vec::new()), "{fields}");
            let (uri, _) = cleared(&format!("/v1/chat/completions?a=1&{fields}"), &[]);
            assert_eq!(uri, "/v1/chat/completions?a=1", "Google speaks this dialect too");
        }
        let moved = (path.to_owned(), vec!["x-goog-api-key: AIza1".to_owned()]);
        assert_eq!(cleared(&format!("{path}?$key=AIza1"), &[]), moved);
    }

    #[test]
    fn only_this_machine_may_ask() {
        let here = Uri::from_static("/v1/messages");
        let asks =
            |host: &str| Hosts::default().take(&here, &[(header::HOST, host.parse().unwrap())].into_iter().collect());
        for host in ["127.0.0.1:4141", "localhost:4141", "[::1]:4141", "[::1]", "LOCALHOST"] {
            assert!(asks(host), "{host}");
        }
        for host in
            ["evil.example", "127.0.0.1.evil.example:4141", "10.0.0.1:4141", "[::1].evil.example", "localhost:x"]
        {
            assert!(!asks(host), "{host}");
        }
        assert!(!Hosts::default().take(&here, &HeaderMap::new()));
        let from = |origin| Hosts::default().take(&here, &headers(&[("host", "localhost"), ("origin", origin)]));
        assert!(from("http://localhost:3000"));
        assert!(!from("https://evil.example") && !from("null"));
        let local = headers(&[("host", "localhost")]);
        assert!(Hosts::default().take(&Uri::from_static("http://127.0.0.1:4141/v1/messages"), &local));
        assert!(!Hosts::default().take(&Uri::from_static("http://evil.example/v1/messages"), &local));
        let mut two = local.clone();
        two.append("host", HeaderValue::from_static("evil.example"));
        assert!(!Hosts::default().take(&here, &two));
    }

    #[test]
    fn where_others_may_ask_they_do_so_by_a_name_or_an_address_of_ours() {
        let here = Uri::from_static("/v1/messages");
        let open = Hosts { names: vec!["almoner.corp".to_owned()], is_open: true };
        let asks = |host: &str| open.take(&here, &[(header::HOST, host.parse().unwrap())].into_iter().collect());
        for host in ["almoner.corp", "Almoner.Corp:4141", "10.0.0.5:4141", "[fd00::1]:4141", "localhost"] {
            assert!(asks(host), "{host}");
        }
        for host in ["evil.example", "almoner.corp.evil.example", "xalmoner.corp", "10.0.0.5.evil.example", ""] {
            assert!(!asks(host), "{host}");
        }
        let from = |origin| open.take(&here, &headers(&[("host", "almoner.corp"), ("origin", origin)]));
        assert!(from("https://almoner.corp") && !from("https://10.0.0.5") && !from("https://evil.example"));
        // A name alone opens nothing else.
        let named = Hosts { is_open: false, ..open.clone() };
        let by = |host| named.take(&here, &headers(&[("host", host)]));
        assert!(by("almoner.corp") && !by("10.0.0.5"));
    }

    #[test]
    fn only_json_is_json() {
        assert!(is_json(&headers(&[("content-type", "application/json; charset=utf-8")])));
        assert!(!is_json(&headers(&[("content-type", "text/plain")])));
        assert!(!is_json(&HeaderMap::new()));
    }
}
