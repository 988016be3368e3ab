//! What is done to a ledger while no server runs on it.

use std::path::Path;

use almoner_store::{OpenError, RepairError, RepairMode, repair, verify};

use crate::clock;

/// Why a ledger could not be looked at or mended.
#[derive(Debug, thiserror::Error)]
pub enum OfflineError {
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
        write!(f, "sound: {facts} facts, {accounts} accounts, {open_holds} open holds; head {head}")
    }
}

/// Checks every row of the ledger in `state`.
///
/// # Errors
/// [`OfflineError`] where it is damaged, or cannot be looked at.
pub fn verify_ledger(state: &Path) -> Result<Sound, OfflineError> {
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
    let mode = if charge_gap { RepairMode::ChargeGap } else { RepairMode::AcceptLoss };
    let report = repair(state, mode, clock::read().wall)?;
    let lost = report.lost.map_or_else(|| "an unknown number".to_owned(), |lost| lost.to_string());
    let mut text = format!(
        "kept {} facts, lost {lost}; {} open holds are assumed, {} accounts are charged for the gap; the damaged files \
         are beside {}",
        report.kept,
        report.assumed.len(),
        report.charged.len(),
        report.moved_to.display()
    );
    if !report.may_have_lost_accounts.is_empty() {
        let names: Vec<&str> = report.may_have_lost_accounts.iter().map(almoner_units::BudgetName::as_str).collect();
        text.push_str(&format!("\naccounts that were opened in the lost part begin anew in: {}", names.join(", ")));
    }
    Ok(text)
}
