//! What a client says of the trace that its call is part of: the header `traceparent` of W3C Trace Context.
//!
//! Strangers send it, so it is read strictly and believed in nothing but the place of a span. What is not as the
//! standard has it is as if it were not there. It goes to the provider as it came, like any other header.

use hyper::header::HeaderMap;

/// The name of the header.
const NAME: &str = "traceparent";
/// How long what every version begins with is: `00-` trace `-` span `-` flags.
const LENGTH: usize = 55;

/// The span of a client that its call is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceParent {
    /// The trace; never 0.
    pub trace: u128,
    /// The span in it; never 0.
    pub span: u64,
    /// Whether the client keeps its own spans of this trace.
    pub is_sampled: bool,
}

impl TraceParent {
    /// What the headers say. Of two, nobody knows which is meant.
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let mut given = headers.get_all(NAME).iter();
        let text = given.next()?.to_str().ok()?;
        if given.next().is_some() { None } else { Self::read(text) }
    }

    fn read(text: &str) -> Option<Self> {
        let (known, rest) = text.split_at_checked(LENGTH)?;
        let mut parts = known.split('-');
        let mut part = |length| parts.next().filter(|part| part.len() == length && is_hex(part));
        let (version, trace, span, flags) = (part(2)?, part(32)?, part(16)?, part(2)?);
        // Later versions may say more behind it; the first says nothing more, and the last never comes.
        let is_whole = if version == "00" { rest.is_empty() } else { rest.is_empty() || rest.starts_with('-') };
        let (trace, span) = (u128::from_str_radix(trace, 16).ok()?, u64::from_str_radix(span, 16).ok()?);
        let is_sampled = u8::from_str_radix(flags, 16).ok()? & 1 == 1;
        (is_whole && version != "ff" && trace != 0 && span != 0).then_some(Self { trace, span, is_sampled })
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";

    #[test]
    fn a_trace_is_joined_as_the_standard_has_it() {
        let parent = TraceParent {
            trace: 0x4bf9_2f35_77b3_4da6_a3ce_929d_0e0e_4736,
            span: 0xf0_67aa_0ba9_02b7,
            is_sampled: true,
        };
        assert_eq!(TraceParent::read(GOOD), Some(parent));
        assert_eq!(TraceParent::read(&GOOD.replace("-01", "-00")), Some(TraceParent { is_sampled: false, ..parent }));
        let later = format!("{}-what-comes", GOOD.replace("00-4b", "01-4b"));
        assert_eq!(TraceParent::read(&later), Some(parent), "a later version says more");
    }

    #[test]
    fn what_is_not_as_the_standard_has_it_is_not_there() {
        let bad = [
            String::new(),
            GOOD.to_uppercase(),
            format!("{GOOD}-x"),
            format!("{GOOD} "),
            GOOD[..54].to_owned(),
            GOOD.replace("00-4b", "ff-4b"),
            GOOD.replace("00-4b", "01-4b") + "x",
            GOOD.replace("4bf92f3577b34da6a3ce929d0e0e4736", &"0".repeat(32)),
            GOOD.replace("00f067aa0ba902b7", &"0".repeat(16)),
            GOOD.replace("4bf9", "+bf9"),
            GOOD.replace('-', "_"),
            "é".repeat(40),
            "-".repeat(55),
        ];
        for text in bad {
            assert_eq!(TraceParent::read(&text), None, "{text:?}");
        }
        let mut twice = HeaderMap::new();
        twice.append(NAME, GOOD.parse().unwrap());
        assert!(TraceParent::of(&twice).is_some());
        twice.append(NAME, GOOD.parse().unwrap());
        assert_eq!(TraceParent::of(&twice), None, "nobody knows which of two is meant");
    }
}
