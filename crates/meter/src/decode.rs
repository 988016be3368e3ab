//! Undoing a content encoding on a copy of the answer, on its way into a meter.
//!
//! The work is incremental and bounded: what decodes is fed on at once and never kept, and nothing more is decoded once
//! it is far more than what came, or past [`DECODED_MAX`]. It can be done in steps of a bounded size, because a few
//! bytes can decode to megabytes. Zstandard has a lag that its library does not let us drain: the last window of a cut
//! stream is lost, so that its usage is unknown rather than wrong.

use std::io::{self, Write};

use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::brotli::Brotli;
use crate::zstd::Zstd;
use crate::{Fault, Meter, Reading};

/// The most bytes that one answer may decode to.
pub const DECODED_MAX: u64 = 256 << 20;

/// How much of an answer is decoded. The events of a stream are mostly the same words, and each of its bytes decodes to
/// some twenty; one of a bomb decodes to a thousand and more.
const BOUNDS: Bounds = Bounds { free: 16 << 20, per_byte: 100, most: DECODED_MAX };

/// A content encoding that is not known, or more than one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the content encoding `{}` is not known; the known ones are gzip, deflate, br, zstd and identity", .0.escape_debug())]
pub struct UnknownEncoding(pub String);

/// A meter behind a content encoding.
pub struct Decoder {
    stream: Stream,
    bounds: Bounds,
    /// How many bytes were taken.
    taken: u64,
    /// How many were decoded before they were passed on.
    aside: u64,
    /// Whether what was taken decodes to more than was read so far.
    owes: bool,
    failed: bool,
}

enum Stream {
    Identity(Tap),
    Gzip(Box<MultiGzDecoder<Tap>>),
    /// `deflate` means zlib, but some servers send it bare: the first byte tells.
    Deflate(Tap),
    Zlib(Box<ZlibDecoder<Tap>>),
    Bare(Box<DeflateDecoder<Tap>>),
    Brotli(Box<Brotli<Tap>>),
    Zstd(Box<Zstd<Tap>>),
}

/// What one step of decoding did.
pub(crate) struct Step {
    /// How many bytes it took.
    pub(crate) taken: usize,
    /// How many bytes it decoded and keeps for a while.
    pub(crate) aside: usize,
    /// Whether those that were taken decode to more.
    pub(crate) owes: bool,
}

impl Decoder {
    /// A decoder for the value of `content-encoding`, in front of a meter.
    ///
    /// # Errors
    /// [`UnknownEncoding`] where there is no decoder: the answer's usage is then unknown.
    pub fn new(content_encoding: Option<&str>, meter: Meter) -> Result<Self, UnknownEncoding> {
        Self::bounded(content_encoding, meter, BOUNDS)
    }

    fn bounded(content_encoding: Option<&str>, meter: Meter, bounds: Bounds) -> Result<Self, UnknownEncoding> {
        let tap = Tap::new(meter);
        let name = content_encoding.unwrap_or_default().trim().to_ascii_lowercase();
        let stream = match name.as_str() {
            "" | "identity" => Stream::Identity(tap),
            "gzip" | "x-gzip" => Stream::Gzip(Box::new(MultiGzDecoder::new(tap))),
            "deflate" => Stream::Deflate(tap),
            "br" => Stream::Brotli(Box::new(Brotli::new(tap))),
            "zstd" => Stream::Zstd(Box::new(Zstd::new(tap))),
            _ => return Err(UnknownEncoding(name)),
        };
        Ok(Self { stream, bounds, taken: 0, aside: 0, owes: false, failed: false })
    }

    /// Whether the bytes are read as they come. What is packed takes far longer than its length tells.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        matches!(self.stream, Stream::Identity(_))
    }

    /// Takes the next bytes as they came from the provider.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !self.feed_some(&mut bytes, u64::MAX) {}
    }

    /// Takes as many of the next bytes off their front as are read with about so much work, and tells whether all of
    /// them are read. Both the bytes that come and those that they decode to are work; a step may do some 128 KiB more
    /// than it should, and it does something wherever there is something to do.
    pub fn feed_some(&mut self, bytes: &mut &[u8], most: u64) -> bool {
        let ends_at = self.work().saturating_add(most.max(1));
        while !self.failed && (self.owes || !bytes.is_empty()) {
            if self.work() >= ends_at {
                return false;
            }
            let step = usize::try_from(ends_at - self.work()).map_or(*bytes, |most| &bytes[..bytes.len().min(most)]);
            match self.step(step, bytes.len()) {
                Ok(taken) => *bytes = &bytes[taken..],
                Err(_) => {
                    self.failed = true;
                    self.stream.tap_mut().note_failure();
                }
            }
        }
        *bytes = &[];
        true
    }

    /// How much was done so far, in bytes that were taken, decoded or read.
    #[must_use]
    pub fn work(&self) -> u64 {
        self.taken.saturating_add(self.aside).saturating_add(self.stream.tap().decoded)
    }

    /// What has been told so far.
    #[must_use]
    pub fn so_far(&self) -> Reading {
        self.stream.tap().meter.so_far()
    }

    /// What the answer told, now that no more of it comes.
    #[must_use]
    pub fn finish(mut self) -> Reading {
        self.stream.tap_mut().meter.close();
        self.so_far()
    }

    /// Takes some of the bytes, of `here` that are there; how many.
    fn step(&mut self, bytes: &[u8], here: usize) -> io::Result<usize> {
        self.stream.settle_deflate(bytes);
        self.stream.tap_mut().most = self.bounds.after(self.taken.saturating_add(as_u64(here)));
        let Step { taken, aside, owes } = self.stream.step(bytes)?;
        self.taken = self.taken.saturating_add(as_u64(taken));
        self.aside = self.aside.saturating_add(as_u64(aside));
        self.owes = owes;
        if taken == here && !owes {
            self.stream.flush()?;
        }
        Ok(taken)
    }
}

impl Stream {
    /// Tells zlib from bare deflate by the first byte: a zlib stream begins with the method number 8.
    fn settle_deflate(&mut self, bytes: &[u8]) {
        let (Self::Deflate(tap), Some(first)) = (&mut *self, bytes.first()) else { return };
        let tap = tap.take();
        *self = if first & 0x0F == 8 {
            Self::Zlib(Box::new(ZlibDecoder::new(tap)))
        } else {
            Self::Bare(Box::new(DeflateDecoder::new(tap)))
        };
    }

    /// Does a little: no more than 128 KiB are decoded, whatever the bytes are.
    fn step(&mut self, bytes: &[u8]) -> io::Result<Step> {
        let taken = match self {
            Self::Brotli(decoder) => return decoder.step(bytes),
            Self::Zstd(decoder) => return decoder.step(bytes),
            Self::Identity(tap) | Self::Deflate(tap) => tap.write(bytes),
            // These decode into a buffer of 32 KiB, and take no more than fits.
            Self::Gzip(decoder) => decoder.write(bytes),
            Self::Zlib(decoder) => decoder.write(bytes),
            Self::Bare(decoder) => decoder.write(bytes),
        }?;
        if taken == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        Ok(Step { taken, aside: 0, owes: false })
    }

    /// Passes on what is decoded already.
    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Identity(_) | Self::Deflate(_) | Self::Brotli(_) | Self::Zstd(_) => Ok(()),
            Self::Gzip(decoder) => decoder.flush(),
            Self::Zlib(decoder) => decoder.flush(),
            Self::Bare(decoder) => decoder.flush(),
        }
    }

    fn tap(&self) -> &Tap {
        match self {
            Self::Identity(tap) | Self::Deflate(tap) => tap,
            Self::Gzip(decoder) => decoder.get_ref(),
            Self::Zlib(decoder) => decoder.get_ref(),
            Self::Bare(decoder) => decoder.get_ref(),
            Self::Brotli(decoder) => decoder.get_ref(),
            Self::Zstd(decoder) => decoder.get_ref(),
        }
    }

    fn tap_mut(&mut self) -> &mut Tap {
        match self {
            Self::Identity(tap) | Self::Deflate(tap) => tap,
            Self::Gzip(decoder) => decoder.get_mut(),
            Self::Zlib(decoder) => decoder.get_mut(),
            Self::Bare(decoder) => decoder.get_mut(),
            Self::Brotli(decoder) => decoder.get_mut(),
            Self::Zstd(decoder) => decoder.get_mut(),
        }
    }
}

/// How many bytes an answer may decode to.
#[derive(Clone, Copy)]
struct Bounds {
    /// So many, however few came.
    free: u64,
    /// So many more for each that came.
    per_byte: u64,
    /// So many, whatever came.
    most: u64,
}

impl Bounds {
    fn after(self, came: u64) -> u64 {
        came.saturating_mul(self.per_byte).saturating_add(self.free).min(self.most)
    }
}

/// The meter at the far end, which takes only so much.
struct Tap {
    meter: Meter,
    decoded: u64,
    /// How much it takes in all.
    most: u64,
    /// Whether there was more.
    is_bomb: bool,
}

impl Tap {
    const fn new(meter: Meter) -> Self {
        Self { meter, decoded: 0, most: 0, is_bomb: false }
    }

    /// Moves the tap out, and leaves one that takes nothing.
    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new(Meter::new(crate::Dialect::Ollama, crate::Framing::Json)))
    }

    fn note_failure(&mut self) {
        let fault = if self.is_bomb { Fault::Bomb } else { Fault::Encoding };
        self.meter.note(fault);
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let decoded = self.decoded.saturating_add(as_u64(bytes.len()));
        if decoded > self.most {
            self.is_bomb = true;
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.decoded = decoded;
        self.meter.feed(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn as_u64(length: usize) -> u64 {
    u64::try_from(length).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dialect, Framing};

    const TOLD: &[u8] = b"data: {\"model\":\"m\",\"choices\":[],\"usage\":{\"prompt_tokens\":7}}\n\n";

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    /// One byte, again and again: four bytes of Zstandard for each 128 KiB, after usage as it is.
    fn zstd(times: usize) -> Vec<u8> {
        let block = |kind: u32, size: u32| (size << 3 | kind << 1).to_le_bytes()[..3].to_vec();
        let told = [block(0, u32::try_from(TOLD.len()).unwrap()), TOLD.to_vec()].concat();
        let run = [block(1, 128 << 10), vec![b'x']].concat();
        // The last block is empty. What comes before it is kept back: the window is 8 MiB.
        [vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68], told, run.repeat(times), vec![1, 0, 0]].concat()
    }

    /// The same usage, and a megabyte of one letter, by Brotli.
    const BROTLI: &str = "8b1e001814a1d2a1dcd657925c5e173e5511431a0eb18d81430e981f6996b600a8b2b0a143e8789285b046c18b089c\
                          69a1b51df55091ef46fe937066b79901f5fffff825f0e2b17020f7fe01";

    fn brotli() -> Vec<u8> {
        (0..BROTLI.len()).step_by(2).map(|at| u8::from_str_radix(&BROTLI[at..at + 2], 16).unwrap()).collect()
    }

    /// A megabyte and more in few bytes, after usage, in each encoding that has such.
    fn bombs() -> [(&'static str, Vec<u8>); 4] {
        let plain = [TOLD, &vec![b'x'; 1 << 20]].concat();
        let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
        zlib.write_all(&plain).unwrap();
        [("gzip", gzip(&plain)), ("deflate", zlib.finish().unwrap()), ("br", brotli()), ("zstd", zstd(8))]
    }

    fn meter() -> Meter {
        Meter::new(Dialect::OpenAiChat, Framing::Sse)
    }

    /// Feeds it in steps of so much work; how many there were, and how much the longest did.
    fn steps(decoder: &mut Decoder, mut bytes: &[u8], most: u64) -> (usize, u64) {
        let (mut number, mut longest, mut is_all) = (0, 0, false);
        while !is_all {
            let before = decoder.work();
            is_all = decoder.feed_some(&mut bytes, most);
            (number, longest) = (number + 1, longest.max(decoder.work() - before));
        }
        (number, longest)
    }

    #[test]
    fn a_bomb_is_cut_off_and_what_came_before_it_counts() {
        let bounds = Bounds { free: 1 << 18, per_byte: 0, most: DECODED_MAX };
        for (encoding, bomb) in bombs() {
            let mut decoder = Decoder::bounded(Some(encoding), meter(), bounds).unwrap();
            bomb.chunks(100).for_each(|chunk| decoder.feed(chunk));
            assert!(decoder.stream.tap().decoded <= 1 << 18, "{encoding}");
            let reading = decoder.finish();
            assert_eq!((reading.usage.input, reading.faults.times(Fault::Bomb)), (Some(7), 1), "{encoding}");
        }
    }

    #[test]
    fn an_answer_may_decode_to_more_the_more_of_it_comes() {
        let few = Bounds { free: 1 << 10, per_byte: 100, most: DECODED_MAX };
        for (bytes, times) in [(1 << 20, 1), (100, 0)] {
            let mut decoder = Decoder::bounded(Some("gzip"), meter(), few).unwrap();
            decoder.feed(&gzip(&vec![b'x'; bytes]));
            assert_eq!(decoder.finish().faults.times(Fault::Bomb), times, "{bytes} bytes of one letter");
        }
        // Words of which no two are alike, in more bytes than are free.
        let words: String = (0..20_000_u32).map(|word| format!("{} ", word.wrapping_mul(2_654_435_761))).collect();
        let mut decoder = Decoder::bounded(Some("gzip"), meter(), few).unwrap();
        decoder.feed(&gzip(words.as_bytes()));
        assert!(decoder.finish().faults.is_empty());
    }

    #[test]
    fn what_is_packed_is_read_in_steps_that_are_short_whatever_it_holds() {
        for (encoding, bomb) in bombs() {
            let mut whole = Decoder::new(Some(encoding), meter()).unwrap();
            whole.feed(&bomb);
            let mut decoder = Decoder::new(Some(encoding), meter()).unwrap();
            let (steps, longest) = steps(&mut decoder, &bomb, 1 << 16);
            assert!(steps >= 6 && longest <= (1 << 16) + (129 << 10), "{encoding}: {steps} of {longest} bytes");
            assert_eq!((decoder.work(), decoder.so_far()), (whole.work(), whole.so_far()), "{encoding}");
        }
    }
}
