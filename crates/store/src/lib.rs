//! The journal on disk, and history.
