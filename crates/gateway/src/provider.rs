//! Providers: where a call can go, and with which credential.

use almoner_policy::Tier;
use hyper::header::{HeaderMap, HeaderName, HeaderValue};

use crate::dialect::{CredentialPlace, Dialect};
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
    /// What is known of the account behind the credential.
    pub pinned: Pinned,
    /// How often a call is sent to it again that it did not take, before its client is told.
    pub retries_max: u32,
    /// The way to it.
    pub way: U,
}

/// What somebody who knows the account says of the calls that ask for nothing else.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pinned {
    /// Their class of service; `None`: any that the provider may choose unasked.
    pub service_tier: Option<Tier>,
    /// Whether they are billed at the surcharge for one region; `None`: as the account has it, which nobody said.
    pub regional: Option<bool>,
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

/// The client's own credentials that are not ours, each with its header. They print as nothing, and are shown to their
/// provider alone.
#[derive(Clone, Default)]
pub(crate) struct Shown(Vec<(HeaderName, HeaderValue)>);

impl Shown {
    /// Adds what stands in a header; several dialects may keep theirs in the same.
    pub(crate) fn add(&mut self, header: HeaderName, value: &HeaderValue) {
        if !self.has(header.as_str()) {
            self.0.push((header, value.clone()));
        }
    }

    pub(crate) fn has(&self, header: &str) -> bool {
        self.0.iter().any(|(name, _)| name == header)
    }

    /// Whether the client shows a login, for which a subscription pays and not an account by the token.
    pub(crate) fn is_login(&self) -> bool {
        self.0.iter().any(|(_, value)| value.as_bytes().starts_with(b"Bearer sk-ant-oat"))
    }
}

/// Puts the credential of a call on its headers; says whether there is one.
pub(crate) fn authorise(to: &mut HeaderMap, dialect: Dialect, ours: Option<&Credential>, shown: &Shown) -> bool {
    let Some(Credential(secret)) = ours else {
        to.extend(shown.0.iter().cloned());
        return !shown.0.is_empty();
    };
    let place = dialect.tongue().credential;
    let value = match place {
        CredentialPlace::Header(_) => Some(secret.clone()),
        CredentialPlace::Bearer => bearer(secret),
    };
    value.map(|value| to.insert(place.header(), value)).is_some()
}

fn bearer(secret: &HeaderValue) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_bytes(&[b"Bearer ", secret.as_bytes()].concat()).ok()?;
    value.set_sensitive(true);
    Some(value)
}
