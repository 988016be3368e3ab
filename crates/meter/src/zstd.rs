//! Zstandard, block by block: the library reads from a source, so that a block is handed to it only when it is whole.
//!
//! Windows past 8 MiB are refused, as RFC 9659 lets a server count on no more. The library keeps the last window back
//! until the frame ends; that is all that a cut stream loses.

use std::io::{self, Read, Write};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The largest window (RFC 9659).
const WINDOW_MAX: u64 = 8 << 20;

/// The largest block (RFC 8878, 3.1.1.2.4).
const BLOCK_MAX: usize = 128 << 10;

const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// A writer that decodes what is written to it into another one.
pub(crate) struct Zstd<W> {
    out: W,
    held: Vec<u8>,
    frame: Option<Frame>,
}

struct Frame {
    decoder: FrameDecoder,
    has_checksum: bool,
}

impl<W: Write> Zstd<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, held: Vec::new(), frame: None }
    }

    pub(crate) fn get_ref(&self) -> &W {
        &self.out
    }

    pub(crate) fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Takes one header or block off what is held; nothing where it is not whole yet.
    fn step(&mut self) -> io::Result<bool> {
        let used = match &mut self.frame {
            None => match header_size(&self.held)? {
                Some(size) => {
                    self.frame = Some(Frame::begin(&self.held[..size])?);
                    size
                }
                None => return Ok(false),
            },
            Some(frame) => match frame.block_size(&self.held)? {
                Some(size) => {
                    frame.decode(&self.held[..size], &mut self.out)?;
                    size
                }
                None => return Ok(false),
            },
        };
        self.frame.take_if(|frame| frame.decoder.is_finished());
        self.held.drain(..used);
        Ok(true)
    }
}

impl Frame {
    fn begin(header: &[u8]) -> io::Result<Self> {
        let mut decoder = FrameDecoder::new();
        decoder.init(header).map_err(io::Error::other)?;
        Ok(Self { decoder, has_checksum: header[4] & 4 != 0 })
    }

    /// The bytes of the next block with all that belongs to it, once they are there.
    fn block_size(&self, held: &[u8]) -> io::Result<Option<usize>> {
        let [low, middle, high, ..] = held else { return Ok(None) };
        let header = usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16;
        let (is_last, kind, size) = (header & 1 == 1, header >> 1 & 3, header >> 3);
        if size > BLOCK_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let content = if kind == 1 { 1 } else { size };
        let whole = 3 + content + if is_last && self.has_checksum { 4 } else { 0 };
        Ok((held.len() >= whole).then_some(whole))
    }

    fn decode(&mut self, block: &[u8], out: &mut impl Write) -> io::Result<()> {
        self.decoder.decode_blocks(block, BlockDecodingStrategy::UptoBlocks(1)).map_err(io::Error::other)?;
        let mut buffer = [0; 8 << 10];
        loop {
            match self.decoder.read(&mut buffer)? {
                0 => return Ok(()),
                size => out.write_all(&buffer[..size])?,
            }
        }
    }
}

/// The size of a frame's header (RFC 8878, 3.1.1.1), once it is all there and its window is not too large.
fn header_size(held: &[u8]) -> io::Result<Option<usize>> {
    let Some((magic, [descriptor, rest @ ..])) = held.split_first_chunk() else { return Ok(None) };
    if *magic != MAGIC {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let is_single = descriptor & 0x20 != 0;
    let window = usize::from(!is_single);
    let dictionary = [0, 1, 2, 4][usize::from(descriptor & 3)];
    let content = [usize::from(is_single), 2, 4, 8][usize::from(descriptor >> 6)];
    let Some(fields) = rest.get(..window + dictionary + content) else { return Ok(None) };
    let size = if is_single { little_endian(&fields[dictionary..]) } else { window_size(fields[0]) };
    if size > WINDOW_MAX {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(Some(MAGIC.len() + 1 + fields.len()))
}

fn window_size(descriptor: u8) -> u64 {
    let base = 1_u64 << (10 + (descriptor >> 3));
    base + base / 8 * u64::from(descriptor & 7)
}

fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

impl<W: Write> Write for Zstd<W> {
    /// Takes at most one block's worth, so that what is held stays bounded.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let taken = &bytes[..bytes.len().min(BLOCK_MAX)];
        self.held.extend_from_slice(taken);
        while self.step()? {}
        Ok(taken.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
