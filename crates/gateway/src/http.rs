//! Headers at the border: what goes on to the provider, what comes back, and who may ask at all.

use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

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

/// Headers of the client that are ours to make or to keep.
const OURS: [&str; 9] = [
    "host",
    "content-length",
    "accept-encoding",
    "authorization",
    "x-api-key",
    "cookie",
    "forwarded",
    "x-real-ip",
    "via",
];

/// The headers of a client's request that go on to the provider: all but those of the connection, those that carry a
/// credential, and ours. A provider's own headers are many and change, so what is not known passes.
#[must_use]
pub(crate) fn onward(from: &HeaderMap) -> HeaderMap {
    let named = named_by_connection(from);
    let mut to = HeaderMap::with_capacity(from.len());
    for (name, value) in from {
        let text = name.as_str();
        let ours = OURS.contains(&text) || text.starts_with("x-almoner-") || text.starts_with("x-forwarded-");
        if !ours && !HOP_BY_HOP.contains(&text) && !named.contains(name) {
            to.append(name.clone(), value.clone());
        }
    }
    // The meter reads what comes back, so it is asked for as it is.
    to.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    to
}

/// The headers of a provider's answer that go back to the client.
#[must_use]
pub(crate) fn back(from: &HeaderMap) -> HeaderMap {
    let named = named_by_connection(from);
    let passes = |name: &HeaderName| {
        let text = name.as_str();
        !HOP_BY_HOP.contains(&text) && !text.starts_with("x-almoner-") && text != "set-cookie" && !named.contains(name)
    };
    from.iter().filter(|(name, _)| passes(name)).map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn named_by_connection(headers: &HeaderMap) -> Vec<HeaderName> {
    let values = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).filter_map(|name| name.trim().parse().ok()).collect()
}

/// Whether a request really is for this machine, and from no web page of another origin.
///
/// A page in the user's browser can send requests to a loopback port, by its own name for it (DNS rebinding) or across
/// origins; behind this port lies a credential that costs money.
#[must_use]
pub(crate) fn is_local(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let origin = headers.get(header::ORIGIN).map(|origin| origin.to_str().unwrap_or("?"));
    host.is_some_and(|host| is_loopback(authority_host(host)))
        && origin
            .is_none_or(|origin| origin.split_once("://").is_some_and(|(_, host)| is_loopback(authority_host(host))))
}

/// The host of `host:port` or `[v6]:port`.
fn authority_host(authority: &str) -> &str {
    match authority.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((v6, _)) => v6,
        None => authority.rsplit_once(':').map_or(authority, |(host, _)| host),
    }
}

fn is_loopback(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
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
            ("anthropic-beta", "a,b"),
            ("accept-encoding", "gzip"),
        ]);
        let to = onward(&sent);
        let names: Vec<&str> = to.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["anthropic-beta", "accept-encoding"]);
        assert_eq!(to["accept-encoding"], "identity");
    }

    #[test]
    fn only_this_machine_may_ask() {
        for host in ["127.0.0.1:4141", "localhost:4141", "[::1]:4141", "LOCALHOST"] {
            assert!(is_local(&[(header::HOST, host.parse().unwrap())].into_iter().collect()), "{host}");
        }
        for host in ["evil.example", "127.0.0.1.evil.example:4141", "10.0.0.1:4141"] {
            assert!(!is_local(&[(header::HOST, host.parse().unwrap())].into_iter().collect()), "{host}");
        }
        assert!(!is_local(&HeaderMap::new()));
        assert!(is_local(&headers(&[("host", "localhost"), ("origin", "http://localhost:3000")])));
        assert!(!is_local(&headers(&[("host", "localhost"), ("origin", "https://evil.example")])));
        assert!(!is_local(&headers(&[("host", "localhost"), ("origin", "null")])));
    }

    #[test]
    fn only_json_is_json() {
        assert!(is_json(&headers(&[("content-type", "application/json; charset=utf-8")])));
        assert!(!is_json(&headers(&[("content-type", "text/plain")])));
        assert!(!is_json(&HeaderMap::new()));
    }
}
