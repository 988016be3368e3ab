//! Addresses of providers: `https://host[:port][/path]`, and whether one is our own.

use std::net::{IpAddr, SocketAddr};

/// The parts of a base URL that matter here; the whole stays text.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Address<'a> {
    pub(crate) is_tls: bool,
    host: &'a str,
    port: u16,
    path: &'a str,
}

impl<'a> Address<'a> {
    /// Reads a base URL; the fault is a sentence without the text, which may hold a password.
    pub(crate) fn parse(text: &'a str) -> Result<Self, &'static str> {
        let (is_tls, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (_, Some(rest)) => (false, rest),
            _ => return Err("a base URL begins with `https://` or `http://`"),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err("a base URL holds no login; give the key as `key = { env = \"NAME\" }`");
        }
        if text.contains(['?', '#', '\\']) || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err("a base URL is a scheme, a host, perhaps a port and a path, and nothing else");
        }
        let (host, port) =
            split_port(authority, if is_tls { 443 } else { 80 }).ok_or("the port is not a number from 1 to 65535")?;
        if !is_host(host) {
            return Err("the base URL has no valid host");
        }
        Ok(Self { is_tls, host, port, path })
    }

    /// Whether a call to here never leaves this machine.
    pub(crate) fn is_local(&self) -> bool {
        let bare = self.bare();
        bare.eq_ignore_ascii_case("localhost")
            || bare.to_ascii_lowercase().ends_with(".localhost")
            || bare.parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback() || ip.is_unspecified())
    }

    /// The host without what stands around it.
    fn bare(&self) -> &'a str {
        self.host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.')
    }

    /// Whether a call to here would come back to us.
    pub(crate) fn is_own(&self, listen: SocketAddr) -> bool {
        let is_there = self.bare().parse::<IpAddr>().is_ok_and(|ip| ip.to_canonical() == listen.ip().to_canonical());
        (self.is_local() || is_there) && self.port == listen.port()
    }

    /// Whether the path ends in the version that the path of every call brings along.
    pub(crate) fn ends_in_version(&self) -> bool {
        let path = self.path.trim_end_matches('/');
        ["/v1", "/v1beta"].iter().any(|version| path.ends_with(version))
    }
}

/// The host and the port of `host[:port]`; a `:` within brackets belongs to an IPv6 address.
fn split_port(authority: &str, usual: u16) -> Option<(&str, u16)> {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => Some((host, read_port(port)?)),
        _ => Some((authority, usual)),
    }
}

fn read_port(digits: &str) -> Option<u16> {
    let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
    digits.parse().ok().filter(|port| is_number && *port != 0)
}

pub(crate) fn is_host(host: &str) -> bool {
    match host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
        None => !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_read() {
        for good in ["https://api.anthropic.com", "http://127.0.0.1:11434/", "http://[::1]:80/api", "https://a_b/x/y"] {
            assert!(Address::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "api.anthropic.com",
            "ftp://a",
            "https://",
            "https://:80",
            "https://a:0",
            "https://a:99999",
            "https://a:x",
            "https://a:+1",
            "https://me:pw@a",
            "https://a?x=1",
            "https://a#b",
            "https://a b",
            "http://[::1",
            "https://ü.de",
        ] {
            assert!(Address::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn our_own_address_is_known_by_every_name() {
        let listen = "127.0.0.1:4141".parse().unwrap();
        let own = |text| Address::parse(text).unwrap().is_own(listen);
        for url in [
            "http://127.0.0.1:4141",
            "http://localhost:4141/v1",
            "http://LOCALHOST.:4141",
            "http://[::1]:4141",
            "http://0.0.0.0:4141",
            "https://127.9.9.9:4141",
            "http://[::ffff:127.0.0.1]:4141",
        ] {
            assert!(own(url), "{url}");
        }
        for url in ["http://127.0.0.1:4142", "http://localhost", "https://api.openai.com:4141"] {
            assert!(!own(url), "{url}");
        }
    }
}
