//! The ballast: space kept back, so that what must be written still fits when the disk is full.

use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;

use crate::private;

/// How much space is kept back: 4 MiB, some ten thousand facts.
const BYTES: u64 = 4 << 20;
/// The file is made of blocks of this size, each of noise, so that no file system can store it in less.
const BLOCK: usize = 128 << 10;

#[derive(Debug)]
pub(crate) struct Ballast {
    path: PathBuf,
    is_there: bool,
}

impl Ballast {
    /// The ballast at `path`, made where it is missing and there is space.
    pub(crate) fn at(path: PathBuf) -> Self {
        let mut ballast = Self { path, is_there: false };
        ballast.make();
        ballast
    }

    pub(crate) fn is_there(&self) -> bool {
        self.is_there
    }

    /// Gives the space back.
    pub(crate) fn drop_off(&mut self) {
        // Where it cannot be removed there is no space to win, which the next write will say.
        let _ = fs::remove_file(&self.path);
        self.is_there = false;
    }

    /// Takes the space, where it is not taken; a disk that is still full is no error.
    pub(crate) fn make(&mut self) {
        if self.is_there {
            return;
        }
        if fs::metadata(&self.path).is_ok_and(|there| there.len() == BYTES) || self.fill().is_ok() {
            self.is_there = true;
        } else {
            self.drop_off();
        }
    }

    fn fill(&self) -> io::Result<()> {
        let mut noise = vec![0; BLOCK];
        blake3::Hasher::new().finalize_xof().fill(&mut noise);
        let mut file = private::open_file(&self.path)?;
        for _ in 0..BYTES / (BLOCK as u64) {
            file.write_all(&noise)?;
        }
        file.sync_all()
    }
}
