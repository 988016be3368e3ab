//! Providers: where a call can go, and with which credential.

use hyper::header::{self, HeaderMap, HeaderValue};

use crate::dialect::Dialect;
use crate::port::Upstream;

/// A provider that calls can be sent to.
pub struct Provider<U: Upstream> {
    /// Its name, unique in a config.
    pub name: String,
    /// In whose words it can be asked.
    pub dialects: Vec<Dialect>,
    /// Its address without a path: `https://api.anthropic.com`, and whatever stands before the path there.
    pub base_url: String,
    /// The credential that its calls are sent with; none: the client's own one passes through.
    pub credential: Option<Credential>,
    /// Which models it serves, as patterns; empty: those that the price book knows it by.
    pub models: Box<dyn Fn(&str) -> bool + Send + Sync>,
    /// Whether nothing it does costs anything.
    pub free: bool,
    /// The way to it.
    pub way: U,
}

/// A secret that is shown to a provider and to nobody else.
#[derive(Clone)]
pub struct Credential(HeaderValue);

impl Credential {
    /// A credential, unless it has characters that no header can carry.
    #[must_use]
    pub fn new(secret: &str) -> Option<Self> {
        let mut value = HeaderValue::from_str(secret).ok()?;
        value.set_sensitive(true);
        Some(Self(value))
    }
}

impl std::fmt::Debug for Credential {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Credential(***)")
    }
}

/// The client's own credential, if it showed one that is not ours. It prints as nothing, and is shown to its provider
/// alone.
#[derive(Clone, Default)]
pub(crate) struct Shown {
    pub(crate) api_key: Option<HeaderValue>,
    pub(crate) authorization: Option<HeaderValue>,
}

impl Shown {
    /// Whether the client shows a login, for which a subscription pays and not an account by the token.
    pub(crate) fn is_login(&self) -> bool {
        let login = |value: &HeaderValue| value.as_bytes().starts_with(b"Bearer sk-ant-oat");
        self.authorization.as_ref().is_some_and(login)
    }

    fn is_nothing(&self) -> bool {
        self.api_key.is_none() && self.authorization.is_none()
    }
}

/// Puts the credential of a call on its headers; says whether there is one.
pub(crate) fn authorise(to: &mut HeaderMap, dialect: Dialect, ours: Option<&Credential>, shown: &Shown) -> bool {
    let Some(Credential(secret)) = ours else {
        to.extend(shown.api_key.clone().map(|own| (header::HeaderName::from_static("x-api-key"), own)));
        to.extend(shown.authorization.clone().map(|own| (header::AUTHORIZATION, own)));
        return !shown.is_nothing();
    };
    match dialect {
        Dialect::Anthropic => drop(to.insert("x-api-key", secret.clone())),
        Dialect::Chat => {
            let bearer = [b"Bearer ", secret.as_bytes()].concat();
            let Ok(mut value) = HeaderValue::from_bytes(&bearer) else { return false };
            value.set_sensitive(true);
            to.insert(header::AUTHORIZATION, value);
        }
    }
    true
}
