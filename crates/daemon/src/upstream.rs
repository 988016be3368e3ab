//! The real ways to the providers: HTTP over TLS, and the rehearsal, which answers from inside.

use std::sync::Arc;
use std::time::Duration;

use almoner_gateway::{Upstream, UpstreamBody, UpstreamError};
use almoner_units::Span;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response, Uri};
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::connect::proxy::Tunnel;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::client::proxy::matcher::Matcher;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::lanes::PerLane;
use crate::rehearsal;

/// How long an idle connection to a provider is kept: shorter than providers keep theirs, so that a call seldom finds
/// one that is just being closed.
const IDLE: Duration = Duration::from_secs(20);

/// What to do about a certificate that nobody signed whom this machine knows.
const STRANGER: &str = "; if its authority is your own, name the file of its certificate by SSL_CERT_FILE and restart";

/// A way to a provider; a copy shares its connections.
#[derive(Clone)]
pub(crate) enum Way {
    /// Over the network, straight.
    Direct(PerLane<Client<HttpsConnector<HttpConnector>, Full<Bytes>>>),
    /// Over the network, through the proxy at this address.
    Proxied(PerLane<Client<HttpsConnector<Tunnel<HttpConnector>>, Full<Bytes>>>, String),
    /// The provider in the box.
    Rehearsal,
}

/// Why there is no way to a provider.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoWay {
    /// The trust store is empty or unreadable.
    #[error(
        "this machine has no certificates to check providers by ({0}); install the package ca-certificates, or name a \
         file of them by SSL_CERT_FILE"
    )]
    NoRoots(std::io::Error),
    /// The TLS library does not support what it needs.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// The proxy wants to be spoken to in another way than the one that we speak.
    #[error("the proxy of HTTPS_PROXY is spoken to by http://, and {0}:// is not; name one that takes http://")]
    ProxyScheme(String),
    /// The base URL is no URL.
    #[error("`{0}` is no base URL: {1}")]
    BadUrl(String, hyper::http::uri::InvalidUri),
}

impl Way {
    /// The way to the provider at `base_url`, through the proxy that `HTTPS_PROXY` and its like name, if one is named.
    pub(crate) fn to(base_url: &str, connect_max: Span) -> Result<Self, NoWay> {
        let base: Uri = base_url.parse().map_err(|error| NoWay::BadUrl(base_url.to_owned(), error))?;
        let mut connector = HttpConnector::new();
        connector.enforce_http(false);
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(Duration::from_millis(connect_max.ms())));
        // What is on this machine is not the business of a proxy that is not.
        let proxy = if is_loopback(&base) { None } else { Matcher::from_env().intercept(&base) };
        Ok(match proxy {
            None => Self::Direct(clients(&tls(&base, connector)?)),
            Some(proxy) => {
                // What it is shown of us would go to any other in the clear.
                if let Some(scheme) = proxy.uri().scheme_str().filter(|scheme| *scheme != "http") {
                    return Err(NoWay::ProxyScheme(scheme.to_owned()));
                }
                let tunnel = Tunnel::new(proxy.uri().clone(), connector);
                let auth = proxy.basic_auth().cloned();
                let tunnel = if let Some(auth) = auth { tunnel.with_auth(auth) } else { tunnel };
                let address = proxy.uri().authority().map(ToString::to_string).unwrap_or_default();
                Self::Proxied(clients(&tls(&base, tunnel)?), address)
            }
        })
    }
}

fn is_loopback(base: &Uri) -> bool {
    let host = base.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost") || host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

/// A connector that speaks TLS where the URL says so.
fn tls<C>(base: &Uri, connector: C) -> Result<HttpsConnector<C>, NoWay> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let config = if base.scheme_str() == Some("https") {
        config.with_native_roots().map_err(NoWay::NoRoots)?.with_no_client_auth()
    } else {
        config.with_root_certificates(rustls::RootCertStore::empty()).with_no_client_auth()
    };
    let builder = HttpsConnectorBuilder::new().with_tls_config(config).https_or_http().enable_http1();
    Ok(builder.wrap_connector(connector))
}

/// Clients that never send a request twice by themselves: one that costs money would be paid twice. Each lane has its
/// own, so that a connection to a provider is read where its call is.
fn clients<C>(connector: &C) -> PerLane<Client<C, Full<Bytes>>>
where
    C: hyper_util::client::legacy::connect::Connect + Clone,
{
    let mut builder = Client::builder(TokioExecutor::new());
    builder.pool_timer(TokioTimer::new()).pool_idle_timeout(IDLE).retry_canceled_requests(false);
    PerLane::new(|| builder.build(connector.clone()))
}

impl Upstream for Way {
    async fn send(&self, request: Request<Bytes>) -> Result<Response<UpstreamBody>, UpstreamError> {
        let mut host = request.uri().authority().map(ToString::to_string).unwrap_or_default();
        let request = request.map(Full::new);
        let answer = match self {
            Self::Direct(clients) => clients.here().request(request).await,
            Self::Proxied(clients, proxy) => {
                host.push_str(&format!(" through the proxy {proxy}"));
                clients.here().request(request).await
            }
            Self::Rehearsal => {
                let (head, body) = request.into_parts();
                let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                return Ok(rehearsal::answer(&head.uri.to_string().replacen("http://rehearsal", "", 1), &body));
            }
        };
        answer.map(|answer| answer.map(boxed)).map_err(|error| failure(host, &error))
    }
}

fn boxed(body: Incoming) -> UpstreamBody {
    body.map_err(Into::into).boxed_unsync()
}

/// Whether the request was surely not sent decides whether its hold is free again.
fn failure(host: String, error: &Error) -> UpstreamError {
    // The client tells that it handed the request back unsent only in its words; other words would be read as sent.
    let unsent = error.is_connect() || error.to_string() == "client error (Canceled)";
    let causes = std::iter::successors(std::error::Error::source(error), |cause| cause.source());
    let why: Vec<String> = causes.map(ToString::to_string).collect();
    let mut why = if why.is_empty() { error.to_string() } else { why.join(": ") };
    if why.contains("UnknownIssuer") {
        why.push_str(STRANGER);
    }
    if unsent { UpstreamError::NeverSent(host, why) } else { UpstreamError::NoAnswer(host, why) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_on_this_machine_is_asked_without_a_proxy() {
        for here in ["http://127.0.0.1:11434", "http://localhost:1/v1", "http://[::1]:8080", "http://LOCALHOST"] {
            assert!(is_loopback(&here.parse().unwrap()), "{here}");
        }
        for elsewhere in ["https://api.anthropic.com", "http://127.0.0.1.example", "http://10.0.0.1"] {
            assert!(!is_loopback(&elsewhere.parse().unwrap()), "{elsewhere}");
        }
    }
}
