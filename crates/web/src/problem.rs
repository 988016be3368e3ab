//! What is answered where something is not done: one form for every reason.

use almoner_api::Failure;
use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

/// How long somebody waits who is told to come again, in seconds.
const A_MOMENT_S: u64 = 1;
/// How much of a stranger's word is shown to them again.
const SHOWN_MAX: usize = 64;

/// Why something is not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// In how many seconds the same may be tried again, where that is known.
    pub(crate) retry_after_s: Option<u64>,
    /// The methods that a path takes, where it was asked with another.
    pub(crate) allow: Option<String>,
}

/// Why something is not done, as it travels: `application/problem+json`.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "Problem")]
pub(crate) struct ProblemView {
    /// The status of the answer.
    status: u16,
    /// The status in words.
    title: String,
    /// A stable word for programs.
    code: String,
    /// What happened, with the numbers.
    message: String,
    /// What to do next, where the message does not say it.
    hint: Option<String>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, code: &str, message: impl Into<String>) -> Self {
        let (code, message) = (code.to_owned(), message.into());
        Self { status, code, message, hint: None, retry_after_s: None, allow: None }
    }

    /// A request that cannot be read.
    pub(crate) fn unreadable(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    /// A request that can be read, and asks for what cannot be.
    pub(crate) fn refused(code: &str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    /// The same with what to do about it.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Something here that should not be.
    pub(crate) fn fault(message: impl Into<String>) -> Self {
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "fault", message)
    }

    pub(crate) fn body(&self) -> String {
        let view = ProblemView {
            status: self.status.as_u16(),
            title: self.status.canonical_reason().unwrap_or("Problem").to_owned(),
            code: self.code.clone(),
            message: self.message.clone(),
            hint: self.hint.clone(),
        };
        // Numbers and texts always are JSON.
        serde_json::to_string(&view).unwrap_or_default()
    }
}

impl From<Failure> for Problem {
    fn from(failure: Failure) -> Self {
        let status = status(&failure.code);
        let retry_after_s = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(A_MOMENT_S);
        Self { hint: failure.hint, retry_after_s, ..Self::new(status, &failure.code, failure.message) }
    }
}

/// The status that the code of a failure has.
fn status(code: &str) -> StatusCode {
    match code {
        "no_account" => StatusCode::NOT_FOUND,
        code if code.starts_with("unknown_") => StatusCode::NOT_FOUND,
        "contradiction" | "not_assumed" | "key_exists" | "key_ended" | "token_exists" | "token_ended"
        | "too_many_budgets" => StatusCode::CONFLICT,
        "stopping" | "not_kept" | "history_busy" => StatusCode::SERVICE_UNAVAILABLE,
        "store" | "history" | "fault" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::UNPROCESSABLE_ENTITY,
    }
}

/// A stranger's word as it may be shown to them again: one short line, and no secret, wherever they put it.
pub(crate) fn shown(word: &str) -> String {
    if word.to_ascii_lowercase().contains("alm_") {
        return "***".to_owned();
    }
    let short: String = word.chars().take(SHOWN_MAX).collect();
    short.escape_debug().to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_has_the_status_of_its_code() {
        let check = |code: &str, wanted: u16| assert_eq!(status(code).as_u16(), wanted, "{code}");
        check("unknown_budget", 404);
        check("bad_limit", 422);
        check("key_exists", 409);
        check("stopping", 503);
        check("history_busy", 503);
        check("store", 500);
        check("something new", 422);
    }

    #[test]
    fn a_strangers_word_is_short_and_no_secret() {
        assert_eq!(shown("a\nb"), "a\\nb");
        assert_eq!(shown(&"x".repeat(1000)).len(), SHOWN_MAX);
        assert_eq!(shown("Bearer ALM_token_x"), "***");
    }
}
