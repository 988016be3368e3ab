//! What is done to a ledger while no server runs on it.

use std::path::{Path, PathBuf};

use almoner_store::{OpenError, RepairError, RepairMode, repair, verify};
use almoner_units::counted;

use crate::clock;

/// Why a ledger could not be looked at or mended.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
    /// Nothing was ever kept there.
    #[error("there is no ledger in {} yet: `almoner serve` or `almoner exec` makes one; or name its folder with --state", .0.display())]
    None(PathBuf),
    /// It cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// It cannot be repaired.
    #[error(transparent)]
    Repair(#[from] RepairError),
    /// It is damaged; the text says how.
    #[error("{0}")]
    Damaged(String),
}

/// A ledger in which every row is as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sound {
    /// How many facts it has.
    pub facts: u64,
    /// How many accounts they open.
    pub accounts: u64,
    /// How many holds stand open.
    pub open_holds: u64,
    /// The head of its chain; empty where there is no ledger yet.
    pub head: String,
}

impl std::fmt::Display for Sound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { facts, accounts, open_holds, head } = self;
        let (facts, accounts) = (counted(*facts, "fact"), counted(*accounts, "account"));
        write!(f, "sound: {facts}, {accounts}, {}; head {head}", counted(*open_holds, "open hold"))
    }
}

/// Whether a folder has nothing of a ledger in it, not even the mark of how far one had come.
fn is_untouched(state: &Path) -> bool {
    !["ledger.db", "ledger.hwm"].iter().any(|name| state.join(name).exists())
}

/// Checks every row of the ledger in `state`.
///
/// # Errors
/// [`OfflineError`] where it is damaged, or cannot be looked at.
pub fn verify_ledger(state: &Path) -> Result<Sound, OfflineError> {
    if is_untouched(state) {
        return Err(OfflineError::None(state.to_owned()));
    }
    let report = verify(state)?;
    if report.is_sound() {
        return Ok(Sound {
            facts: report.facts,
            accounts: report.accounts as u64,
            open_holds: report.open_holds as u64,
            head: report.head.map(|head| head.to_string()).unwrap_or_default(),
        });
    }
    let fault = report.fault.iter().map(ToString::to_string);
    Err(OfflineError::Damaged(fault.chain(report.damage).collect::<Vec<_>>().join("\n")))
}

/// Cuts the ledger in `state` back to its last good row; with `charge_gap` what was lost counts as spent.
///
/// # Errors
/// [`OfflineError`] where it is sound, or cannot be mended.
pub fn repair_ledger(state: &Path, charge_gap: bool) -> Result<String, OfflineError> {
    if is_untouched(state) {
        return Err(OfflineError::None(state.to_owned()));
    }
    let mode = if charge_gap { RepairMode::ChargeGap } else { RepairMode::AcceptLoss };
    let report = repair(state, mode, clock::read().wall)?;
    let lost = report.lost.map_or_else(|| "an unknown number".to_owned(), |lost| lost.to_string());
    let mut text = format!(
        "kept {}, lost {lost}; assumed {}, charged {} for the gap; the damaged files are beside {}",
        counted(report.kept, "fact"),
        counted(report.assumed.len() as u64, "open hold"),
        counted(report.charged.len() as u64, "account"),
        report.moved_to.display()
    );
    if !report.may_have_lost_accounts.is_empty() {
        let names: Vec<&str> = report.may_have_lost_accounts.iter().map(almoner_units::BudgetName::as_str).collect();
        text.push_str(&format!("\naccounts that were opened in the lost part begin anew in: {}", names.join(", ")));
    }
    Ok(text)
}
