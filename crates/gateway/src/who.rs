//! Who asks: the key that a call came with, and the credential that is the client's own.

use hyper::header::{HeaderMap, HeaderValue};

use crate::dialect::Dialect;
use crate::port::{KeyFacts, Keys};
use crate::provider::Shown;
use crate::route::PathKey;

/// What every key of ours begins with, so that it is told apart from a provider's.
pub(crate) const KEY_PREFIX: &str = "alm_";

/// Who asks.
#[derive(Clone)]
pub(crate) struct Who {
    pub(crate) key: KeyFacts,
    /// The credential that is not ours; never one of our keys.
    pub(crate) shown: Shown,
}

/// A key that is none of ours, or no longer.
#[derive(Debug)]
pub(crate) struct BadKey;

/// Finds our key in a request: `x-almoner-key`, in front of the path, or where the client's own credential would be.
pub(crate) fn who(headers: &HeaderMap, path_key: Option<&PathKey>, keys: &impl Keys) -> Result<Who, BadKey> {
    let (mut own, mut shown) = (None, Shown::default());
    for place in Dialect::ALL.map(|dialect| dialect.tongue().credential.header()) {
        match headers.get(&place) {
            Some(value) if secret(value).starts_with(KEY_PREFIX) => own = own.or(Some(secret(value))),
            Some(value) => shown.add(place, value),
            None => {}
        }
    }
    let beside = headers.get("x-almoner-key").map(secret).or_else(|| path_key.map(PathKey::reveal));
    let ours = beside.or(own);
    let key = match ours {
        Some(key) => keys.find(key).ok_or(BadKey)?,
        None => KeyFacts::anyone(),
    };
    Ok(Who { key, shown })
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

    struct OneKey;

    impl Keys for OneKey {
        fn find(&self, key: &str) -> Option<KeyFacts> {
            (key == "alm_good").then(KeyFacts::anyone)
        }
    }

    fn check(headers: &[(&'static str, &'static str)]) -> Result<(bool, bool), ()> {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let who = who(&headers, None, &OneKey).map_err(|BadKey| ())?;
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
        assert_eq!(check(&[]), Ok((false, false)));
    }

    #[test]
    fn a_bad_key_of_ours_is_refused_even_beside_a_good_credential() {
        assert_eq!(check(&[("x-api-key", "alm_bad")]), Err(()));
        assert_eq!(check(&[("x-almoner-key", "alm_bad"), ("x-api-key", "sk-ant-api")]), Err(()));
        assert_eq!(check(&[("x-almoner-key", "nonsense")]), Err(()));
    }
}
