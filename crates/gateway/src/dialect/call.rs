//! A call: what a request means to the bound, and what must change in its body before it goes.

use almoner_policy::{Price, ServerTool, Shape};
use hyper::body::Bytes;

use crate::body::{Layout, Splice};
use crate::route::Route;

/// What a request means, in any dialect.
#[derive(Clone, Debug)]
pub struct Call {
    /// The route it came by.
    pub route: Route,
    /// The model it asks for.
    pub model: String,
    /// Whether it asks for a stream.
    pub stream: bool,
    /// Whether its input is messages of plain text and nothing else, so that it can be counted here.
    pub is_plain: bool,
    /// What the bound needs to know. Its `unknown` names what nobody here knows.
    pub shape: Shape,
    /// The output it asks for; `None` where it does not say.
    pub asked_output: Option<u64>,
    /// The session it names in its body.
    pub session: Option<String>,
    /// Whether the client itself asked a chat stream for usage; where it did not, its last chunk is withheld.
    pub wants_usage: bool,
    /// Members that are taken out of the body, because what they allow cannot be bounded.
    pub dropped: Vec<&'static str>,
    /// Which of the server tools bring in another model, and which.
    pub(super) brings: Vec<(usize, String)>,
    pub(super) plan: Plan,
}

/// A model that a tool would bring in, and that has no price.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{tool}` brings in `{model}`, which has no price; add it as a [[price]], or leave the tool out")]
pub struct UnknownModel {
    /// The tool.
    pub tool: String,
    /// The model, in printable form.
    pub model: String,
}

/// The places in a body that may have to change.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) root: Layout,
    /// The field that holds the cap; `None` for what has no output.
    pub(super) cap: Option<CapField>,
    pub(super) thinking: Option<Thinking>,
    pub(super) usage: UsageField,
    /// Tools of the provider without a limit of their own.
    pub(super) tools: Vec<Layout>,
    /// How long the body was, so that a plan is not used on another.
    pub(super) length: usize,
}

/// The field that a provider reads the output cap from.
#[derive(Clone, Debug)]
pub(super) struct CapField {
    pub(super) name: &'static str,
    /// What stands in it now.
    pub(super) sent: Option<u64>,
    /// Other names of it that stand in the body, and go.
    pub(super) aliases: Vec<&'static str>,
}

/// A thinking budget, which must stay below the cap.
#[derive(Clone, Debug)]
pub(super) struct Thinking {
    pub(super) layout: Layout,
    pub(super) budget: u64,
}

/// Where a chat stream is asked for its usage.
#[derive(Clone, Debug)]
pub(super) enum UsageField {
    /// Nothing has to change.
    Leave,
    /// The options have to be made.
    Make,
    /// The options stand there without it.
    SetIn(Layout),
}

/// The least thinking budget that Anthropic takes.
const THINKING_MIN: u64 = 1024;

impl Call {
    pub(super) fn is_for(&mut self, route: Route, length: usize) {
        self.route = route;
        self.plan.length = length;
    }

    /// The call as a question about its input only.
    pub(super) fn without_output(mut self) -> Self {
        self.asked_output = Some(0);
        self.shape.max_output = Some(0);
        self.plan.cap = None;
        self.plan.thinking = None;
        self.plan.tools.clear();
        self.dropped.clear();
        self
    }

    /// Looks up the prices of the models that its tools bring in.
    ///
    /// # Errors
    /// [`UnknownModel`] where one has none: its tool has no bound then.
    pub fn bring(&mut self, price: impl Fn(&str) -> Option<Price>) -> Result<(), UnknownModel> {
        for (at, model) in &self.brings {
            let tool: &mut ServerTool = &mut self.shape.server_tools[*at];
            let unknown = || UnknownModel { tool: tool.name.clone(), model: super::printable(model) };
            tool.brings = Some(price(model).ok_or_else(unknown)?);
        }
        Ok(())
    }

    /// What `strict = true` refuses, by name: members, betas and parts that nobody here knows.
    #[must_use]
    pub fn refused_when_strict(&self) -> &[String] {
        &self.shape.unknown
    }

    /// Whether the provider's count of its tokens can stand for all of its input: nobody knows whether it counts a
    /// member that nobody here knows.
    #[must_use]
    pub fn is_countable(&self) -> bool {
        self.shape.unknown.is_empty() && self.shape.opaque.is_empty()
    }

    /// Whether the last chunk of the answer is usage that the client did not ask for.
    #[must_use]
    pub fn adds_usage(&self) -> bool {
        !matches!(self.plan.usage, UsageField::Leave)
    }

    /// The body that goes to the provider: the output cap in the field that it reads, and nothing else touched that
    /// does not depend on it. It never raises what was asked. The same bytes where nothing has to change.
    ///
    /// Where the cap is lowered, a thinking budget that is not below it becomes a power of two of at most half of it,
    /// so that half is left for the answer and the budget, which is part of the prompt cache's key, does not change
    /// with every call. Under twice the least budget there is no room for both, and the thinking is turned off.
    ///
    /// # Panics
    /// Where `body` is not the one that the call was read from.
    #[must_use]
    pub fn rewrite(&self, body: &Bytes, cap: u64) -> Bytes {
        assert_eq!(body.len(), self.plan.length, "a call rewrites the body it was read from");
        let mut splice = Splice::new();
        let mut set = Vec::new();
        let mut removed = self.dropped.clone();
        if let Some(field) = &self.plan.cap {
            let cap = self.asked_output.map_or(cap, |asked| asked.min(cap));
            if field.sent != Some(cap) {
                set.push((field.name, cap.to_string()));
                self.think_below(cap, &mut splice, &mut set);
            }
            removed.extend(&field.aliases);
        }
        match &self.plan.usage {
            UsageField::Leave => {}
            UsageField::Make => set.push(("stream_options", r#"{"include_usage":true}"#.to_owned())),
            UsageField::SetIn(options) => splice.object(options, &[("include_usage", "true".to_owned())], &[]),
        }
        for tool in &self.plan.tools {
            splice.object(tool, &[("max_uses", super::TOOL_USES_MAX.to_string())], &[]);
        }
        splice.object(&self.plan.root, &set, &removed);
        splice.apply(body)
    }

    fn think_below(&self, cap: u64, splice: &mut Splice, set: &mut Vec<(&'static str, String)>) {
        match &self.plan.thinking {
            Some(thinking) if thinking.budget >= cap => match budget_below(cap) {
                Some(budget) => splice.object(&thinking.layout, &[("budget_tokens", budget.to_string())], &[]),
                None => set.push(("thinking", r#"{"type":"disabled"}"#.to_owned())),
            },
            _ => {}
        }
    }
}

/// The largest power of two that is at most half of `cap`, and enough to think with.
fn budget_below(cap: u64) -> Option<u64> {
    let half = cap / 2;
    (half >= THINKING_MIN).then(|| 1 << half.ilog2())
}
