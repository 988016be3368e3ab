//! The layers that a setting can come from: flags before the environment before the file before the default.

use std::fmt;
use std::path::PathBuf;

use crate::fields::Fields;
use crate::place::{Location, Place};
use crate::problem::{Fault, Report};
use crate::provider::BASE_URL_VARIABLES;
use crate::telling;
use crate::tree::{Kind, Node};
use almoner_units::nearest;

/// The settings that are one value, each with its default as a person would write it. The file has them under this
/// name, the environment as `ALMONER_` and the name in capitals.
pub(crate) const SCALARS: [(&str, &str); 27] = [
    ("listen", "127.0.0.1:4141"),
    // The folder for state of the platform: it depends on the home of who runs us.
    ("state", ""),
    // Where others than this machine reach us: `true`.
    ("require_key", "false"),
    ("hosts", "localhost"),
    ("no_budgets", "false"),
    ("strict", "false"),
    ("max_output", "32000"),
    ("default_output", "4096"),
    ("wait_max", "30s"),
    ("ping_after", "45s"),
    ("retries", "5"),
    ("stream_idle_max", "60s"),
    ("provider_idle_max", "10m"),
    ("connect_max", "10s"),
    ("drain_max", "30s"),
    ("receive_max", "60s"),
    ("header_bytes_max", "65536"),
    ("body_bytes_max", "33554432"),
    ("bodies_bytes_max", "268435456"),
    ("connections_max", "10000"),
    ("log", "info"),
    ("log_format", "text"),
    ("log_calls", "false"),
    ("otlp", "off"),
    ("history_keep", "90d"),
    ("history_bytes_max", "4294967296"),
    ("history_calls", "false"),
];

/// Variables that begin with `ALMONER_` and are not settings.
const OTHER_VARIABLES: [&str; 2] = ["ALMONER_CONFIG", "ALMONER_KEY"];

/// What a variable for the tests of Almoner begins with.
const TEST_VARIABLES: &str = "ALMONER_TEST_";

/// What people gave on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Flags {
    /// `--config FILE`
    pub config: Option<PathBuf>,
    /// `--state DIR`
    pub state: Option<PathBuf>,
    /// `--listen ADDRESS`
    pub listen: Option<String>,
    /// `--no-budgets`
    pub no_budgets: bool,
    /// `--strict`
    pub strict: bool,
    /// `--personal`
    pub personal: bool,
    /// `--require-key`
    pub require_key: bool,
}

impl Flags {
    /// The flag for a setting, and what it says.
    fn get(&self, key: &str) -> Option<(&'static str, String)> {
        let truth = |flag, given: bool| given.then(|| (flag, "true".to_owned()));
        match key {
            "listen" => self.listen.clone().map(|listen| ("--listen", listen)),
            "state" => self.state.as_ref().map(|state| ("--state", state.to_string_lossy().into_owned())),
            "no_budgets" => truth("--no-budgets", self.no_budgets),
            "strict" => truth("--strict", self.strict),
            "require_key" if self.personal => Some(("--personal", "false".to_owned())),
            "require_key" => truth("--require-key", self.require_key),
            _ => None,
        }
    }
}

/// The environment, as values.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env(Vec<(String, String)>);

impl Env {
    pub(crate) fn new(variables: &[(String, String)]) -> Self {
        Self(variables.to_vec())
    }

    /// What a variable says; one that is empty says nothing.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, value)| known == name && !value.is_empty()).map(|(_, value)| value.as_str())
    }

    /// What a variable says, as a value that errors can point at.
    pub(crate) fn node(&self, name: &str, report: &mut Report) -> Option<Node> {
        self.get(name).map(|value| word("environment", &format!("{name}="), value, report))
    }

    /// Notes a fault for each variable that looks like one of ours and is none.
    pub(crate) fn refuse_unknown(&self, report: &mut Report) {
        let known = known_variables();
        let ours = self.0.iter().map(|(name, _)| name).filter(|name| name.starts_with("ALMONER_"));
        for name in ours.filter(|name| !known.contains(name) && !name.starts_with(TEST_VARIABLES)) {
            // The value is not shown: nobody knows what it is.
            let place = Place { text: report.texts.add("environment", name), span: 0..name.len() };
            let near = nearest(name, known.iter().map(String::as_str));
            report.error(Fault::at(&place, format!("unknown variable {name}")).nearest(near));
        }
    }
}

fn known_variables() -> Vec<String> {
    let scalars = SCALARS.iter().map(|(key, _)| variable(key));
    let others = OTHER_VARIABLES.into_iter().chain(BASE_URL_VARIABLES.map(|(_, variable)| variable));
    scalars.chain(others.map(str::to_owned)).collect()
}

/// The variable for a setting.
fn variable(key: &str) -> String {
    format!("ALMONER_{}", key.to_uppercase())
}

/// Where the value of a setting came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nobody gave it.
    Default,
    /// The configuration file, at this place.
    File(Location),
    /// This variable.
    Environment(String),
    /// This flag.
    Flag(&'static str),
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.pad("default"),
            Self::File(location) => f.pad(&location.to_string()),
            Self::Environment(name) => f.pad(name),
            Self::Flag(name) => f.pad(name),
        }
    }
}

/// A setting as `config print` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its path, such as `listen` or `provider.anthropic.base_url`.
    pub key: String,
    /// Its value as a person would write it; never a secret.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Every layer above the defaults.
pub(crate) struct Layers<'a> {
    pub(crate) flags: &'a Flags,
    pub(crate) env: &'a Env,
    pub(crate) file: Option<Fields<'a>>,
}

/// A value, and where it came from.
pub(crate) struct Found<T> {
    pub(crate) value: T,
    pub(crate) place: Place,
    pub(crate) origin: Origin,
}

impl Layers<'_> {
    /// The value of a setting: from the first layer that has it, though a bad one below is still a fault.
    pub(crate) fn scalar<T>(
        &self,
        key: &str,
        default: &str,
        read: impl Fn(&Node) -> Result<T, Fault>,
        report: &mut Report,
    ) -> Option<Found<T>> {
        let mut given = self.given(key, report);
        if given.is_empty() {
            given.push((word("default", &format!("{key} = "), default, report), Origin::Default));
        }
        let mut values = given.iter().map(|(node, _)| report.take(read(node))).collect::<Option<Vec<T>>>()?;
        let (value, (node, origin)) = (values.swap_remove(0), given.swap_remove(0));
        report.note(key.to_owned(), &printed(&node), origin.clone());
        Some(Found { value, place: node.place, origin })
    }

    /// What each layer says about a setting, the strongest first.
    fn given(&self, key: &str, report: &mut Report) -> Vec<(Node, Origin)> {
        let flag = self
            .flags
            .get(key)
            .map(|(flag, value)| (word("command line", &format!("{flag} "), &value, report), Origin::Flag(flag)));
        let name = variable(key);
        let env = self.env.node(&name, report).map(|node| (node, Origin::Environment(name)));
        let file = self
            .file
            .and_then(|file| file.get(key))
            .map(|node| (node.clone(), Origin::File(report.texts.locate(&node.place))));
        let standard = standard(key, self.env)
            .and_then(|name| Some((self.env.node(name, report)?, Origin::Environment(name.to_owned()))));
        [flag, env, file, standard].into_iter().flatten().collect()
    }
}

/// The variable that says a setting to every program alike, and gives way to what is said to us alone.
fn standard(key: &str, env: &Env) -> Option<&'static str> {
    (key == "otlp" && telling::is_standard_usable(env)).then_some(telling::ENDPOINT_VARIABLE)
}

/// A value without a type of its own, shown behind `before` in a text of its own.
fn word(source: &str, before: &str, value: &str, report: &mut Report) -> Node {
    let line = format!("{before}{value}");
    let place = Place { text: report.texts.add(source, &line), span: before.len()..line.len() };
    Node::written_in(&line, place, Kind::Word(value.to_owned()))
}

fn printed(node: &Node) -> String {
    match &node.kind {
        Kind::Bool(truth) => truth.to_string(),
        Kind::Number(text) | Kind::Text(text) | Kind::Word(text) => text.clone(),
        Kind::List(items) => items.iter().map(printed).collect::<Vec<_>>().join(", "),
        _ => node.what().to_owned(),
    }
}
