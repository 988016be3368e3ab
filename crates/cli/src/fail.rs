//! How a command fails: words for the person, one JSON object for a program that asked for it, one exit code for both.

use std::fmt::Display;
use std::process::ExitCode;

use almoner_api::Failure;
use almoner_config::{ConfigErrors, Problem};
use serde_json::json;

use crate::show;

/// The exit code of a command line that cannot be read, as shells and `clap` have it.
const USAGE: u8 = 2;

/// Why a command came to nothing.
#[derive(Debug)]
pub(crate) struct Failed {
    code: String,
    message: String,
    hint: Option<String>,
}

/// Where a failure is told as JSON, and whether at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// In words, on standard error.
    Words,
    /// In words on standard error, and as JSON where the facts would have been.
    Json,
    /// As JSON on standard error, because standard output belongs to somebody else's command.
    JsonAside,
}

impl Failed {
    /// A failure by its stable word for programs.
    pub(crate) fn new(code: &str, message: impl Display) -> Self {
        Self { code: code.to_owned(), message: message.to_string(), hint: None }
    }

    /// With what to do about it.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// What happened and what to do, as a person reads it.
    fn in_words(&self) -> String {
        match &self.hint {
            Some(hint) if !self.message.contains(hint.as_str()) => format!("{}; {hint}", self.message),
            _ => self.message.clone(),
        }
    }

    fn as_json(&self) -> serde_json::Value {
        json!({ "error": { "code": self.code, "message": self.message, "hint": self.hint } })
    }

    /// Tells it, and gives the exit code.
    pub(crate) fn report(&self, manner: Manner) -> ExitCode {
        self.tell(manner);
        ExitCode::FAILURE
    }

    /// Tells it.
    #[allow(clippy::print_stderr)]
    pub(crate) fn tell(&self, manner: Manner) {
        match manner {
            Manner::JsonAside => eprintln!("{}", self.as_json()),
            Manner::Words => eprintln!("almoner: {}", self.in_words()),
            Manner::Json => {
                eprintln!("almoner: {}", self.in_words());
                show::line(self.as_json());
            }
        }
    }
}

/// Tells of a command line that cannot be read, or of the help that it asked for, and gives the exit code.
pub(crate) fn misspoken(error: &clap::Error) -> ExitCode {
    // Whoever closed the pipe has nothing more to be told.
    drop(error.print());
    if error.use_stderr() && asks_for_json() {
        let text = error.render().to_string();
        let (message, rest) = text.split_once("\n\n").unwrap_or((text.as_str(), ""));
        let tip = rest.lines().find_map(|line| line.trim().strip_prefix("tip: "));
        let failed = Failed::new("usage", message.trim_start_matches("error: ").trim());
        show::line(failed.hint(tip.unwrap_or("try `--help`")).as_json());
    }
    ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(USAGE))
}

/// Whether a command line that cannot be read has `--json` among what is ours.
fn asks_for_json() -> bool {
    std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json")
}

impl From<Failure> for Failed {
    fn from(failure: Failure) -> Self {
        Self { code: failure.code, message: failure.message, hint: failure.hint }
    }
}

impl From<ConfigErrors> for Failed {
    fn from(errors: ConfigErrors) -> Self {
        let hint = errors.problems().iter().find_map(|problem: &Problem| problem.help.clone());
        Self { code: "config".to_owned(), message: errors.to_string(), hint }
    }
}

impl From<almoner_units::LimitError> for Failed {
    fn from(error: almoner_units::LimitError) -> Self {
        let hint = error.meant().map(|meant| format!("did you mean `{meant}`?"));
        Self { hint, ..Self::new("bad_limit", error) }
    }
}

/// Failures that are one word for programs and their own text for people.
macro_rules! coded {
    ($($error:ty => $code:literal),+ $(,)?) => {
        $(impl From<$error> for Failed {
            fn from(error: $error) -> Self {
                Self::new($code, error)
            }
        })+
    };
}

coded! {
    almoner_daemon::ServeError => "cannot_serve",
    almoner_daemon::OfflineError => "ledger",
    almoner_units::MoneyError => "bad_amount",
    almoner_units::SpanError => "bad_span",
    std::io::Error => "io",
    serde_json::Error => "fault",
}

/// What a command comes to.
pub(crate) type Outcome = Result<ExitCode, Failed>;
