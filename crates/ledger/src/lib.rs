//! The pure two-phase ledger: reserve, settle, release, expire, correct.
