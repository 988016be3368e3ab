//! Zstandard, block by block: the library reads from a source, so that a block is handed to it only when it is whole.
//!
//! Windows past 8 MiB are refused, as RFC 9659 lets a server count on no more. The library keeps the last window back
//! until the frame ends; that is all that a cut stream loses.

use std::io::{self, Read, Write};

use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

use crate::decode::Step;

/// The largest window (RFC 9659).
const WINDOW_MAX: u64 = 8 << 20;

/// The largest block (RFC 8878, 3.1.1.2.4).
const BLOCK_MAX: usize = 128 << 10;

const MAGIC: [u8; 4] = [0x28, 0xB5, 0x2F, 0xFD];

/// A decoder of what is given to it into a writer.
pub(crate) struct Zstd<W> {
    out: W,
    held: Vec<u8>,
    frame: Option<Frame>,
    /// Whether more than one header or block may be whole in what is held.
    owes: bool,
}

struct Frame {
    decoder: FrameDecoder,
    has_checksum: bool,
}

impl<W: Write> Zstd<W> {
    pub(crate) fn new(out: W) -> Self {
        Self { out, held: Vec::new(), frame: None, owes: false }
    }

    pub(crate) fn get_ref(&self) -> &W {
        &self.out
    }

    pub(crate) fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    /// Passes on some of what is decoded, or else decodes one header or block, where one is whole. More is taken only
    /// where none was, and at most one block's worth, so that what is held stays bounded.
    ///
    /// # Errors
    /// Where the bytes are not Zstandard, or have a window that is too large, or the writer refuses.
    pub(crate) fn step(&mut self, bytes: &[u8]) -> io::Result<Step> {
        if let Some(frame) = &mut self.frame
            && frame.pass_on(&mut self.out)?
        {
            return Ok(Step { taken: 0, aside: 0, owes: true });
        }
        self.frame.take_if(|frame| frame.decoder.is_finished());
        let taken = if self.owes { 0 } else { bytes.len().min(BLOCK_MAX) };
        self.held.extend_from_slice(&bytes[..taken]);
        let aside = self.decode_one()?;
        self.owes = aside.is_some();
        Ok(Step { taken, aside: aside.unwrap_or(0), owes: self.owes })
    }

    /// Takes one header or block off what is held, where one is whole; how many bytes a run in it stands for.
    fn decode_one(&mut self) -> io::Result<Option<usize>> {
        let (used, run) = match &mut self.frame {
            None => match header_size(&self.held)? {
                Some(size) => {
                    self.frame = Some(Frame::begin(&self.held[..size])?);
                    (size, 0)
                }
                None => return Ok(None),
            },
            Some(frame) => match frame.block(&self.held)? {
                Some(block) => {
                    frame.decode(&self.held[..block.whole])?;
                    (block.whole, block.run)
                }
                None => return Ok(None),
            },
        };
        self.held.drain(..used);
        Ok(Some(run))
    }
}

/// A block that is all there.
struct Block {
    /// Its bytes, with all that belongs to it.
    whole: usize,
    /// How many bytes it stands for where it is a run of one.
    run: usize,
}

impl Frame {
    fn begin(header: &[u8]) -> io::Result<Self> {
        let mut decoder = FrameDecoder::new();
        decoder.init(header).map_err(io::Error::other)?;
        Ok(Self { decoder, has_checksum: header[4] & 4 != 0 })
    }

    /// The next block, once it is there.
    fn block(&self, held: &[u8]) -> io::Result<Option<Block>> {
        let [low, middle, high, ..] = held else { return Ok(None) };
        let header = usize::from(*low) | usize::from(*middle) << 8 | usize::from(*high) << 16;
        let (is_last, is_run, size) = (header & 1 == 1, header >> 1 & 3 == 1, header >> 3);
        if size > BLOCK_MAX {
            return Err(io::ErrorKind::InvalidData.into());
        }
        let (content, run) = if is_run { (1, size) } else { (size, 0) };
        let whole = 3 + content + if is_last && self.has_checksum { 4 } else { 0 };
        Ok((held.len() >= whole).then_some(Block { whole, run }))
    }

    fn decode(&mut self, block: &[u8]) -> io::Result<()> {
        let decoded = self.decoder.decode_blocks(block, BlockDecodingStrategy::UptoBlocks(1));
        decoded.map(drop).map_err(io::Error::other)
    }

    /// Passes on a buffer's worth of what is decoded and not kept back; whether there was any.
    fn pass_on(&mut self, out: &mut impl Write) -> io::Result<bool> {
        let mut buffer = [0; 8 << 10];
        let size = self.decoder.read(&mut buffer)?;
        out.write_all(&buffer[..size])?;
        Ok(size > 0)
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
