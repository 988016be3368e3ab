//! What is wrong, where, and what to write instead.

use std::fmt;

use annotate_snippets::{AnnotationKind, Element, Level, Renderer, Snippet, normalize_untrusted_str};

use crate::layers::{Origin, Setting};
use crate::mask::masked_message;
use crate::place::{Location, Place, Texts};

/// The most problems that one load reports: a person mends a few at a time, and a hostile file has a million.
const PROBLEMS_MAX: usize = 50;

/// The longest message; a longer one quotes something that no person wrote.
const MESSAGE_CHARS_MAX: usize = 600;

/// One thing that is wrong, or that should be known, with the place it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in one sentence.
    pub message: String,
    /// Where, if it stands anywhere.
    pub location: Option<Location>,
    /// What to write instead, or what else to know.
    pub help: Option<String>,
    rendered: String,
}

impl Problem {
    /// The same as it is shown, but for the word before it that says how bad it is.
    #[must_use]
    pub fn unranked(&self) -> &str {
        self.rendered.split_once(": ").map_or(self.rendered.as_str(), |(_, rest)| rest)
    }
}

impl fmt::Display for Problem {
    /// As a compiler shows it: the message, the line, carets under the place, the help.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rendered)
    }
}

/// Everything that is wrong with a configuration, in the order in which it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigErrors(Vec<Problem>);

impl ConfigErrors {
    /// Each problem; at least one, and at most fifty.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.0
    }
}

impl std::error::Error for ConfigErrors {}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown: Vec<&str> = self.0.iter().map(|problem| problem.rendered.as_str()).collect();
        f.write_str(&shown.join("\n\n"))
    }
}

/// A problem before it is shown.
#[derive(Debug)]
pub(crate) struct Fault {
    message: String,
    at: Option<Place>,
    also: Option<(Place, &'static str)>,
    help: Option<String>,
}

impl Fault {
    /// A fault that stands nowhere in particular.
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self { message: clean(&message.into()), at: None, also: None, help: None }
    }

    pub(crate) fn at(place: &Place, message: impl Into<String>) -> Self {
        Self { at: Some(place.clone()), ..Self::new(message) }
    }

    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(clean(&help.into()));
        self
    }

    /// Offers the nearest valid word, if one is near.
    pub(crate) fn nearest(mut self, word: Option<&str>) -> Self {
        if let Some(word) = word {
            self.help = Some(format!("did you mean `{word}`?"));
        }
        self
    }

    /// Points at a second place, with what stands there.
    pub(crate) fn also(mut self, place: &Place, label: &'static str) -> Self {
        self.also = Some((place.clone(), label));
        self
    }

    fn show(self, texts: &Texts, level: Level<'_>) -> Problem {
        let rendered =
            Renderer::plain().render(&[level.primary_title(self.message.as_str()).elements(self.elements(texts))]);
        let location = self.at.as_ref().map(|place| texts.locate(place));
        Problem { message: self.message, location, help: self.help, rendered }
    }

    fn elements<'a>(&'a self, texts: &'a Texts) -> Vec<Element<'a>> {
        let places = self.at.iter().map(|place| (place, AnnotationKind::Primary, None));
        let also = self.also.iter().map(|(place, label)| (place, AnnotationKind::Context, Some(*label)));
        let mut snippets: Vec<(usize, Snippet<'a, annotate_snippets::Annotation<'a>>)> = Vec::new();
        for (place, kind, label) in places.chain(also) {
            let annotation = kind.span(texts.first_line(place)).label(label);
            match snippets.iter_mut().find(|(text, _)| *text == place.text) {
                Some((_, snippet)) => *snippet = snippet.clone().annotation(annotation),
                None => {
                    let text = texts.get(place);
                    let snippet = Snippet::source(text.shown.as_str()).path(text.name.as_str()).annotation(annotation);
                    snippets.push((place.text, snippet));
                }
            }
        }
        let help = self.help.iter().map(|help| Level::HELP.message(help.as_str()).into());
        snippets.into_iter().map(|(_, snippet)| snippet.into()).chain(help).collect()
    }
}

/// What one load has found wrong so far.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) texts: Texts,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
    origins: Vec<Setting>,
    /// The names of providers that are there, and wrong.
    pub(crate) wrong_providers: Vec<String>,
}

impl Report {
    pub(crate) fn error(&mut self, fault: Fault) {
        push(&mut self.faults, fault);
    }

    pub(crate) fn warn(&mut self, fault: Fault) {
        push(&mut self.warnings, fault);
    }

    /// The value, or `None` with its fault noted.
    pub(crate) fn take<T>(&mut self, result: Result<T, Fault>) -> Option<T> {
        result.map_err(|fault| self.error(fault)).ok()
    }

    /// Notes what a setting is and where it came from; a later note about the same setting wins.
    pub(crate) fn note(&mut self, key: String, value: &str, origin: Origin) {
        let setting = Setting { key, value: value.to_owned(), origin };
        match self.origins.iter_mut().find(|known| known.key == setting.key) {
            Some(known) => *known = setting,
            None => self.origins.push(setting),
        }
    }

    pub(crate) fn is_clean(&self) -> bool {
        self.faults.is_empty()
    }

    /// Where each setting came from and what to warn of, or the errors if there are any.
    pub(crate) fn finish(self) -> Result<(Vec<Setting>, Vec<Problem>), ConfigErrors> {
        if self.is_clean() {
            return Ok((self.origins, shown(self.warnings, &self.texts, &Level::WARNING)));
        }
        Err(ConfigErrors(shown(self.faults, &self.texts, &Level::ERROR)))
    }
}

/// A message as it may be shown: of bounded length, without control characters and what looks like a secret.
fn clean(message: &str) -> String {
    let short: String = message.chars().take(MESSAGE_CHARS_MAX).collect();
    normalize_untrusted_str(&masked_message(&short))
}

fn push(faults: &mut Vec<Fault>, fault: Fault) {
    if faults.len() < PROBLEMS_MAX {
        faults.push(fault);
    }
}

fn shown(mut faults: Vec<Fault>, texts: &Texts, level: &Level<'static>) -> Vec<Problem> {
    faults.sort_by_key(|fault| fault.at.as_ref().map(|place| (place.text, place.span.start)));
    faults.into_iter().map(|fault| fault.show(texts, level.clone())).collect()
}
