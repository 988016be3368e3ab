//! Who asks: the key that a call came with, and the credential that is the client's own.

use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderValue};

use crate::dialect::Dialect;
use crate::http::has_key;
use crate::port::{KeyFacts, Keys};
use crate::provider::Shown;
use crate::route::PathKey;

/// What every key of ours begins with, so that it is told apart from a provider's.
pub(crate) const KEY_PREFIX: &str = "alm_";

/// Who asks.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) key: Arc<KeyFacts>,
    /// The credential that is not ours; never one of our keys.
    pub(crate) shown: Shown,
}

/// Why nobody is let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BadKey {
    /// The key is none of ours, or no longer.
    Unknown,
    /// There is none, and without one nobody calls here.
    Missing,
}

impl BadKey {
    /// What whoever calls is told.
    pub(crate) const fn message(self) -> &'static str {
        match self {
            Self::Unknown => {
                "this key is not one of Almoner's, or no longer good; `almoner keys list` shows those that are, and \
                 `almoner exec` makes one for each command"
            }
            Self::Missing => {
                "this server takes no call without a key of Almoner's: send one where your API key would be, or as \
                 `x-almoner-key`; `almoner keys create NAME` makes one"
            }
        }
    }
}

/// Finds our key in a request: `x-almoner-key`, in front of the path, or where the client's own credential would be. Of
/// several the first of these counts, and it must be good.
pub(crate) fn who(
    headers: &HeaderMap,
    path_key: Option<&PathKey>,
    keys: &impl Keys,
    is_required: bool,
) -> Result<Who, BadKey> {
    let (mut own, mut shown, mut is_odd) = (None, Shown::default(), false);
    for place in Dialect::ALL.map(|dialect| dialect.tongue().credential.header()) {
        // A second value may be the one that somebody on the way believed.
        for value in headers.get_all(&place) {
            match secret(value) {
                key if is_ours(key) => own = own.or(Some(key)),
                // One of ours in other words than those is nothing to show to a provider, and lets nobody in.
                _ if has_key(value) || is_packed(value) => is_odd = true,
                _ => shown.add(place.clone(), value),
            }
        }
    }
    let beside = headers.get("x-almoner-key").map(secret).or_else(|| path_key.map(PathKey::reveal));
    let ours = beside.or(own);
    let key = match ours {
        Some(key) => keys.find(key).ok_or(BadKey::Unknown)?,
        // Without its key a call would be nobody's, and have other budgets than its own.
        None if is_odd => return Err(BadKey::Unknown),
        None if is_required => return Err(BadKey::Missing),
        None => Arc::new(KeyFacts::anyone()),
    };
    Ok(Who { key, shown })
}

/// Whether a credential is meant to be one of our keys. One that was spelt in other letters is no key, and is still
/// nothing to show to a provider.
pub(crate) fn is_ours(secret: &str) -> bool {
    secret.get(..KEY_PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(KEY_PREFIX))
}

/// What the beginning of a key becomes in the user and the password of a `Basic` credential, by where it stands.
const PACKED_PREFIX: [&str; 3] = ["YWxtX", "FsbV", "hbG1f"];

/// Whether one of our keys is packed as the password of somebody.
fn is_packed(value: &HeaderValue) -> bool {
    let text = value.to_str().unwrap_or_default();
    let (scheme, packed) = text.split_once(' ').unwrap_or_default();
    scheme.eq_ignore_ascii_case("basic") && PACKED_PREFIX.iter().any(|prefix| packed.contains(prefix))
}

/// The secret in a header, with or without `Bearer`.
fn secret(value: &HeaderValue) -> &str {
    let text = value.to_str().unwrap_or_default().trim();
    match text.split_once(' ') {
        Some((scheme, secret)) if scheme.eq_ignore_ascii_case("bearer") => secret.trim(),
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::split_key;

    struct OneKey;

    impl Keys for OneKey {
        fn find(&self, key: &str) -> Option<Arc<KeyFacts>> {
            (key == "alm_good").then(|| Arc::new(KeyFacts::anyone()))
        }

        fn is_good(&self, _key: &str) -> bool {
            true
        }
    }

    fn check(headers: &[(&'static str, &'static str)]) -> Result<(bool, bool), BadKey> {
        check_where(false, None, headers)
    }

    fn check_where(
        is_required: bool,
        path: Option<&str>,
        headers: &[(&'static str, &'static str)],
    ) -> Result<(bool, bool), BadKey> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let path_key = path.and_then(|path| split_key(path).0);
        let who = who(&headers, path_key.as_ref(), &OneKey, is_required)?;
        let shows = |name: &str| who.shown.has(name);
        Ok((shows("x-api-key"), shows("authorization")))
    }

    #[test]
    fn our_key_is_found_wherever_it_stands_and_never_taken_for_the_clients_own() {
        assert_eq!(check(&[("x-api-key", "alm_good")]), Ok((false, false)));
        assert_eq!(check(&[("authorization", "Bearer alm_good")]), Ok((false, false)));
        assert_eq!(
            check(&[("x-almoner-key", "alm_good"), ("authorization", "Bearer sk-ant-oat01")]),
            Ok((false, true))
        );
        assert_eq!(check(&[("x-api-key", "sk-ant-api")]), Ok((true, false)));
        for odd in ["Token alm_good", "Basic alm_good", "alm_good,sk-ant", "sk-ant, alm_good"] {
            assert_eq!(check(&[("authorization", odd)]), Err(BadKey::Unknown), "{odd}");
            assert_eq!(check(&[("authorization", odd), ("x-api-key", "alm_good")]), Ok((false, false)), "{odd}");
        }
        // `alm_good:`, `u:alm_good` and `me:alm_good`
        for packed in
            ["Basic YWxtX2dvb2Q6", "Basic dTphbG1fZ29vZA==", "Basic bWU6YWxtX2dvb2Q=", "basic eDphbG1fZ29vZA=="]
        {
            assert_eq!(check(&[("authorization", packed)]), Err(BadKey::Unknown), "{packed}");
        }
        assert_eq!(check(&[("authorization", "Basic bWU6cGFzc3dvcmQ=")]), Ok((false, true)));
        assert_eq!(check(&[]), Ok((false, false)));
    }

    #[test]
    fn a_bad_key_of_ours_is_refused_even_beside_a_good_credential() {
        for bad in ["alm_bad", "alm_goo", "alm_goods", "alm_Good", "ALM_GOOD", "Alm_good", "alm_"] {
            assert_eq!(check(&[("x-api-key", bad)]), Err(BadKey::Unknown), "{bad}");
            assert_eq!(check(&[("x-almoner-key", bad), ("x-api-key", "sk-ant-api")]), Err(BadKey::Unknown), "{bad}");
        }
        assert_eq!(check(&[("x-almoner-key", "nonsense")]), Err(BadKey::Unknown));
        assert_eq!(check(&[("x-almoner-key", "")]), Err(BadKey::Unknown));
    }

    #[test]
    fn a_second_header_of_the_same_name_does_not_hide_our_key() {
        for name in ["x-api-key", "authorization", "x-goog-api-key"] {
            for (first, second) in [("sk-ant", "alm_good"), ("alm_good", "sk-ant"), ("alm_good", "alm_good")] {
                let shown = check(&[(name, first), (name, second)]).unwrap();
                assert_eq!(
                    shown.0 || shown.1,
                    name != "x-goog-api-key" && first != second,
                    "{name}: {first}, {second}"
                );
            }
            assert_eq!(check(&[(name, "sk-ant"), (name, "alm_bad")]), Err(BadKey::Unknown));
        }
    }

    #[test]
    fn of_several_keys_the_most_deliberate_must_be_good() {
        let check = |path, headers: &[_]| check_where(false, path, headers);
        let path = "/k/alm_good/v1/messages";
        assert_eq!(check(Some(path), &[("x-api-key", "alm_bad")]), Ok((false, false)));
        assert_eq!(check(Some(path), &[("x-almoner-key", "alm_bad")]), Err(BadKey::Unknown));
        assert_eq!(check(Some("/k/alm_bad/v1/messages"), &[("x-api-key", "alm_good")]), Err(BadKey::Unknown));
        assert_eq!(check(Some("/k/alm_bad/v1/messages"), &[("x-almoner-key", "alm_good")]), Ok((false, false)));
        assert_eq!(check(Some("/k//v1/messages"), &[("x-api-key", "alm_good")]), Err(BadKey::Unknown));
    }

    #[test]
    fn where_a_key_is_required_a_credential_of_the_clients_own_is_none() {
        let check = |headers: &[_]| check_where(true, None, headers);
        assert_eq!(check(&[]), Err(BadKey::Missing));
        assert_eq!(
            check(&[("x-api-key", "sk-ant-api"), ("authorization", "Bearer sk-ant-oat01")]),
            Err(BadKey::Missing)
        );
        assert_eq!(check(&[("x-almoner-key", "alm_good"), ("x-api-key", "sk-ant-api")]), Ok((true, false)));
    }
}
