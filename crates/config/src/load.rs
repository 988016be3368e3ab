//! From sources to settings: read everything, gather every fault, and only then decide.

use std::net::SocketAddr;
use std::path::Path;

use almoner_policy::pace::PaceRule;
use almoner_policy::{Route, default_budgets};
use almoner_units::{BudgetName, Zone};

use crate::advice;
use crate::budget::{self, Placed};
use crate::fields::{Fields, refuse_twins};
use crate::layers::{Env, Found, Layers, Origin, SCALARS};
use crate::pace;
use crate::price::{self, UserPrice};
use crate::problem::{ConfigErrors, Fault, Report};
use crate::provider::{self, Around, Provider};
use crate::reach::{ACCOUNTS_MAX, accounts_at_most};
use crate::read::read;
use crate::route::{self, PlacedRoute};
use crate::settings::{BudgetsFrom, Settings};
use crate::sources::Sources;
use crate::telling;
use crate::tree::{Kind, Node};
use crate::value;

/// The tables that a file may have many of.
const TABLES: [&str; 5] = ["provider", "price", "budget", "route", "pace"];

/// The settings that the sources make together.
///
/// # Errors
/// [`ConfigErrors`] with everything that is wrong, at once.
pub fn load(sources: &Sources) -> Result<Settings, ConfigErrors> {
    let mut report = Report::default();
    let root = match &sources.file {
        Some(file) => read(&file.path, &file.text, &mut report),
        None => None,
    };
    // A file that cannot be read as a tree has said nothing: faults found without it would be wrong.
    let settings = if report.is_clean() { settings(sources, root.as_ref(), &mut report) } else { None };
    let (origins, warnings) = report.finish()?;
    let settings = settings.expect("settings are missing only where a fault is noted");
    Ok(Settings { origins, warnings, ..settings })
}

fn settings(sources: &Sources, root: Option<&Node>, report: &mut Report) -> Option<Settings> {
    let env = Env::new(&sources.env);
    env.refuse_unknown(report);
    let file = root.filter(|root| !matches!(root.kind, Kind::Nothing)).and_then(|root| open(root, report));
    let layers = Layers { flags: &sources.flags, env: &env, file };

    let listen = scalar(&layers, "listen", listen, report).map(|found| found.value);
    let require_key = require_key(&layers, listen, report);
    let hosts = scalar(&layers, "hosts", hosts, report);
    warn_of_strangers(hosts.as_ref(), require_key, report);
    let retries = scalar(&layers, "retries", value::retries, report).map(|found| found.value);
    let around = Around {
        env: &env,
        retries: retries.unwrap_or_default(),
        listen: listen.unwrap_or_else(usual_listen),
        folder: sources.folder().to_owned(),
        read_key: sources.read_key,
    };
    let state_dir = state_dir(&layers, sources, report);
    let [max_output, default_output] = outputs(&layers, report);
    let mut span = |key| scalar(&layers, key, value::span, report).map(|found| found.value);
    let spans =
        ["wait_max", "ping_after", "stream_idle_max", "provider_idle_max", "connect_max", "drain_max", "receive_max"]
            .map(&mut span);
    let header_bytes_max = scalar(&layers, "header_bytes_max", value::count(1024..=1 << 20), report);
    let body_bytes_max = scalar(&layers, "body_bytes_max", value::count(1024..=1 << 30), report);
    let bodies_bytes_max = scalar(&layers, "bodies_bytes_max", value::count(1024..=1 << 40), report);
    let log = scalar(&layers, "log", |node| value::choice(node, "level", &telling::LEVELS), report);
    let log_format = scalar(&layers, "log_format", |node| value::choice(node, "form", &telling::FORMATS), report);
    let log_calls = scalar(&layers, "log_calls", value::truth, report);
    let traces = telling::traces(&layers, report);
    let connections_max = scalar(&layers, "connections_max", value::count(1..=1 << 20), report);
    let strict = scalar(&layers, "strict", value::truth, report);
    let history_keep = scalar(&layers, "history_keep", value::span, report);
    let history_bytes_max = scalar(&layers, "history_bytes_max", value::count(1 << 20..=1 << 50), report);
    let history_calls = scalar(&layers, "history_calls", value::truth, report);

    let named = named(&layers, &around, report);

    let [wait_max, ping_after, stream_idle_max, provider_idle_max, connect_max, drain_max, receive_max] = spans;
    Some(Settings {
        listen: listen?,
        require_key: require_key?,
        hosts: hosts?.value,
        state_dir: state_dir?,
        providers: named.providers,
        prices: named.prices,
        budgets: named.budgets?,
        routes: named.routes,
        detours: named.detours,
        paces: named.paces,
        max_output: max_output?,
        default_output: default_output?,
        strict: strict?.value,
        wait_max: wait_max?,
        ping_after: ping_after?,
        stream_idle_max: stream_idle_max?,
        provider_idle_max: provider_idle_max?,
        connect_max: connect_max?,
        drain_max: drain_max?,
        receive_max: receive_max?,
        header_bytes_max: header_bytes_max?.value,
        body_bytes_max: body_bytes_max?.value,
        bodies_bytes_max: bodies_bytes_max?.value,
        connections_max: connections_max?.value,
        log: log?.value,
        log_format: log_format?.value,
        log_calls: log_calls?.value,
        traces: traces?,
        history_keep: history_keep?.value,
        history_bytes_max: history_bytes_max?.value,
        history_calls: history_calls?.value,
        file: sources.file.clone(),
        origins: Vec::new(),
        warnings: Vec::new(),
    })
}

/// What a file may name many of. Each kind is read with an eye on those before it.
struct Named {
    providers: Vec<Provider>,
    prices: Vec<UserPrice>,
    paces: Vec<PaceRule>,
    routes: Vec<Route>,
    detours: Vec<(BudgetName, String)>,
    budgets: Option<BudgetsFrom>,
}

fn named(layers: &Layers<'_>, around: &Around<'_>, report: &mut Report) -> Named {
    let providers = providers(layers, around, report);
    let prices = prices(layers, report);
    let paces = paces(layers, &providers, report);
    let placed = placed(layers, report);
    let mut routes = routes(layers, &providers, report);
    routes.extend(route::implied(&placed, &routes, &providers, report));
    let detours = route::detours(&placed, &routes, &providers, report);
    advice::advise(&providers, &prices, &placed, report);
    Named {
        providers,
        prices: prices.into_iter().map(|(_, price)| price).collect(),
        paces,
        routes: routes.into_iter().map(|placed| placed.route).collect(),
        detours,
        budgets: budgets(layers, placed, report),
    }
}

/// The folder for state alone, for who only asks the server there: whatever else is wrong with the configuration is
/// the business of who starts one.
///
/// # Errors
/// [`ConfigErrors`] where no folder is known, or the one that is given can be none.
pub fn state_folder(sources: &Sources) -> Result<std::path::PathBuf, ConfigErrors> {
    // A file whose word about the folder cannot be read has said nothing.
    state_in(sources).or_else(|_| state_in(&Sources { file: None, ..sources.clone() }))
}

fn state_in(sources: &Sources) -> Result<std::path::PathBuf, ConfigErrors> {
    let mut report = Report::default();
    let root = sources.file.as_ref().and_then(|file| read(&file.path, &file.text, &mut report));
    let env = Env::new(&sources.env);
    let file = root.as_ref().and_then(|root| open(root, &mut report));
    let layers = Layers { flags: &sources.flags, env: &env, file };
    match state_dir(&layers, sources, &mut report) {
        Some(folder) => Ok(folder),
        None => Err(report.finish().expect_err("a folder is missing only where a fault is noted")),
    }
}

fn open<'a>(root: &'a Node, report: &mut Report) -> Option<Fields<'a>> {
    let known: Vec<&str> = SCALARS.iter().map(|(key, _)| *key).chain(TABLES).collect();
    Fields::open(root, "a configuration", &known, report)
}

/// A setting of one value, with the default that stands in [`SCALARS`].
fn scalar<T>(
    layers: &Layers<'_>,
    key: &str,
    read: impl Fn(&Node) -> Result<T, Fault>,
    report: &mut Report,
) -> Option<Found<T>> {
    let default = SCALARS.iter().find(|(known, _)| *known == key).map_or("", |(_, default)| default);
    layers.scalar(key, default, read, report)
}

/// The address we listen on where nobody says another.
fn usual_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 4141))
}

fn listen(node: &Node) -> Result<SocketAddr, Fault> {
    let text = value::text(node)?;
    let bad = |_| {
        let fault = Fault::at(&node.place, format!("`{text}` is no address with a port; write it like 127.0.0.1:4141"));
        // `4141`, `:4141` and `localhost:4141` say which port.
        let port = text.rsplit(':').next().and_then(|port| port.parse::<u16>().ok());
        fault.nearest(port.map(|port| format!("127.0.0.1:{port}")).as_deref())
    };
    text.parse().map_err(bad)
}

/// Whether a key is required: by default where others than this machine reach the port, and there always.
fn require_key(layers: &Layers<'_>, listen: Option<SocketAddr>, report: &mut Report) -> Option<bool> {
    let listen = listen.unwrap_or_else(usual_listen);
    let is_open = !listen.ip().is_loopback();
    let found = layers.scalar("require_key", &is_open.to_string(), value::truth, report)?;
    if is_open && !found.value {
        let message = format!("everybody who reaches {listen} would spend from the budgets without a key");
        let help = "leave it out there, or listen on 127.0.0.1 or [::1]";
        report.error(Fault::at(&found.place, message).help(help));
    } else if is_open {
        let message = format!("keys and prompts come to {listen} unencrypted");
        let help = "put a proxy that speaks TLS in front, or let none but a private network reach it";
        report.warn(Fault::new(message).help(help));
    }
    Some(found.value)
}

/// Says what a name for others means where no key is asked for: something in front lets them in.
fn warn_of_strangers(hosts: Option<&Found<Vec<String>>>, require_key: Option<bool>, report: &mut Report) {
    let Some(hosts) = hosts.filter(|_| require_key == Some(false)) else { return };
    if let Some(name) = hosts.value.iter().find(|host| *host != "localhost") {
        let message = format!("whoever reaches this server as `{name}` spends from the budgets without a key");
        report.warn(Fault::at(&hosts.place, message).help("write require_key = true"));
    }
}

/// The names by which others reach us: a list, or a text with commas.
fn hosts(node: &Node) -> Result<Vec<String>, Fault> {
    let mut hosts = Vec::new();
    for item in value::one_or_many(node) {
        let text = match &item.kind {
            Kind::Word(text) | Kind::Text(text) => text,
            _ => value::text(item)?,
        };
        for host in text.split(',').map(str::trim).filter(|host| !host.is_empty()) {
            if !crate::address::is_host(host) {
                let fault = Fault::at(&item.place, format!("`{}` is no name of a host", host.escape_debug()));
                return Err(fault.help("write the name alone, without scheme, port or path: almoner.example.com"));
            }
            hosts.push(host.to_ascii_lowercase());
        }
    }
    Ok(hosts)
}

/// The folder for state; a relative one in a file begins at the file.
fn state_dir(layers: &Layers<'_>, sources: &Sources, report: &mut Report) -> Option<std::path::PathBuf> {
    let default = sources.state_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned());
    let found = layers.scalar("state", &default.unwrap_or_default(), state, report)?;
    Some(match found.origin {
        Origin::File(_) => sources.folder().join(found.value),
        _ => found.value,
    })
}

fn state(node: &Node) -> Result<std::path::PathBuf, Fault> {
    if matches!(&node.kind, Kind::Word(text) if text.is_empty()) {
        return Err(Fault::new("no folder for state is known: this user has no home").help("give one by --state DIR"));
    }
    let path = value::path(node)?;
    match path.to_string_lossy().contains(char::REPLACEMENT_CHARACTER) {
        true => Err(Fault::at(&node.place, "the path of the folder for state must be valid UTF-8")),
        false => Ok(path),
    }
}

/// The most output and the usual output of a call; the usual one is not above the most.
fn outputs(layers: &Layers<'_>, report: &mut Report) -> [Option<u64>; 2] {
    let tokens = || value::count(1..=10_000_000);
    let most = scalar(layers, "max_output", tokens(), report).map(|found| found.value);
    let usual = scalar(layers, "default_output", tokens(), report);
    let (Some(most), Some(usual)) = (most, usual) else { return [None; 2] };
    if usual.value > most && usual.origin != Origin::Default {
        let message = format!("`default_output` is {}, above `max_output`, which is {most}", usual.value);
        report.error(Fault::at(&usual.place, message));
    }
    [Some(most), Some(usual.value.min(most))]
}

/// The tables of one name in the file.
fn tables<'a>(layers: &Layers<'a>, name: &str, report: &mut Report) -> &'a [Node] {
    let Some(node) = layers.file.and_then(|file| file.get(name)) else { return &[] };
    match &node.kind {
        Kind::List(items) if !items.is_empty() => items,
        Kind::List(_) => {
            report.error(Fault::at(&node.place, format!("this list of `{name}` is empty; leave it out")));
            &[]
        }
        _ => {
            let message = format!("there can be many of `{name}`, so it is a list");
            report.error(
                Fault::at(&node.place, message).help(format!("write [[{name}]] in TOML, a list in JSON or YAML")),
            );
            &[]
        }
    }
}

fn providers(layers: &Layers<'_>, around: &Around<'_>, report: &mut Report) -> Vec<Provider> {
    let nodes = tables(layers, "provider", report);
    refuse_twins(nodes, "provider named", &["name"], report);
    provider::providers(nodes, around, report)
}

fn prices<'a>(layers: &Layers<'a>, report: &mut Report) -> Vec<(&'a Node, UserPrice)> {
    let nodes = tables(layers, "price", report);
    let prices: Vec<_> = nodes.iter().filter_map(|node| Some((node, price::price(node, report)?))).collect();
    refuse_twins(nodes, "price for", &["model", "provider"], report);
    prices
}

fn routes(layers: &Layers<'_>, providers: &[Provider], report: &mut Report) -> Vec<PlacedRoute> {
    let nodes = tables(layers, "route", report);
    let routes = nodes.iter().filter_map(|node| route::route(node, providers, report)).collect();
    refuse_twins(nodes, "route named", &["name"], report);
    routes
}

fn paces(layers: &Layers<'_>, providers: &[Provider], report: &mut Report) -> Vec<PaceRule> {
    let nodes = tables(layers, "pace", report);
    let paces = nodes.iter().filter_map(|node| pace::pace(node, providers, report)).collect();
    refuse_twins(nodes, "pace named", &["name"], report);
    paces
}

fn placed(layers: &Layers<'_>, report: &mut Report) -> Vec<Placed> {
    let nodes = tables(layers, "budget", report);
    let placed: Vec<Placed> = nodes.iter().filter_map(|node| budget::budget(node, report)).collect();
    refuse_twins(nodes, "budget named", &["name"], report);
    let reach = accounts_at_most(&placed.iter().map(|placed| &placed.budget).collect::<Vec<_>>());
    if let Some(last) = placed.last().filter(|_| reach > ACCOUNTS_MAX) {
        let message =
            format!("one call could be counted by {reach} of these budgets; it may be by at most {ACCOUNTS_MAX}");
        let help = "join budgets by giving one several limits, or part them by different values of a label in `where`";
        report.error(Fault::at(&last.name_at, message).help(help));
    }
    placed
}

/// Which budgets are in force: `no_budgets` beats those of the file.
fn budgets(layers: &Layers<'_>, placed: Vec<Placed>, report: &mut Report) -> Option<BudgetsFrom> {
    let off = scalar(layers, "no_budgets", value::truth, report)?;
    if off.value && !placed.is_empty() {
        let message = format!("no budget is in force: `no_budgets` turns off the {} of the file", placed.len());
        report.warn(Fault::at(&off.place, message));
    }
    if !off.value && placed.is_empty() {
        default_budgets(&Zone::utc()).iter().for_each(|default| budget::note_default(default, report));
    }
    Some(match (off.value, placed.is_empty()) {
        (true, _) => BudgetsFrom::None,
        (false, true) => BudgetsFrom::Defaults,
        (false, false) => BudgetsFrom::File(placed.into_iter().map(|placed| placed.budget).collect()),
    })
}

impl Sources {
    /// The folder of the configuration file, where relative paths in it begin.
    fn folder(&self) -> &Path {
        self.file.as_ref().and_then(|file| file.path.parent()).unwrap_or(Path::new(""))
    }
}
