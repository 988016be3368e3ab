//! What a server tells of itself: the form of its log.

/// The form of a log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// How grave a line of the log is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// What happens.
    #[default]
    Info,
    /// What somebody should look at.
    Warn,
    /// What has failed.
    Error,
}

impl LogLevel {
    /// The word for it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// The levels by their words.
pub(crate) const LEVELS: [(&str, LogLevel); 3] =
    [("info", LogLevel::Info), ("warn", LogLevel::Warn), ("error", LogLevel::Error)];
/// The forms by their words.
pub(crate) const FORMATS: [(&str, LogFormat); 2] = [("text", LogFormat::Text), ("json", LogFormat::Json)];
