//! What of a request's headers for us was not heeded, so that a slip of the pen does not pass in silence.
//!
//! A header that we do not know, or whose value we cannot use, never stops a call: it would have gone without it. But
//! its budget may be another than its sender believes, so it is told.

use almoner_units::{LabelName, LabelValue, Priority};
use hyper::HeaderMap;

use crate::labels::tags;

/// What our headers begin with.
const OURS: &str = "x-almoner-";
/// The headers that a request can have for us.
const KNOWN: [&str; 8] = [
    "x-almoner-key",
    "x-almoner-session",
    "x-almoner-task",
    "x-almoner-command",
    "x-almoner-agent",
    "x-almoner-task-type",
    "x-almoner-priority",
    "x-almoner-tags",
];
/// How many warnings one call can have.
const WARNINGS_MAX: usize = 4;
/// How much of a name that a stranger chose is repeated.
const NAME_MAX: usize = 64;

/// A warning for each header for us that is unknown, given twice, or of no use, the first few of them.
pub(crate) fn unheeded(headers: &HeaderMap, priority_max: Priority) -> Vec<String> {
    let ours = headers.keys().filter(|name| name.as_str().starts_with(OURS));
    ours.filter_map(|name| warning(headers, name.as_str(), priority_max)).take(WARNINGS_MAX).collect()
}

fn warning(headers: &HeaderMap, name: &str, priority_max: Priority) -> Option<String> {
    if !KNOWN.contains(&name) {
        return Some(unknown(name));
    }
    let mut values = headers.get_all(name).iter();
    let value = values.next()?;
    if values.next().is_some() {
        return Some(format!("{name} is given more than once; the first counts"));
    }
    let Ok(text) = value.to_str() else { return Some(format!("{name} is not plain text, so it is ignored")) };
    let why = match name {
        // A key that is of no use is refused, and a key is never told.
        "x-almoner-key" => None,
        "x-almoner-priority" => bad_priority(text, priority_max),
        "x-almoner-tags" => bad_tag(text).map(str::to_owned),
        _ => text.parse::<LabelValue>().err().map(|_| "must have 1 to 128 characters, so it is ignored".to_owned()),
    };
    why.map(|why| format!("{name} {why}"))
}

fn unknown(name: &str) -> String {
    let near = KNOWN.map(|known| (strsim::damerau_levenshtein(name, known), known));
    let name = &name[..name.floor_char_boundary(NAME_MAX)];
    match near.into_iter().min() {
        Some((distance, near)) if distance <= 3 => format!("unknown header {name}, did you mean {near}"),
        _ => format!("unknown header {name}; known are {}", KNOWN.join(", ")),
    }
}

fn bad_priority(text: &str, most: Priority) -> Option<String> {
    match text.parse::<Priority>() {
        Ok(asked) if asked > most => Some(format!("{asked} counts as {most}, the most that this key allows")),
        Ok(_) => None,
        Err(_) => Some("must be low, normal, high or critical; it counts as normal".to_owned()),
    }
}

fn bad_tag(text: &str) -> Option<&'static str> {
    let (whole, parts) = (tags(text).count(), text.split(',').count());
    let is_good = |(name, value): (&str, &str)| {
        format!("tag.{name}").parse::<LabelName>().is_ok() && value.parse::<LabelValue>().is_ok()
    };
    let is_bad = whole != parts || !tags(text).all(is_good);
    is_bad.then_some("has a part that is no `name=value`, which is ignored; write a=1, b=2")
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::HeaderName;

    #[track_caller]
    fn check(headers: &[(&'static str, &str)], warnings: &[&str]) {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(HeaderName::from_static(name), value.parse().unwrap());
        }
        assert_eq!(unheeded(&map, Priority::High), warnings, "{headers:?}");
    }

    #[test]
    fn what_is_heeded_is_passed_over() {
        check(&[("content-type", "application/json"), ("x-api-key", "sk"), ("x-almoner", "?")], &[]);
        check(&[("x-almoner-session", "a"), ("x-almoner-priority", "low"), ("x-almoner-tags", "a=1, b=2")], &[]);
        check(&[("x-almoner-key", "alm_secret"), ("x-almoner-task-type", "testing")], &[]);
    }

    #[test]
    fn a_slip_of_the_pen_is_told_with_what_was_meant() {
        check(&[("x-almoner-sesion", "a")], &["unknown header x-almoner-sesion, did you mean x-almoner-session"]);
        check(&[("x-almoner-tag", "a=1")], &["unknown header x-almoner-tag, did you mean x-almoner-tags"]);
        let known = "unknown header x-almoner-colour; known are x-almoner-key, x-almoner-session, x-almoner-task, \
                     x-almoner-command, x-almoner-agent, x-almoner-task-type, x-almoner-priority, x-almoner-tags";
        check(&[("x-almoner-colour", "red")], &[known]);
    }

    #[test]
    fn a_value_of_no_use_is_told_and_not_repeated() {
        let long = "x".repeat(129);
        for value in ["", &long] {
            check(
                &[("x-almoner-session", value)],
                &["x-almoner-session must have 1 to 128 characters, so it is ignored"],
            );
        }
        let words = "x-almoner-priority must be low, normal, high or critical; it counts as normal";
        check(&[("x-almoner-priority", "urgent!")], &[words]);
        let most = "x-almoner-priority critical counts as high, the most that this key allows";
        check(&[("x-almoner-priority", "critical")], &[most]);
        let tags = "x-almoner-tags has a part that is no `name=value`, which is ignored; write a=1, b=2";
        for value in ["a", "a=1, b", "a=", "a b=1", "=1"] {
            check(&[("x-almoner-tags", value)], &[tags]);
        }
        let twice = "x-almoner-session is given more than once; the first counts";
        check(&[("x-almoner-session", "a"), ("x-almoner-session", "b")], &[twice]);
    }

    #[test]
    fn a_flood_of_headers_brings_few_warnings() {
        let mut map = HeaderMap::new();
        for number in 0..100 {
            map.append(format!("x-almoner-{number}").parse::<HeaderName>().unwrap(), "1".parse().unwrap());
        }
        let warnings = unheeded(&map, Priority::High);
        assert_eq!(warnings.len(), WARNINGS_MAX);
    }
}
