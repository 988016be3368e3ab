//! A configuration to start from.

/// A configuration file with everything that is often set, explained.
#[must_use]
pub fn sample() -> &'static str {
    include_str!("sample.toml")
}
