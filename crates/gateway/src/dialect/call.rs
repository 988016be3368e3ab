//! A call: what a request means to the bound, and what must change in its body before it goes.

use almoner_policy::{Price, ServerTool, Shape};
use hyper::body::Bytes;

use crate::body::{BadBody, Layout, Object, Splice};

/// What a request means, in any dialect.
#[derive(Clone, Debug)]
pub struct Call {
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
    /// Where a stream is asked for the usage that its client did not ask for; its last chunk is withheld.
    pub(super) usage: Option<Place>,
    /// Tools of the provider without a limit of their own.
    pub(super) tools: Vec<Layout>,
    /// The member at the top that limits all of them together, where it has to be added.
    pub(super) limit: Option<&'static str>,
    /// The tools without those of the provider that an agent carries beside its own, where the call can do without.
    pub(super) lean: Option<String>,
    /// How long the body was, so that a plan is not used on another.
    pub(super) length: usize,
}

impl Plan {
    /// A plan in which nothing changes.
    pub(super) const fn of(root: Layout) -> Self {
        Self { root, cap: None, thinking: None, usage: None, tools: Vec::new(), limit: None, lean: None, length: 0 }
    }
}

/// The field that a provider reads the output cap from.
#[derive(Clone, Debug)]
pub(super) struct CapField {
    pub(super) place: Place,
    /// What stands in it now.
    pub(super) sent: Option<u64>,
    /// Other names of it that stand beside it, and go.
    pub(super) aliases: Vec<&'static str>,
}

/// Where a member stands, or would: at the top of a body, or in an object there.
#[derive(Clone, Debug)]
pub(super) struct Place {
    holder: Holder,
    name: &'static str,
}

#[derive(Clone, Debug)]
enum Holder {
    Top,
    There(Layout),
    /// An object of this name has to be made.
    Missing(&'static str),
}

impl Place {
    /// A member at the top of a body.
    pub(super) const fn top(name: &'static str) -> Self {
        Self { holder: Holder::Top, name }
    }

    /// A member of the object `holder` at the top of a body.
    pub(super) fn inside(root: &Object<'_>, holder: &'static str, name: &'static str) -> Result<Self, BadBody> {
        let layout = root.told(holder).map(|value| value.object(holder)).transpose()?.map(|object| object.layout());
        Ok(Self { holder: layout.map_or(Holder::Missing(holder), Holder::There), name })
    }
}

/// A thinking budget, which must stay below the cap.
#[derive(Clone, Debug)]
pub(super) struct Thinking {
    pub(super) layout: Layout,
    pub(super) budget: u64,
    /// What the budget is called.
    pub(super) name: &'static str,
    /// The least that the provider takes.
    pub(super) least: u64,
    /// The member at the top that turns the thinking off, and its value; without one the least budget stands, and the
    /// provider holds the thinking to the cap.
    pub(super) off: Option<(&'static str, &'static str)>,
}

impl Call {
    pub(super) fn of_length(mut self, length: usize) -> Self {
        self.plan.length = length;
        self
    }

    /// The call as a question about its input only.
    pub(super) fn without_output(mut self) -> Self {
        self.asked_output = Some(0);
        self.shape.max_output = Some(0);
        self.plan.cap = None;
        self.plan.thinking = None;
        self.plan.tools.clear();
        self.plan.limit = None;
        self.plan.lean = None;
        self.dropped.clear();
        self
    }

    /// The body without the tools of the provider that the call can do without; `None` where there are none. An agent
    /// carries a web search in every call, and each search can fill a context window.
    #[must_use]
    pub fn lean_body(&self, body: &Bytes) -> Option<Bytes> {
        let tools = self.plan.lean.clone()?;
        let mut splice = Splice::new();
        splice.object(&self.plan.root, &[("tools", tools)], &[]);
        Some(splice.apply(body))
    }

    /// Whether there is a leaner body for the call.
    #[must_use]
    pub fn can_be_lean(&self) -> bool {
        self.plan.lean.is_some()
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

    /// The models that its tools bring in beside its own.
    pub(crate) fn brought(&self) -> impl Iterator<Item = &str> {
        self.brings.iter().map(|(_, model)| model.as_str())
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
        self.plan.usage.is_some()
    }

    /// The body that goes to the provider: the output cap in the field that it reads, and nothing else touched that
    /// does not depend on it. It never raises what was asked. The same bytes where nothing has to change.
    ///
    /// Where the cap is lowered, a thinking budget that is not below it becomes a power of two of at most half of it,
    /// so that half is left for the answer and the budget, which is part of the prompt cache's key, does not change
    /// with every call. Under twice the least budget there is no room for both, and the thinking is turned off, where
    /// it can be.
    ///
    /// # Panics
    /// Where `body` is not the one that the call was read from.
    #[must_use]
    pub fn rewrite(&self, body: &Bytes, cap: u64) -> Bytes {
        assert_eq!(body.len(), self.plan.length, "a call rewrites the body it was read from");
        let mut changes = Changes::default();
        if let Some(field) = &self.plan.cap {
            let cap = self.asked_output.map_or(cap, |asked| asked.min(cap));
            let set = (field.sent != Some(cap)).then(|| cap.to_string());
            if set.is_some() {
                self.think_below(cap, &mut changes);
            }
            changes.put(&field.place, set, &field.aliases);
        }
        if let Some(usage) = &self.plan.usage {
            changes.put(usage, Some("true".to_owned()), &[]);
        }
        for tool in &self.plan.tools {
            changes.splice.object(tool, &[("max_uses", super::TOOL_USES_MAX.to_string())], &[]);
        }
        changes.set.extend(self.plan.limit.map(|name| (name, super::TOOL_USES_MAX.to_string())));
        changes.removed.extend(&self.dropped);
        changes.splice.object(&self.plan.root, &changes.set, &changes.removed);
        changes.splice.apply(body)
    }

    fn think_below(&self, cap: u64, changes: &mut Changes) {
        match &self.plan.thinking {
            Some(thinking) if thinking.budget >= cap => match (budget_below(cap, thinking.least), thinking.off) {
                (None, Some((name, off))) => changes.set.push((name, off.to_owned())),
                (budget, _) => {
                    let budget = budget.unwrap_or(thinking.least).min(thinking.budget);
                    changes.splice.object(&thinking.layout, &[(thinking.name, budget.to_string())], &[]);
                }
            },
            _ => {}
        }
    }
}

/// The changes of a body: those at its top are collected, because an object is changed once.
#[derive(Default)]
struct Changes {
    splice: Splice,
    set: Vec<(&'static str, String)>,
    removed: Vec<&'static str>,
}

impl Changes {
    /// Sets a member, where there is something to set, and removes others beside it.
    fn put(&mut self, place: &Place, value: Option<String>, beside: &[&'static str]) {
        match &place.holder {
            Holder::Top => {
                self.set.extend(value.map(|value| (place.name, value)));
                self.removed.extend(beside);
            }
            Holder::There(layout) => {
                let set: Vec<_> = value.map(|value| (place.name, value)).into_iter().collect();
                self.splice.object(layout, &set, beside);
            }
            Holder::Missing(holder) => {
                self.set.extend(value.map(|value| (*holder, format!("{{\"{}\":{value}}}", place.name))));
            }
        }
    }
}

/// The largest power of two that is at most half of `cap`, and enough to think with.
fn budget_below(cap: u64, least: u64) -> Option<u64> {
    let half = cap / 2;
    (half >= least).then(|| 1 << half.ilog2())
}

#[cfg(test)]
mod call_tests {
    use super::*;
    use crate::body::Document;

    /// A body in which a cap of 9 is put at `options.num_predict`, and its other name taken away.
    fn capped(body: &str) -> String {
        let document = Document::read(body.as_bytes()).unwrap();
        let root = document.root().unwrap();
        let mut changes = Changes::default();
        let place = Place::inside(&root, "options", "num_predict").unwrap();
        changes.put(&place, Some("9".to_owned()), &["n_predict"]);
        changes.splice.object(&root.layout(), &changes.set, &changes.removed);
        String::from_utf8(changes.splice.apply(&Bytes::copy_from_slice(body.as_bytes())).to_vec()).unwrap()
    }

    #[test]
    fn a_cap_may_stand_in_an_object() {
        assert_eq!(capped(r#"{"model":"m"}"#), r#"{"model":"m","options":{"num_predict":9}}"#);
        assert_eq!(capped(r#"{"options":null}"#), r#"{"options":{"num_predict":9}}"#);
        assert_eq!(capped(r#"{"options":{"a":1}}"#), r#"{"options":{"a":1,"num_predict":9}}"#);
        let both = r#"{"options":{"n_predict":7,"num_predict":-1}}"#;
        assert_eq!(capped(both), r#"{"options":{"num_predict":9}}"#);
    }
}
