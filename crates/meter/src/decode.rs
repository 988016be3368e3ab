//! Undoing a content encoding on a copy of the answer, on its way into a meter.
//!
//! The work is incremental and bounded: what decodes is fed on at once and never kept, and past [`DECODED_MAX`] nothing
//! more is decoded. Zstandard has a lag that its library does not let us drain: the last window of a cut stream is
//! lost, so that its usage is unknown rather than wrong.

use std::io::{self, Write};

use brotli_decompressor::DecompressorWriter;
use flate2::write::{DeflateDecoder, MultiGzDecoder, ZlibDecoder};

use crate::zstd::Zstd;
use crate::{Fault, Meter, Reading};

/// The most bytes that one answer may decode to.
pub const DECODED_MAX: u64 = 256 << 20;

/// The output buffer of the brotli decoder.
const BROTLI_BUFFER: usize = 16 << 10;

/// A content encoding that is not known, or more than one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the content encoding `{}` is not known; the known ones are gzip, deflate, br, zstd and identity", .0.escape_debug())]
pub struct UnknownEncoding(pub String);

/// A meter behind a content encoding.
pub struct Decoder {
    stream: Stream,
    failed: bool,
}

enum Stream {
    Identity(Tap),
    Gzip(Box<MultiGzDecoder<Tap>>),
    /// `deflate` means zlib, but some servers send it bare: the first byte tells.
    Deflate(Tap),
    Zlib(Box<ZlibDecoder<Tap>>),
    Bare(Box<DeflateDecoder<Tap>>),
    Brotli(Box<DecompressorWriter<Tap>>),
    Zstd(Box<Zstd<Tap>>),
}

impl Decoder {
    /// A decoder for the value of `content-encoding`, in front of a meter.
    ///
    /// # Errors
    /// [`UnknownEncoding`] where there is no decoder: the answer's usage is then unknown.
    pub fn new(content_encoding: Option<&str>, meter: Meter) -> Result<Self, UnknownEncoding> {
        Self::bounded(content_encoding, meter, DECODED_MAX)
    }

    fn bounded(content_encoding: Option<&str>, meter: Meter, most: u64) -> Result<Self, UnknownEncoding> {
        let tap = Tap { meter, left: most };
        let name = content_encoding.unwrap_or_default().trim().to_ascii_lowercase();
        let stream = match name.as_str() {
            "" | "identity" => Stream::Identity(tap),
            "gzip" | "x-gzip" => Stream::Gzip(Box::new(MultiGzDecoder::new(tap))),
            "deflate" => Stream::Deflate(tap),
            "br" => Stream::Brotli(Box::new(DecompressorWriter::new(tap, BROTLI_BUFFER))),
            "zstd" => Stream::Zstd(Box::new(Zstd::new(tap))),
            _ => return Err(UnknownEncoding(name)),
        };
        Ok(Self { stream, failed: false })
    }

    /// Whether the bytes are read as they come. What is packed takes far longer than its length tells.
    #[must_use]
    pub const fn is_plain(&self) -> bool {
        matches!(self.stream, Stream::Identity(_))
    }

    /// Takes the next bytes as they came from the provider.
    pub fn feed(&mut self, bytes: &[u8]) {
        if self.failed {
            return;
        }
        self.stream.settle_deflate(bytes);
        let writer = self.stream.writer();
        if writer.write_all(bytes).and_then(|()| writer.flush()).is_err() {
            self.failed = true;
            self.stream.tap_mut().note_failure();
        }
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

    fn writer(&mut self) -> &mut dyn Write {
        match self {
            Self::Identity(tap) | Self::Deflate(tap) => tap,
            Self::Gzip(decoder) => decoder,
            Self::Zlib(decoder) => decoder,
            Self::Bare(decoder) => decoder,
            Self::Brotli(decoder) => decoder,
            Self::Zstd(decoder) => decoder,
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

/// The meter at the far end, which takes only so much.
struct Tap {
    meter: Meter,
    left: u64,
}

impl Tap {
    /// Moves the tap out, and leaves one that takes nothing.
    fn take(&mut self) -> Self {
        let spent = Self { meter: Meter::new(crate::Dialect::Ollama, crate::Framing::Json), left: 0 };
        std::mem::replace(self, spent)
    }

    fn note_failure(&mut self) {
        let fault = if self.left == 0 { Fault::Bomb } else { Fault::Encoding };
        self.meter.note(fault);
    }
}

impl Write for Tap {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let size = u64::try_from(bytes.len()).unwrap_or(u64::MAX);
        let Some(left) = self.left.checked_sub(size) else {
            self.left = 0;
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        self.left = left;
        self.meter.feed(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Dialect, Framing};

    #[test]
    fn a_bomb_is_cut_off_and_what_came_before_it_counts() {
        let answer = br#"data: {"model":"m","choices":[],"usage":{"prompt_tokens":7}}"#;
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(&[&answer[..], b"\n\n", &vec![b'x'; 1 << 20]].concat()).unwrap();
        let bomb = encoder.finish().unwrap();
        let meter = Meter::new(Dialect::OpenAiChat, Framing::Sse);
        let mut decoder = Decoder::bounded(Some("gzip"), meter, 1 << 18).unwrap();
        bomb.chunks(100).for_each(|chunk| decoder.feed(chunk));
        let reading = decoder.finish();
        assert_eq!((reading.usage.input, reading.faults.times(Fault::Bomb)), (Some(7), 1));
    }
}
