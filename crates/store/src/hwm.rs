//! The high-water mark: how far the journal has come, in a file of its own beside the database.
//!
//! SQLite drops the commits behind a flipped bit in its log and says nothing, and a backup that is put back looks whole
//! to it. The mark is written after every commit, so that a journal that has become shorter is noticed. It lives
//! through the death of the process; it is flushed once a second, so a loss of power can set it back by a second.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use crate::chain::{Chain, hash};
use crate::private;

const MAGIC: &[u8; 8] = b"ALMNHWM1";
/// Magic, ledger, epoch, sequence, chain: 56 bytes, and 8 of their hash.
const LEN: usize = 64;

/// How far a journal had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) ledger: [u8; 16],
    pub(crate) epoch: u64,
    pub(crate) seq: u64,
    pub(crate) chain: Chain,
}

impl Mark {
    fn to_bytes(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..24].copy_from_slice(&self.ledger);
        bytes[24..32].copy_from_slice(&self.epoch.to_le_bytes());
        bytes[32..40].copy_from_slice(&self.seq.to_le_bytes());
        bytes[40..56].copy_from_slice(self.chain.bytes());
        let sum = hash(&[&bytes[..56]]);
        bytes[56..].copy_from_slice(&sum[..8]);
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = bytes.try_into().ok()?;
        if &bytes[..8] != MAGIC || bytes[56..] != hash(&[&bytes[..56]])[..8] {
            return None;
        }
        Some(Self {
            ledger: bytes[8..24].try_into().ok()?,
            epoch: u64::from_le_bytes(bytes[24..32].try_into().ok()?),
            seq: u64::from_le_bytes(bytes[32..40].try_into().ok()?),
            chain: Chain::from_bytes(bytes[40..56].try_into().ok()?),
        })
    }
}

/// What the file says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Missing,
    /// It is there, and not what was written.
    Damaged,
    Mark(Mark),
}

impl Found {
    pub(crate) fn mark(self) -> Option<Mark> {
        match self {
            Self::Mark(mark) => Some(mark),
            Self::Missing | Self::Damaged => None,
        }
    }
}

/// Reads the mark, and changes nothing.
pub(crate) fn read(path: &Path) -> io::Result<Found> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Mark::from_bytes(&bytes).map_or(Found::Damaged, Found::Mark)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Found::Missing),
        Err(error) => Err(error),
    }
}

/// The file of the mark, open.
#[derive(Debug)]
pub(crate) struct HighWater {
    file: File,
    pub(crate) path: PathBuf,
    pub(crate) is_flushed: bool,
}

impl HighWater {
    pub(crate) fn open(path: PathBuf) -> io::Result<Self> {
        let file = private::open_file(&path)?;
        file.set_len(LEN as u64)?;
        Ok(Self { file, path, is_flushed: true })
    }

    pub(crate) fn write(&mut self, mark: Mark) -> io::Result<()> {
        self.is_flushed = false;
        write_at_start(&self.file, &mark.to_bytes())
    }

    /// Makes the mark last, where it has moved since.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        if !self.is_flushed {
            self.file.sync_data()?;
            self.is_flushed = true;
        }
        Ok(())
    }
}

#[cfg(unix)]
fn write_at_start(file: &File, bytes: &[u8]) -> io::Result<()> {
    std::os::unix::fs::FileExt::write_all_at(file, bytes, 0)
}

#[cfg(not(unix))]
fn write_at_start(mut file: &File, bytes: &[u8]) -> io::Result<()> {
    use std::io::{Seek, SeekFrom, Write};
    file.seek(SeekFrom::Start(0))?;
    file.write_all(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_survives_and_no_changed_bit_goes_unseen() {
        let mark = Mark { ledger: [7; 16], epoch: 3, seq: 1234, chain: Chain::from_bytes([9; 16]) };
        let bytes = mark.to_bytes();
        assert_eq!(Mark::from_bytes(&bytes), Some(mark));
        for bit in 0..LEN * 8 {
            let mut flipped = bytes;
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Mark::from_bytes(&flipped), None, "bit {bit}");
        }
        assert_eq!(Mark::from_bytes(&bytes[..63]), None);
    }
}
