//! How a command fails: one message for the person, one exit code for the program.

use std::fmt::Display;
use std::process::ExitCode;

/// A message for the person who typed the command.
#[derive(Debug)]
pub(crate) struct Failed(String);

impl Failed {
    pub(crate) fn new(message: impl Display) -> Self {
        Self(message.to_string())
    }

    /// Prints the message and gives the exit code.
    #[allow(clippy::print_stderr)]
    pub(crate) fn report(&self) -> ExitCode {
        eprintln!("almoner: {}", self.0);
        ExitCode::FAILURE
    }
}

impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

/// What a command comes to.
pub(crate) type Outcome = Result<ExitCode, Failed>;
