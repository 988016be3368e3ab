//! OpenAI Embeddings: texts in, numbers out, and nothing written.

use almoner_meter::Dialect as Metered;

use super::call::{Call, Plan};
use super::chat::COMPLETIONS;
use super::endpoint::{Asks, Counts, Endpoint, Request};
use super::members::{Member, Members};
use super::prompts::add_prompts;
use super::sheet::Sheet;
use crate::body::BadBody;

/// Embeddings.
pub(super) const EMBEDDINGS: Endpoint = Endpoint {
    path: "/v1/embeddings",
    asks: Asks::Answer,
    meter: Metered::OpenAiEmbeddings,
    counts: Counts::Nobody,
    read,
    ..COMPLETIONS
};

/// Every documented member of a request, and what servers of open models take beside them.
const MEMBERS: &Members = &[
    ("dimensions", Member::Neutral),
    ("encoding_format", Member::Neutral),
    ("input", Member::Setting),
    ("input_type", Member::Setting),
    ("model", Member::Setting),
    ("truncate", Member::Neutral),
    ("user", Member::Neutral),
];

/// What a server puts before each input to tell its model what it is for, at most: a sentence. Voyage's has 57 bytes.
const INSTRUCTION: usize = 64;

/// Reads the body of a request.
fn read(request: &Request<'_>) -> Result<Call, BadBody> {
    let root = request.root;
    let mut sheet = Sheet::of(root, MEMBERS);
    add_prompts(&mut sheet, root, "input")?;
    if root.told("input_type").is_some() {
        let inputs = usize::try_from(sheet.shape.inputs).unwrap_or(usize::MAX);
        sheet.weight.add_hidden(INSTRUCTION.saturating_mul(inputs));
    }
    sheet.shape.max_output = Some(0);
    Ok(Call {
        model: request.model()?,
        stream: false,
        is_plain: false,
        shape: sheet.shape(),
        asked_output: Some(0),
        session: None,
        dropped: Vec::new(),
        brings: Vec::new(),
        plan: Plan::of(root.layout()),
    })
}
