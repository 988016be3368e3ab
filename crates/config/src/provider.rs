//! Providers: whom calls may be sent to.

use std::path::{Path, PathBuf};

use almoner_policy::ModelPattern;
use almoner_policy::pace::Rates;

use crate::address::Address;
use crate::fields::Fields;
use crate::layers::{Env, Origin};
use crate::pace;
use crate::problem::{Fault, Report};
use crate::secret::{KeyFile, KeyFrom, Secret};
use crate::tree::{Kind, Node};
use crate::value;

/// How a provider is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DialectName {
    /// Anthropic Messages.
    Anthropic,
    /// OpenAI Chat Completions.
    OpenAiChat,
    /// OpenAI Responses.
    OpenAiResponses,
    /// Gemini generateContent.
    Gemini,
    /// Ollama's own routes.
    Ollama,
}

impl DialectName {
    /// Every dialect.
    pub const ALL: [Self; 5] = [Self::Anthropic, Self::OpenAiChat, Self::OpenAiResponses, Self::Gemini, Self::Ollama];

    /// The name in config and messages.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Anthropic => "anthropic",
            Self::OpenAiChat => "openai-chat",
            Self::OpenAiResponses => "openai-responses",
            Self::Gemini => "gemini",
            Self::Ollama => "ollama",
        }
    }
}

impl std::fmt::Display for DialectName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// What a provider is shown as a credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// Whatever the client sent.
    PassThrough,
    /// Ours.
    Secret(Secret),
}

/// A class of service that an account can have by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefaultTier {
    /// The list price.
    Standard,
    /// Cheaper and slower.
    Flex,
    /// Dearer and faster.
    Priority,
}

/// The classes in the providers' words, the first of each for showing.
const TIERS: [(&str, DefaultTier); 4] = [
    ("default", DefaultTier::Standard),
    ("flex", DefaultTier::Flex),
    ("priority", DefaultTier::Priority),
    ("standard", DefaultTier::Standard),
];

impl DefaultTier {
    /// The name in config and messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        TIERS.iter().find(|(_, tier)| *tier == self).map_or("", |(name, _)| name)
    }
}

/// Whom calls may be sent to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provider {
    /// Its name, unique in a config: the value of the label `provider`.
    pub name: String,
    /// How it is spoken to; at least one.
    pub dialects: Vec<DialectName>,
    /// What stands before the path of every call, without a `/` at its end.
    pub base_url: String,
    /// What it is shown as a credential.
    pub key: Credential,
    /// Which models it serves; empty where the price book decides.
    pub models: Vec<ModelPattern>,
    /// Whether its calls cost nothing, as those of a local model.
    pub free: bool,
    /// The class of service of calls that ask for none; `None` where nobody knows what the account has by default.
    pub service_tier: Option<DefaultTier>,
    /// Whether calls that do not say where they run are billed at the surcharge for one region; `None`: not said.
    pub region_premium: Option<bool>,
    /// How much may go to it in a minute, as far as that is known.
    pub rates: Rates,
    /// Whether what it says of its limits, and its refusals, lower that.
    pub adaptive: bool,
    /// How often a call that it did not take is sent to it again.
    pub retries: u32,
}

/// What stands around the providers and decides about them.
pub(crate) struct Around<'a> {
    pub(crate) env: &'a Env,
    pub(crate) listen: std::net::SocketAddr,
    /// What holds for every provider that says nothing else.
    pub(crate) retries: u32,
    /// The folder of the configuration file: paths in it begin there.
    pub(crate) folder: PathBuf,
    pub(crate) read_key: fn(&Path) -> std::io::Result<KeyFile>,
}

const KEYS: [&str; 12] = [
    "name",
    "dialects",
    "base_url",
    "key",
    "models",
    "free",
    "service_tier",
    "region_premium",
    "retries",
    "rpm",
    "tpm",
    "adaptive",
];

/// The providers that are known without a file, where each is reached, and the variable that holds its key.
const BUILT_IN: [(&str, &str, &str, &[DialectName]); 4] = [
    ("anthropic", "https://api.anthropic.com", "ANTHROPIC_API_KEY", &[DialectName::Anthropic]),
    ("openai", "https://api.openai.com", "OPENAI_API_KEY", &[DialectName::OpenAiChat, DialectName::OpenAiResponses]),
    ("gemini", "https://generativelanguage.googleapis.com", "GEMINI_API_KEY", &[DialectName::Gemini]),
    (OLLAMA, "http://127.0.0.1:11434", "OLLAMA_API_KEY", &[DialectName::Ollama]),
];

/// The one of them whose calls cost nothing.
const OLLAMA: &str = "ollama";

/// The variables that say where a provider of that name is reached, whatever the file says.
pub(crate) const BASE_URL_VARIABLES: [(&str, &str); 4] = [
    ("anthropic", "ALMONER_ANTHROPIC_BASE_URL"),
    ("openai", "ALMONER_OPENAI_BASE_URL"),
    ("gemini", "ALMONER_GEMINI_BASE_URL"),
    (OLLAMA, "ALMONER_OLLAMA_BASE_URL"),
];

/// The providers of a file, or those built in where it names none.
pub(crate) fn providers(nodes: &[Node], around: &Around<'_>, report: &mut Report) -> Vec<Provider> {
    let mut providers: Vec<Provider> = match nodes {
        [] => BUILT_IN.iter().filter_map(|known| built_in(known, around, report)).collect(),
        nodes => nodes.iter().filter_map(|node| known_or_wrong(node, around, report)).collect(),
    };
    for (name, variable) in BASE_URL_VARIABLES {
        redirect(&mut providers, name, variable, around, report);
    }
    providers
}

/// A provider of the file. Of one that is wrong the name is kept, so that nobody is told that there is none.
fn known_or_wrong(node: &Node, around: &Around<'_>, report: &mut Report) -> Option<Provider> {
    let read = provider(node, around, report);
    if let (None, Kind::Table(members)) = (&read, &node.kind) {
        let names = members.iter().filter(|(key, _)| key.name == "name");
        report.wrong_providers.extend(names.filter_map(|(_, node)| name(node).ok()));
    }
    read
}

fn built_in(
    (name, base_url, variable, dialects): &(&str, &str, &str, &[DialectName]),
    around: &Around<'_>,
    report: &mut Report,
) -> Option<Provider> {
    report.note(format!("provider.{name}.base_url"), base_url, Origin::Default);
    let (key, from) = match around.env.get(variable) {
        None => (Credential::PassThrough, KeyFrom::Client),
        Some(value) => {
            (Credential::Secret(report.take(env_secret(variable, value))?), KeyFrom::Env((*variable).to_owned()))
        }
    };
    let origin = if from == KeyFrom::Client { Origin::Default } else { Origin::Environment((*variable).to_owned()) };
    report.note(format!("provider.{name}.key"), &from.to_string(), origin);
    report.note(format!("provider.{name}.dialects"), &spoken(dialects), Origin::Default);
    let free = *name == OLLAMA;
    let settled = [
        ("models", served(&[])),
        ("free", free.to_string()),
        ("rpm", pace::shown(None)),
        ("tpm", pace::shown(None)),
        ("adaptive", true.to_string()),
        ("retries", around.retries.to_string()),
    ];
    for (key, shown) in settled {
        report.note(format!("provider.{name}.{key}"), &shown, Origin::Default);
    }
    Some(Provider {
        name: (*name).to_owned(),
        dialects: dialects.to_vec(),
        base_url: (*base_url).to_owned(),
        key,
        models: Vec::new(),
        free,
        service_tier: None,
        region_premium: None,
        rates: Rates::default(),
        adaptive: true,
        retries: around.retries,
    })
}

fn env_secret(variable: &str, value: &str) -> Result<Secret, Fault> {
    Secret::new(value).map_err(|fault| Fault::new(format!("the key in the variable {variable} {fault}")))
}

/// Sends the calls of a provider where a variable says.
fn redirect(providers: &mut [Provider], name: &str, variable: &str, around: &Around<'_>, report: &mut Report) {
    let Some(node) = around.env.node(variable, report) else { return };
    let Some(base_url) = base_url(&node, around, report) else { return };
    match providers.iter_mut().find(|provider| provider.name == name) {
        Some(provider) => {
            let origin = Origin::Environment(variable.to_owned());
            report.note(format!("provider.{name}.base_url"), &base_url, origin);
            provider.base_url = base_url;
        }
        None => {
            report.warn(Fault::at(&node.place, format!("{variable} changes nothing: no provider is named `{name}`")));
        }
    }
}

fn provider(node: &Node, around: &Around<'_>, report: &mut Report) -> Option<Provider> {
    let fields = Fields::open(node, "a provider", &KEYS, report)?;
    let name = fields.need("name", report).and_then(|node| report.take(name(node)));
    let dialects = fields.need("dialects", report).and_then(|node| dialects(node, report));
    let url = fields.need("base_url", report).and_then(|node| base_url(node, around, report));
    let key = key(&fields, around, report);
    let models = fields.get("models").map_or(Some(Vec::new()), |node| models(node, report));
    let free = fields.get("free").map_or(Some(false), |node| report.take(value::truth(node)));
    let premium = fields.get("region_premium").map(|node| report.take(value::truth(node)));
    let premium = premium.map_or(Some(None), |premium| premium.map(Some));
    let tier = fields.get("service_tier").map(|node| report.take(value::choice(node, "service tier", &TIERS)));
    let tier = tier.map_or(Some(None), |tier| tier.map(Some));
    let rates = pace::rates(&fields, report);
    let adaptive = fields.get("adaptive").map_or(Some(true), |node| report.take(value::truth(node)));
    let retries = fields.get("retries").map_or(Some(around.retries), |node| report.take(value::retries(node)));
    let (name, (key, from)) = (name?, key?);
    let shown = [
        ("base_url", url.clone()),
        ("key", Some(from.to_string())),
        ("dialects", dialects.as_deref().map(spoken)),
        ("models", models.as_deref().map(served)),
        ("free", free.map(|free| free.to_string())),
        ("service_tier", tier.map(|tier| tier.map_or("not known", DefaultTier::name).to_owned())),
        ("region_premium", premium.map(|premium| premium.map_or("not known".to_owned(), |truth| truth.to_string()))),
        ("rpm", rates.map(|rates| pace::shown(rates.rpm))),
        ("tpm", rates.map(|rates| pace::shown(rates.tpm))),
        ("adaptive", adaptive.map(|adaptive| adaptive.to_string())),
        ("retries", retries.map(|retries| retries.to_string())),
    ];
    for (key, shown) in shown {
        let origin = fields.get(key).map_or(Origin::Default, |node| Origin::File(report.texts.locate(&node.place)));
        report.note(format!("provider.{name}.{key}"), &shown.unwrap_or_default(), origin);
    }
    Some(Provider {
        name,
        dialects: dialects?,
        base_url: url?,
        key,
        models: models?,
        free: free?,
        service_tier: tier?,
        region_premium: premium?,
        rates: rates?,
        adaptive: adaptive?,
        retries: retries?,
    })
}

/// Dialects as they are shown.
fn spoken(dialects: &[DialectName]) -> String {
    dialects.iter().map(|dialect| dialect.name()).collect::<Vec<_>>().join(", ")
}

/// Models as they are shown.
fn served(models: &[ModelPattern]) -> String {
    if models.is_empty() {
        return "those that the price book knows by it".to_owned();
    }
    models.iter().map(ModelPattern::as_str).collect::<Vec<_>>().join(", ")
}

/// A provider's name is a word, because it is also a label's value and a part of messages.
fn name(node: &Node) -> Result<String, Fault> {
    let name = value::text(node)?;
    if name.len() <= 64 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
        return Ok(name.to_owned());
    }
    let rule = "the name of a provider has 1 to 64 letters, digits, `-`, `_` or `.`";
    Err(Fault::at(&node.place, rule))
}

fn dialects(node: &Node, report: &mut Report) -> Option<Vec<DialectName>> {
    let items = report.take(value::list(node))?;
    if items.is_empty() {
        report.error(Fault::at(&node.place, "a provider speaks at least one dialect"));
    }
    let known = DialectName::ALL.map(|dialect| (dialect.name(), dialect));
    items.iter().map(|item| report.take(value::choice(item, "dialect", &known))).collect()
}

fn models(node: &Node, report: &mut Report) -> Option<Vec<ModelPattern>> {
    let items = report.take(value::list(node))?;
    items.iter().map(|item| report.take(value::text(item)).map(ModelPattern::new)).collect()
}

/// Where a provider is reached: never ourselves, because such a call would go round for ever.
fn base_url(node: &Node, around: &Around<'_>, report: &mut Report) -> Option<String> {
    let text = report.take(value::text(node))?;
    let address = report.take(Address::parse(text).map_err(|fault| Fault::at(&node.place, fault)))?;
    if address.is_own(around.listen) {
        let message = format!("this is Almoner's own address: it listens on {}", around.listen);
        report.error(Fault::at(&node.place, message).help("write the address of the provider"));
    }
    if address.ends_in_version() {
        let message = "the path of every call brings its version along, so this one would be there twice";
        report.warn(Fault::at(&node.place, message).help("leave the version out at the end"));
    }
    if !address.is_tls && !address.is_local() {
        report.warn(Fault::at(&node.place, "keys and prompts go to this address unencrypted").help("write `https://`"));
    }
    Some(text.trim_end_matches('/').to_owned())
}

/// The credential of a provider: `{ env = "NAME" }`, `{ file = "path" }`, or the client's own.
fn key(fields: &Fields<'_>, around: &Around<'_>, report: &mut Report) -> Option<(Credential, KeyFrom)> {
    let Some(node) = fields.get("key") else { return Some((Credential::PassThrough, KeyFrom::Client)) };
    if !matches!(node.kind, Kind::Table(_)) {
        let help = "write key = { env = \"NAME\" } or key = { file = \"path\" }";
        report.error(Fault::at(&node.place, "a key does not stand in a configuration").help(help));
        return None;
    }
    let source = Fields::open(node, "a key", &["env", "file"], report)?;
    let (secret, from) = match (source.get("env"), source.get("file")) {
        (Some(name), None) => report.take(key_in_env(name, around))?,
        (None, Some(path)) => report.take(key_in_file(path, around))?,
        _ => {
            report.error(Fault::at(&node.place, "a key has one of `env` and `file`"));
            return None;
        }
    };
    Some((Credential::Secret(secret), from))
}

fn key_in_env(node: &Node, around: &Around<'_>) -> Result<(Secret, KeyFrom), Fault> {
    let name = value::text(node)?;
    let is_part = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_';
    if !name.bytes().all(is_part) {
        // Not shown: it may be the key itself.
        return Err(Fault::at(&node.place, "the name of a variable has capital letters, digits and `_`"));
    }
    let Some(value) = around.env.get(name) else {
        let help = "set it, or leave `key` out so that the client's own credential passes through";
        return Err(Fault::at(&node.place, format!("the variable {name} is not set")).help(help));
    };
    let secret = Secret::new(value);
    let secret = secret.map_err(|fault| Fault::at(&node.place, format!("the key in the variable {name} {fault}")))?;
    Ok((secret, KeyFrom::Env(name.to_owned())))
}

fn key_in_file(node: &Node, around: &Around<'_>) -> Result<(Secret, KeyFrom), Fault> {
    let path = around.folder.join(value::path(node)?);
    let unreadable = |error| format!("cannot read {}: {error}", path.display());
    let secret = (around.read_key)(&path).map_err(unreadable).and_then(|file| file.secret(&path));
    Ok((secret.map_err(|message| Fault::at(&node.place, message))?, KeyFrom::File(path)))
}
