//! Taking a few members out of a JSON object without building the rest of it.
//!
//! This is the typed parse that decides: text inside a string can never pass for a member. What is not asked for is
//! skipped without recursion, so depth costs nothing; a member that is `null` is one that was not said.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer as _, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use crate::reading::{ErrorCode, ProviderError};
use crate::{Fault, Faults};

/// Text longer than this is cut, so that what a reading keeps is bounded.
const TEXT_MAX: usize = 4096;

/// The members by these names, or `None` and a fault where `json` is no object.
///
/// Where a member stands twice the last one counts, as in every client's parser.
pub(crate) fn pick<'a, const N: usize>(
    json: &'a [u8],
    names: [&str; N],
    faults: &mut Faults,
) -> Option<[Option<&'a RawValue>; N]> {
    let mut parser = serde_json::Deserializer::from_slice(json);
    let picked = parser.deserialize_map(Members { names }).and_then(|picked| parser.end().map(|()| picked));
    let Ok((members, repeated)) = picked else {
        faults.note(Fault::Malformed);
        return None;
    };
    if repeated {
        faults.note(Fault::RepeatedMember);
    }
    Some(members.map(|member| member.filter(|raw| raw.get() != "null")))
}

/// The same from a part that was picked before.
pub(crate) fn pick_in<'a, const N: usize>(
    raw: &'a RawValue,
    names: [&str; N],
    faults: &mut Faults,
) -> Option<[Option<&'a RawValue>; N]> {
    pick(raw.get().as_bytes(), names, faults)
}

/// The elements of an array; none where it is no array.
pub(crate) fn elements(raw: Option<&RawValue>) -> Vec<&RawValue> {
    raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
}

/// A text that is not empty, cut to a bounded length.
pub(crate) fn text(raw: Option<&RawValue>) -> Option<String> {
    let mut text: String = serde_json::from_str(raw?.get()).ok()?;
    text.truncate(text.floor_char_boundary(TEXT_MAX));
    (!text.is_empty()).then_some(text)
}

/// Whether a member is `true`.
pub(crate) fn is_true(raw: Option<&RawValue>) -> bool {
    raw.is_some_and(|raw| raw.get() == "true")
}

/// An error, which is an object with some of the usual members, or only its message.
pub(crate) fn provider_error(raw: &RawValue) -> ProviderError {
    let mut ignored = Faults::default();
    let Some([kind, code, status, message]) = pick_in(raw, ["type", "code", "status", "message"], &mut ignored) else {
        return ProviderError { message: text(Some(raw)), ..ProviderError::default() };
    };
    ProviderError { kind: text(kind), code: error_code(code), status: text(status), message: text(message) }
}

/// A code as a number or a word.
pub(crate) fn error_code(raw: Option<&RawValue>) -> Option<ErrorCode> {
    let number = raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).map(ErrorCode::Number);
    number.or_else(|| text(raw).map(ErrorCode::Word))
}

struct Members<'n, const N: usize> {
    names: [&'n str; N],
}

impl<'a, const N: usize> Visitor<'a> for Members<'_, N> {
    type Value = ([Option<&'a RawValue>; N], bool);

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'a>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = [None; N];
        let mut repeated = false;
        while let Some(place) = map.next_key_seed(Place { names: &self.names })? {
            match place.and_then(|at| members.get_mut(at)) {
                Some(member) => repeated |= member.replace(map.next_value()?).is_some(),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok((members, repeated))
    }
}

/// Reads a member's name as its place among the wanted ones.
struct Place<'n> {
    names: &'n [&'n str],
}

impl<'a> DeserializeSeed<'a> for Place<'_> {
    type Value = Option<usize>;

    fn deserialize<D: serde::Deserializer<'a>>(self, parser: D) -> Result<Self::Value, D::Error> {
        parser.deserialize_str(self)
    }
}

impl Visitor<'_> for Place<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.names.iter().position(|wanted| *wanted == name))
    }
}
