//! The lock: one process at a time has a ledger.
//!
//! The lock is the kernel's and ends with the process, however it ends. What the file says is only for people: who has
//! it, and under which epoch; its date says since when.

use std::fs::{File, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

use crate::private;

/// The length of what the file says. It is always the same, so that a full disk cannot stand in the way.
const LEN: usize = 64;

/// The lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

/// Why the lock is not ours.
#[derive(Debug)]
pub(crate) enum LockError {
    /// Another process has it; its id, where the file says it.
    Taken(Option<u32>),
    Io(io::Error),
}

impl Lock {
    pub(crate) fn take(path: &Path) -> Result<Self, LockError> {
        let mut file = private::open_file(path).map_err(LockError::Io)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(LockError::Taken(holder(&mut file))),
            Err(TryLockError::Error(error)) => Err(LockError::Io(error)),
        }
    }

    /// Says in the file who has the lock.
    pub(crate) fn sign(&mut self, epoch: u64) -> io::Result<()> {
        let text = format!("pid {}\nepoch {epoch}\n", std::process::id());
        let mut page = [b' '; LEN];
        page[..text.len()].copy_from_slice(text.as_bytes());
        page[LEN - 1] = b'\n';
        self.file.seek(SeekFrom::Start(0))?;
        self.file.write_all(&page)
    }
}

fn holder(file: &mut File) -> Option<u32> {
    let mut text = String::new();
    Read::take(&mut *file, LEN as u64).read_to_string(&mut text).ok()?;
    text.lines().next()?.strip_prefix("pid ")?.trim().parse().ok()
}
