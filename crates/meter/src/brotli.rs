//! Brotli, a little at a time: its library's own writer decodes all that it is given, and a few bytes can be megabytes.

use std::io::{self, Write};

use brotli_decompressor::{BrotliDecompressStream, BrotliResult, BrotliState, StandardAlloc};

use crate::decode::Step;

/// How much is decoded at once.
const BUFFER: usize = 16 << 10;

/// A decoder of what is given to it into a writer.
pub(crate) struct Brotli<W> {
    out: W,
    state: BrotliState<StandardAlloc, StandardAlloc, StandardAlloc>,
    buffer: Box<[u8]>,
    /// How much was decoded, as the library counts it.
    decoded: usize,
}

impl<W: Write> Brotli<W> {
    pub(crate) fn new(out: W) -> Self {
        let alloc = StandardAlloc::default;
        let state = BrotliState::new(alloc(), alloc(), alloc());
        Self { out, state, buffer: vec![0; BUFFER].into(), decoded: 0 }
    }

    pub(crate) const fn get_ref(&self) -> &W {
        &self.out
    }

    pub(crate) const fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Decodes one buffer's worth at most.
    ///
    /// # Errors
    /// Where the bytes are not Brotli, or more of them come than there should be, or the writer refuses.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> io::Result<Step> {
        let (mut left, mut taken, mut room, mut filled) = (bytes.len(), 0, self.buffer.len(), 0);
        let Self { out, state, buffer, decoded } = self;
        let result =
            BrotliDecompressStream(&mut left, &mut taken, bytes, &mut room, &mut filled, buffer, decoded, state);
        out.write_all(&buffer[..filled])?;
        match result {
            BrotliResult::NeedsMoreInput => Ok(Step { taken, aside: 0, owes: false }),
            BrotliResult::NeedsMoreOutput => Ok(Step { taken, aside: 0, owes: true }),
            // It is at its end: only what comes before that belongs to it.
            BrotliResult::ResultSuccess if taken > 0 || bytes.is_empty() => Ok(Step { taken, aside: 0, owes: false }),
            BrotliResult::ResultSuccess | BrotliResult::ResultFailure => Err(io::ErrorKind::InvalidData.into()),
        }
    }
}
