//! What a call consumed, as its provider told it.

/// What a call consumed, in tokens; `None` is what the provider did not say, and unknown is not 0.
///
/// The parts do not overlap, except `reasoning`, which is the part of `output` that was reasoning.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input that was neither read from nor written to a cache.
    pub input: Option<u64>,
    /// Input that was read from a cache.
    pub cache_read: Option<u64>,
    /// Input that was written to a cache that lives five minutes, or whose life the provider does not tell.
    pub cache_write_5m: Option<u64>,
    /// Input that was written to a cache that lives an hour.
    pub cache_write_1h: Option<u64>,
    /// Everything billed as output, reasoning included.
    pub output: Option<u64>,
    /// The part of `output` that was reasoning.
    pub reasoning: Option<u64>,
}

impl Usage {
    /// Whether the provider told anything at all.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.input.is_some() || self.output.is_some() || self.cache_read.is_some()
    }

    /// Input of every kind; what is unknown counts nothing here, so ask [`Usage::is_known`] first.
    #[must_use]
    pub fn input_total(&self) -> u64 {
        [self.input, self.cache_read, self.cache_write_5m, self.cache_write_1h]
            .into_iter()
            .flatten()
            .fold(0, u64::saturating_add)
    }
}
