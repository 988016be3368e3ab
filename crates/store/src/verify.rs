//! Looking a ledger over without changing it.

use std::path::Path;

use crate::chain::Chain;
use crate::error::OpenError;
use crate::files::Files;
use crate::hwm::Mark;
use crate::journal::{look, take_lock};
use crate::scan::{Reach, scan};
use crate::sqlite::{self, Header};
use crate::{assumed, keys};

/// What a ledger looks like.
#[derive(Debug)]
pub struct VerifyReport {
    /// How many facts are sound, from the first.
    pub facts: u64,
    /// The hash of the last sound fact.
    pub head: Option<Chain>,
    /// How often the ledger was repaired, counted from 1.
    pub epoch: Option<u64>,
    /// How far the journal had come by its high-water mark.
    pub marked: Option<u64>,
    /// How many accounts the sound facts add up to.
    pub accounts: usize,
    /// How many holds are open after them.
    pub open_holds: usize,
    /// Why nothing may be enforced from it.
    pub fault: Option<OpenError>,
    /// What is wrong beside the journal: rows of other tables, pages of the database.
    pub damage: Vec<String>,
}

impl VerifyReport {
    /// Whether all is as it was written.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.fault.is_none() && self.damage.is_empty()
    }
}

/// Checks every link of the journal, its high-water mark, what the facts add up to, and the pages of the database.
///
/// # Errors
/// [`OpenError`] where there is nothing to look at, or another process has it. Damage is no error but in the report.
pub fn verify(dir: &Path) -> Result<VerifyReport, OpenError> {
    let files = Files::of(dir);
    let header = sqlite::header(&files.db).map_err(|error| OpenError::unreadable(&files.db, error))?;
    if header == Header::Empty && !files.high_water.exists() {
        return Err(OpenError::unreadable(&files.db, std::io::ErrorKind::NotFound.into()));
    }
    let _lock = take_lock(&files)?;
    let found = match look(&files) {
        Ok(found) => found,
        Err(fault) if fault.is_damage() => return Ok(VerifyReport::nothing_but(fault)),
        Err(fault) => return Err(fault),
    };
    let connection = sqlite::open(&files.db).map_err(|error| OpenError::reading(&files.db, 1, error))?;
    let scan = scan(&connection, &files, found, Reach::Whole, |_| Ok(()));
    let mut damage =
        sqlite::check_pages(&connection, "integrity_check").unwrap_or_else(|error| vec![error.to_string()]);
    damage.extend(assumed::all(&connection, &files.db).err().map(|error| error.to_string()));
    damage.extend(keys::all(&connection, &files.db).err().map(|error| error.to_string()));
    Ok(VerifyReport {
        facts: scan.head.map_or(0, |head| head.seq),
        head: scan.head.map(|head| head.chain),
        epoch: scan.identity.map(|identity| identity.epoch),
        marked: found.mark().map(|mark: Mark| mark.seq),
        accounts: scan.ledger.views(scan.ledger.now()).len(),
        open_holds: scan.ledger.holds().len(),
        fault: scan.fault,
        damage,
    })
}

impl VerifyReport {
    fn nothing_but(fault: OpenError) -> Self {
        let fault = Some(fault);
        Self { facts: 0, head: None, epoch: None, marked: None, accounts: 0, open_holds: 0, fault, damage: Vec::new() }
    }
}
