//! Whether what a provider told can be true, measured by the bytes that passed.
//!
//! It promises to speak only of what no honest count explains: a mark is something to look into, and no proof. What is
//! told is booked as it is told, because nothing else is known.

use crate::Reading;

/// What an answer may weigh before its output is doubted: frames, ids, a signature, the echo of a request.
const FRAME_MAX: u64 = 16 << 10;

/// The most bytes of an answer that a token of output accounts for. In the recordings it is 350 in answers past the
/// frame; the probabilities of twenty other tokens take two thousand.
const BYTES_PER_OUTPUT_TOKEN: u64 = 4 << 10;

/// Below this much text of a request nothing is said about its tokens.
const TEXT_MIN: u64 = 4 << 10;

/// The most bytes of text that a token of input covers: the longest token of the published vocabularies has 128, all
/// of them spaces.
const BYTES_PER_INPUT_TOKEN: u64 = 128;

impl Reading {
    /// Why this usage is too low to be true for a request with so much text; `None` where it may well be.
    #[must_use]
    pub fn implausible(&self, text_bytes: u64) -> Option<&'static str> {
        // What is only read, such as an embedding, stops for no reason and writes nothing.
        let writes = self.stop_reason.is_some() && self.server_tools.is_none_or(|tools| tools.used().is_empty());
        let weighs = self.body_bytes.saturating_sub(FRAME_MAX);
        if writes && self.usage.output.is_some_and(|output| output.saturating_mul(BYTES_PER_OUTPUT_TOKEN) < weighs) {
            return Some("implausible usage: far fewer tokens of output than the answer has bytes");
        }
        let input = self.usage.is_known().then(|| self.usage.input_total());
        let reads = text_bytes >= TEXT_MIN;
        if reads && input.is_some_and(|input| input.saturating_mul(BYTES_PER_INPUT_TOKEN) < text_bytes) {
            return Some("implausible usage: far fewer tokens of input than the request has text");
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use almoner_units::Usage;

    /// What is said of so many tokens, told of so many bytes: text that was read, and an answer.
    fn check(text: u64, input: u64, body_bytes: u64, output: u64) -> &'static str {
        let usage = Usage { input: Some(input), output: Some(output), ..Usage::default() };
        let reading = Reading { usage, body_bytes, stop_reason: Some("stop".to_owned()), ..Reading::default() };
        match reading.implausible(text) {
            None => "-",
            Some(why) if why.contains("output") => "output",
            Some(_) => "input",
        }
    }

    #[test]
    fn only_what_no_honest_count_explains_is_marked() {
        let table = [
            // An ordinary call, and a short one.
            (4_000, 1_000, 30_000, 200, "-"),
            (40, 10, 900, 1, "-"),
            // Nothing was written, in a frame; and kilobytes were.
            (40, 10, 16 << 10, 0, "-"),
            (40, 10, 20_000, 0, "output"),
            (40, 10, 1 << 20, 100, "output"),
            // Probabilities of many other tokens beside each.
            (40, 10, 2_500_000, 1_000, "-"),
            // A megabyte of spaces is eight thousand tokens, and of prose many more.
            (1 << 20, 8_192, 900, 1, "-"),
            (1 << 20, 8_191, 900, 1, "input"),
            (4_096, 0, 900, 1, "input"),
            (4_095, 0, 900, 1, "-"),
        ];
        for (text, input, bytes, output, expected) in table {
            assert_eq!(check(text, input, bytes, output), expected, "{text} {input} {bytes} {output}");
        }
    }

    #[test]
    fn what_was_not_told_or_not_written_is_not_doubted() {
        let embedding = Reading { body_bytes: 1 << 20, ..Reading::default() };
        assert_eq!(embedding.implausible(1 << 20), None);
        let usage = Usage { input: Some(9), output: Some(0), ..Usage::default() };
        assert_eq!(Reading { usage, ..embedding }.implausible(40), None);
    }
}
