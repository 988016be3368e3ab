//! How many bytes of text a value gives the model to read.

use almoner_policy::{Shape, text_bytes_nfkc};

use crate::body::Value;

/// Bytes of text, raw and after NFKC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Weight {
    bytes: usize,
    nfkc: usize,
}

impl Weight {
    /// A value as text: its texts and names without JSON's escapes, and all that stands between them, because
    /// whatever frame a provider puts around a text is hardly longer than JSON's.
    pub(super) fn text(value: Value<'_>) -> Self {
        let mut bytes = value.raw().len();
        let mut growth = 0;
        for text in value.texts() {
            let meant = text.text().unwrap_or_default();
            // No escape is shorter than what it means.
            bytes -= text.raw().len() - 2 - meant.len();
            growth += text_bytes_nfkc(&meant).saturating_sub(meant.len());
        }
        Self { bytes, nfkc: bytes + growth }
    }

    /// A value that the model reads as JSON: as it stands, with a space more for each value and name, because a
    /// provider may write it anew in a looser form.
    pub(super) fn json(value: Value<'_>) -> Self {
        let bytes = value.raw().len() + value.size();
        let growth: usize = value
            .texts()
            .map(|text| text.text().unwrap_or_default())
            .map(|meant| text_bytes_nfkc(&meant).saturating_sub(meant.len()))
            .sum();
        Self { bytes, nfkc: bytes + growth }
    }

    pub(super) fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.nfkc = self.nfkc.saturating_add(other.nfkc);
    }

    /// The weight of a text that is read so often.
    pub(super) fn times(self, often: u64) -> Self {
        let often = usize::try_from(often).unwrap_or(usize::MAX);
        Self { bytes: self.bytes.saturating_mul(often), nfkc: self.nfkc.saturating_mul(often) }
    }

    /// Takes away what was weighed before as text, and is none.
    pub(super) fn take(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_sub(other.bytes);
        self.nfkc = self.nfkc.saturating_sub(other.nfkc);
    }

    /// Room for what no body shows, such as a provider's own description of a tool.
    pub(super) fn add_hidden(&mut self, bytes: usize) {
        self.add(Self { bytes, nfkc: bytes });
    }

    pub(super) fn tell(self, shape: &mut Shape) {
        shape.text_bytes = u64::try_from(self.bytes).unwrap_or(u64::MAX);
        shape.text_bytes_nfkc = u64::try_from(self.nfkc).unwrap_or(u64::MAX);
    }
}
