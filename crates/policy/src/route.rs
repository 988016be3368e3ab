//! Where a call goes, and where it goes next when something stood in its way.
//!
//! A route is a list of targets in order. A call begins at the first that takes it, and goes on to a later one only for
//! a reason that this one waits for. No target is tried twice, so that no call goes round. It leaves out what a target
//! costs, and whether anybody is there: it is told what happened.

use std::fmt;
use std::str::FromStr;

use almoner_units::{LabelName, Labels, Level, Priority, Span, counts};

/// A way for calls: which ones take it, and where it leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Its name, unique in a config.
    pub name: String,
    /// The labels of the calls that take it; `None`: only those that a budget sends here.
    pub filter: Option<Vec<(LabelName, String)>>,
    /// Where it leads, in order; at least one.
    pub targets: Vec<Target>,
    /// How long a target that another can stand in for may take to begin its answer; `None`: as long as any.
    pub first_byte_max: Option<Span>,
}

/// Where a call can go.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Target {
    /// The provider; `None`: the one that serves the model.
    pub provider: Option<String>,
    /// The model; `None`: the one that the call asks for.
    pub model: Option<String>,
    /// For which reasons a call goes on to it; empty: for any, and without one.
    pub when: Vec<When>,
    /// Which priorities it takes; empty: every one.
    pub priority: Vec<Priority>,
    /// The labels of the calls that it takes.
    pub filter: Vec<(LabelName, String)>,
}

/// A reason to go on to a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// A budget refuses the call at a target before.
    Exhausted,
    /// A budget of the call is at this level, or above.
    LevelAtLeast(Level),
    /// The provider of a target before cannot be reached, or fails.
    ProviderDown,
    /// The provider of a target before says that it gets too many requests.
    RateLimited,
    /// The provider of a target before did not begin to answer in time.
    Timeout,
}

/// What stood in the way of a call at a target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setback {
    /// A budget refused it; the fullest account was at this level.
    Exhausted(Level),
    /// It would have gone, but a budget is at this level.
    Level(Level),
    /// The provider cannot be reached, or failed.
    ProviderDown,
    /// The provider said 429.
    RateLimited,
    /// The provider did not begin to answer in time.
    Timeout,
    /// The target cannot take this call at all.
    Unfit,
}

impl When {
    /// How the reasons are written, each level once.
    pub const WORDS: [&'static str; 8] = [
        "exhausted",
        "level >= warning",
        "level >= soft",
        "level >= hard",
        "level >= critical",
        "provider down",
        "429",
        "timeout",
    ];

    /// Whether this is the reason that a setback gives.
    #[must_use]
    pub fn is_met_by(self, setback: Setback) -> bool {
        match (self, setback) {
            (Self::Exhausted, Setback::Exhausted(_))
            | (Self::ProviderDown, Setback::ProviderDown)
            | (Self::RateLimited, Setback::RateLimited)
            | (Self::Timeout, Setback::Timeout) => true,
            (Self::LevelAtLeast(least), Setback::Exhausted(level) | Setback::Level(level)) => level >= least,
            _ => false,
        }
    }
}

/// A text that names no reason to go on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{}` is no reason to go on; write exhausted, level >= hard, provider down, 429 or timeout", .0.escape_debug())]
pub struct UnknownWhen(pub String);

impl FromStr for When {
    type Err = UnknownWhen;

    fn from_str(text: &str) -> Result<Self, UnknownWhen> {
        let unknown = || UnknownWhen(text.chars().take(64).collect());
        if let Some(level) = text.strip_prefix("level") {
            let level = level.trim_start();
            let level = level.strip_prefix(">=").or_else(|| level.strip_prefix('≥')).ok_or_else(unknown)?.trim();
            let level = Level::ALL.into_iter().find(|known| known.name() == level && *known > Level::None);
            return level.map(Self::LevelAtLeast).ok_or_else(unknown);
        }
        match text {
            "exhausted" => Ok(Self::Exhausted),
            "provider down" => Ok(Self::ProviderDown),
            "429" => Ok(Self::RateLimited),
            "timeout" => Ok(Self::Timeout),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for When {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted => f.write_str("exhausted"),
            Self::LevelAtLeast(level) => write!(f, "level >= {level}"),
            Self::ProviderDown => f.write_str("provider down"),
            Self::RateLimited => f.write_str("429"),
            Self::Timeout => f.write_str("timeout"),
        }
    }
}

impl Route {
    /// Whether a call with these labels takes this route of itself.
    #[must_use]
    pub fn takes(&self, labels: &Labels) -> bool {
        self.filter.as_ref().is_some_and(|filter| counts(filter, labels))
    }
}

impl Target {
    /// Whether a call with these labels and this priority may go here at all.
    #[must_use]
    pub fn takes(&self, labels: &Labels, priority: Priority) -> bool {
        (self.priority.is_empty() || self.priority.contains(&priority)) && counts(&self.filter, labels)
    }

    fn waits_for_any_of(&self, met: &[Setback]) -> bool {
        self.when.is_empty() || self.when.iter().any(|when| met.iter().any(|setback| when.is_met_by(*setback)))
    }
}

/// The targets that lie before a call, and those that it has left behind.
#[derive(Clone, Debug)]
pub struct Trail {
    /// Which targets are still to be tried, in order.
    open: Vec<usize>,
    /// Where the call begins, whatever that target waits for.
    start: Option<usize>,
}

impl Trail {
    /// The targets that take a call, of which none is tried yet. It begins at `start`, where that is one of them.
    #[must_use]
    pub fn new(targets: &[Target], labels: &Labels, priority: Priority, start: Option<usize>) -> Self {
        let open: Vec<usize> =
            targets.iter().enumerate().filter(|(_, target)| target.takes(labels, priority)).map(|(at, _)| at).collect();
        let start = start.filter(|start| open.contains(start));
        Self { open, start }
    }

    /// The target to try next after all that has happened, which is tried from then on; `None` where none is left that
    /// waits for it.
    pub fn advance(&mut self, targets: &[Target], met: &[Setback]) -> Option<usize> {
        let next = self.start.take().or_else(|| self.next(targets, met))?;
        self.open.retain(|at| *at != next);
        Some(next)
    }

    /// Whether there is a target to try if this happens too.
    #[must_use]
    pub fn leads_on(&self, targets: &[Target], met: &[Setback], setback: Setback) -> bool {
        self.next(targets, &[met, &[setback]].concat()).is_some()
    }

    /// The lowest level at which a call that could go leaves for a target that waits for it; `None` where none does.
    #[must_use]
    pub fn leaves_from(&self, targets: &[Target]) -> Option<Level> {
        let level = |when: &When| match when {
            When::LevelAtLeast(level) => Some(*level),
            _ => None,
        };
        self.open.iter().flat_map(|at| targets[*at].when.iter().filter_map(level)).min()
    }

    fn next(&self, targets: &[Target], met: &[Setback]) -> Option<usize> {
        self.open.iter().copied().find(|at| targets[*at].waits_for_any_of(met))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `model: when, when; priority` for each target.
    fn targets(texts: &[&str]) -> Vec<Target> {
        texts.iter().map(|text| target(text)).collect()
    }

    fn target(text: &str) -> Target {
        let (text, priority) = text.split_once(';').unwrap_or((text, ""));
        let (model, when) = text.split_once(':').unwrap_or((text, ""));
        let words = |list: &str| -> Vec<String> {
            list.split(',').map(|word| word.trim().to_owned()).filter(|word| !word.is_empty()).collect()
        };
        Target {
            model: Some(model.to_owned()),
            when: words(when).iter().map(|word| word.parse().unwrap()).collect(),
            priority: words(priority).iter().map(|word| word.parse().unwrap()).collect(),
            ..Target::default()
        }
    }

    /// The models that a call of this priority tries, where each but the last ends in the next of these setbacks.
    #[track_caller]
    fn check(texts: &[&str], priority: Priority, start: Option<usize>, setbacks: &[Setback], tried: &[&str]) {
        let targets = targets(texts);
        let mut trail = Trail::new(&targets, &Labels::new(), priority, start);
        let (mut met, mut models) = (Vec::new(), Vec::new());
        let mut setbacks = setbacks.iter();
        while let Some(at) = trail.advance(&targets, &met) {
            models.push(targets[at].model.clone().unwrap());
            let Some(setback) = setbacks.next() else { break };
            met.push(*setback);
        }
        assert_eq!(models, tried, "{texts:?} {setbacks:?}");
    }

    const ALL: [&str; 4] = ["opus", "haiku: level >= hard, 429", "other: provider down, timeout", "local: exhausted"];

    #[test]
    fn a_call_goes_on_for_the_reason_that_a_target_waits_for() {
        use Priority::Normal;
        check(&ALL, Normal, None, &[], &["opus"]);
        check(&ALL, Normal, None, &[Setback::Exhausted(Level::Critical)], &["opus", "haiku"]);
        check(&ALL, Normal, None, &[Setback::Exhausted(Level::None)], &["opus", "local"]);
        check(&ALL, Normal, None, &[Setback::Level(Level::Hard)], &["opus", "haiku"]);
        check(&ALL, Normal, None, &[Setback::Level(Level::Soft)], &["opus"]);
        check(&ALL, Normal, None, &[Setback::ProviderDown], &["opus", "other"]);
        check(&ALL, Normal, None, &[Setback::Timeout], &["opus", "other"]);
        check(&ALL, Normal, None, &[Setback::RateLimited], &["opus", "haiku"]);
        check(&ALL, Normal, None, &[Setback::Unfit], &["opus"]);
    }

    #[test]
    fn what_happened_at_any_target_before_counts() {
        let setbacks = [Setback::ProviderDown, Setback::Exhausted(Level::None), Setback::ProviderDown];
        check(&ALL, Priority::Normal, None, &setbacks, &["opus", "other", "local"]);
    }

    #[test]
    fn a_target_that_waits_for_nothing_takes_whoever_comes() {
        let targets = ["a", "b", "c"];
        check(&targets, Priority::Normal, None, &[Setback::Unfit, Setback::RateLimited], &["a", "b", "c"]);
    }

    #[test]
    fn no_target_is_tried_twice() {
        let down = [Setback::ProviderDown; 9];
        check(&["a", "b"], Priority::Normal, None, &down, &["a", "b"]);
        check(&["a", "b: provider down"], Priority::Normal, Some(1), &down, &["b", "a"]);
    }

    #[test]
    fn the_priority_of_a_call_decides_where_it_begins() {
        let targets = ["opus;high,critical", "haiku"];
        check(&targets, Priority::High, None, &[], &["opus"]);
        check(&targets, Priority::Low, None, &[], &["haiku"]);
        check(&["opus;high"], Priority::Low, None, &[], &[]);
    }

    #[test]
    fn a_session_begins_where_it_was() {
        check(&ALL, Priority::Normal, Some(3), &[], &["local"]);
        check(&ALL, Priority::Normal, Some(3), &[Setback::ProviderDown], &["local", "opus"]);
        check(&["a", "b;high"], Priority::Low, Some(1), &[], &["a"]);
    }

    #[test]
    fn a_full_budget_sends_a_call_away_only_where_somebody_waits_for_it() {
        let targets = targets(&ALL);
        let mut trail = Trail::new(&targets, &Labels::new(), Priority::Normal, None);
        trail.advance(&targets, &[]);
        assert_eq!(trail.leaves_from(&targets), Some(Level::Hard));
        assert!(trail.leads_on(&targets, &[], Setback::Timeout) && !trail.leads_on(&targets, &[], Setback::Unfit));
        trail.advance(&targets, &[Setback::RateLimited]);
        assert_eq!(trail.leaves_from(&targets), None, "the only one that waits for it has been tried");
    }

    #[test]
    fn every_reason_is_read_as_it_is_written() {
        for word in When::WORDS {
            assert_eq!(word.parse::<When>().unwrap().to_string(), word);
        }
        assert_eq!("level ≥ hard".parse(), Ok(When::LevelAtLeast(Level::Hard)));
        assert_eq!("level>=soft".parse(), Ok(When::LevelAtLeast(Level::Soft)));
        for bad in ["", "level", "level >= none", "level > hard", "Exhausted", "down"] {
            assert!(bad.parse::<When>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_route_without_labels_takes_no_call_of_itself() {
        let route = |filter| Route { name: "r".to_owned(), filter, targets: targets(&["a"]), first_byte_max: None };
        let labels: Labels = [("model".parse().unwrap(), "claude-opus-5".parse().unwrap())].into_iter().collect();
        let opus = |model: &str| Some(vec![("model".parse().unwrap(), model.to_owned())]);
        assert!(!route(None).takes(&labels));
        assert!(route(Some(Vec::new())).takes(&labels) && route(opus("claude-*")).takes(&labels));
        assert!(!route(opus("gpt-*")).takes(&labels));
    }
}
