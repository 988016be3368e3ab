//! What is wrong with a request, before a dialect gives it its form.

/// A refusal: a status, and a sentence for the person who reads it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) status: u16,
    pub(crate) message: String,
}

impl Fault {
    /// The request cannot be read or makes no sense.
    pub(crate) fn bad_request(message: impl Into<String>) -> Self {
        Self { status: 400, message: message.into() }
    }

    /// The model is not the rehearsal's.
    pub(crate) fn unknown_model(model: &str) -> Self {
        let message = format!("the rehearsal provider has one model, `{}`, and not `{model}`", crate::MODEL);
        Self { status: 404, message }
    }

    /// The script asked for it.
    pub(crate) fn scripted(status: u16) -> Self {
        Self { status, message: format!("rehearsed failure: the prompt says `fail: {status}`") }
    }
}
