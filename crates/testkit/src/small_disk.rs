//! A disk so small that a test can fill it.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;

/// What fills the disk.
const FILLER: &str = "filler";

/// A file system of its own in memory, where whoever runs the tests may mount one; unmounted when it is dropped.
#[derive(Debug)]
pub struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Mounts a disk of `size` (`8m`) at a folder, which is made; `None` where that is not allowed.
    ///
    /// # Errors
    /// Where the folder cannot be made.
    pub fn mount(at: &Path, size: &str) -> io::Result<Option<Self>> {
        std::fs::create_dir_all(at)?;
        let options = format!("size={size},mode=700");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &options, "almoner-test"]).arg(at).output();
        Ok(mounted.is_ok_and(|done| done.status.success()).then(|| Self(at.to_owned())))
    }

    /// Fills it to the last byte.
    ///
    /// # Errors
    /// Where it cannot be written for another reason than that it is full.
    pub fn fill(&self) -> io::Result<()> {
        let mut filler = File::options().create(true).append(true).open(self.0.join(FILLER))?;
        for size in [64 << 10, 1] {
            loop {
                match filler.write_all(&vec![1; size]) {
                    Ok(()) => {}
                    Err(error) if error.kind() == io::ErrorKind::StorageFull => break,
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }

    /// Takes away what filled it.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn make_room(&self) -> io::Result<()> {
        std::fs::remove_file(self.0.join(FILLER))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // At once or, where somebody still has a file on it, as soon as nobody has.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}
