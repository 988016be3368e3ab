//! The gateway beside its peers: what a call costs in each, and what each lets through when the money is short.
//!
//! The peers are installed at pinned versions into a folder beside what cargo builds. One that cannot be had is left
//! out, and the page says why. All ways lead to the same nginx with a fixed answer, get the same load in turns, and
//! begin with another one in every round. Each peer has one process and no budget, unless it counts by nature.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::Size;
use super::figure::{Figure, Goal};
use super::gateway::{Load, REPORT, almoner, nginx, proxy_conf, ratio};
use super::many::{Pick, Sample, sample, sample_by};
use super::overspend::{self, LIMIT_USD, MODEL};
use super::process::{Folder, Running, built, free_address, on_cores};
use crate::run;

const SETUP: &str = "crates/testkit/peers/setup.sh";
/// What every peer takes for a key, and what its upstream gets.
const KEY: &str = "sk-bench";
const CALL: &str = r#"{"model":"gpt-4o-mini","max_tokens":64,"messages":[{"role":"user","content":"hi"}]}"#;

/// Another gateway.
pub(super) struct Peer {
    /// As its folder is called.
    pub(super) name: &'static str,
    /// As the rows of the table call it.
    pub(super) told: &'static str,
    path: &'static str,
    /// How it is started, with a budget or without one.
    start: fn(&Site, &Place) -> Result<Command, String>,
    /// Whether it can be given a budget of its own.
    pub(super) has_budgets: bool,
}

pub(super) const PEERS: [Peer; 5] = [
    Peer {
        name: "hardcap",
        told: "hardcap 0.1.0, reserving, Redis",
        path: "/v1/chat/completions",
        start: hardcap,
        has_budgets: true,
    },
    Peer {
        name: "claude-code-router",
        told: "claude-code-router 2.0.0, from Anthropic to OpenAI",
        path: "/v1/messages",
        start: claude_code_router,
        has_budgets: false,
    },
    Peer {
        name: "portkey",
        told: "Portkey gateway 1.15.2",
        path: "/v1/chat/completions",
        start: portkey,
        has_budgets: false,
    },
    Peer {
        name: "litellm",
        told: "LiteLLM 1.106.2, master key",
        path: "/v1/chat/completions",
        start: litellm,
        has_budgets: false,
    },
    Peer {
        name: "burnlens",
        told: "burnlens 1.27.0",
        path: "/proxy/azure/v1/chat/completions",
        start: burnlens,
        has_budgets: true,
    },
];

/// What a peer is told when it starts.
pub(super) struct Place {
    pub(super) addr: SocketAddr,
    pub(super) upstream: SocketAddr,
    pub(super) is_short_of_money: bool,
}

/// Where the peers stand.
pub(super) struct Site {
    pub(super) cores: String,
    /// Every peer has a folder in it.
    installed: PathBuf,
    pub(super) disk: Folder,
    redis: Option<Running>,
}

impl Site {
    fn new(cores: &str) -> Result<Self, String> {
        let disk = Folder::new(&built("bench")?, "peers")?;
        Ok(Self { cores: cores.to_owned(), installed: built("peers")?, redis: redis(cores, &disk).ok(), disk })
    }

    /// Installs a peer; its words go to the person who waits.
    fn install(&self, peer: &Peer) -> Result<(), String> {
        if peer.name == "hardcap" && self.redis.is_none() {
            return Err("`redis-server` is not here".to_owned());
        }
        run::to_end(run::program("bash", &[SETUP]).arg(&self.installed).arg(peer.name))
    }

    /// Starts a peer before this upstream, and waits until it listens.
    pub(super) fn start(&self, peer: &Peer, upstream: SocketAddr, is_short_of_money: bool) -> Result<Running, String> {
        let place = Place { addr: free_address()?, upstream, is_short_of_money };
        let mut command = (peer.start)(self, &place)?;
        let log = self.home(peer.name)?.join("log");
        let said = fs::File::create(&log).map_err(|why| format!("{}: {why}", log.display()))?;
        let also = said.try_clone().map_err(|why| format!("{}: {why}", log.display()))?;
        command.stdout(Stdio::from(said)).stderr(Stdio::from(also));
        Running::that_listens_on(place.addr, command).map_err(|why| {
            let words = fs::read_to_string(&log).unwrap_or_default();
            let last: Vec<&str> = words.lines().rev().take(3).collect();
            format!("{}: {why}; it said last: {}", peer.name, last.join(" / "))
        })
    }

    /// The home of a peer, in which nothing of the person's own stands.
    fn home(&self, name: &str) -> Result<PathBuf, String> {
        let home = self.disk.0.join(name);
        fs::create_dir_all(&home).map_err(|why| format!("{} cannot be made: {why}", home.display()))?;
        Ok(home)
    }

    /// A program of a peer's, with an environment of its own.
    fn program(&self, name: &str, program: &Path) -> Result<Command, String> {
        let mut command = on_cores(&self.cores, program);
        let path = std::env::vars_os().find(|(name, _)| name == "PATH").map(|(_, path)| path).unwrap_or_default();
        command.env_clear().env("PATH", path).env("HOME", self.home(name)?).current_dir(self.home(name)?);
        Ok(command)
    }

    fn write(&self, name: &str, file: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.home(name)?.join(file);
        let folder = path.parent().unwrap_or(&path);
        fs::create_dir_all(folder).map_err(|why| format!("{} cannot be made: {why}", folder.display()))?;
        fs::write(&path, text).map_err(|why| format!("{} cannot be written: {why}", path.display()))?;
        Ok(path)
    }
}

/// Measures every peer that can be had; gives the figures, and a line for each that cannot and for calls that failed.
pub(crate) fn peers(cores: &str, size: Size) -> Result<(Vec<Figure>, Vec<String>), String> {
    let site = Site::new(cores)?;
    let (mut here, mut missing) = (Vec::new(), Vec::new());
    for peer in &PEERS {
        match site.install(peer) {
            Ok(()) => here.push(peer),
            Err(why) => missing.push(format!("{} is left out: {why}.", peer.told)),
        }
    }
    let (mut figures, failed) = speed(&site, &here, size)?;
    missing.extend(failed);
    figures.extend(overspend::figures(&site, &here)?);
    Ok((figures, missing))
}

/// A way through which calls go.
struct Way {
    told: String,
    script: PathBuf,
    server: Running,
    samples: Vec<Sample>,
    /// What failed in each round in which something did. Of ours nothing may.
    failed: Vec<String>,
}

impl Way {
    fn new(told: &str, script: PathBuf, server: Running) -> Self {
        Self { told: told.to_owned(), script, server, samples: Vec::new(), failed: Vec::new() }
    }

    /// Takes a sample; a peer's calls may fail, and are told.
    fn take(&mut self, is_peer: bool, cores: &str, size: Size) -> Result<(), String> {
        let (script, server) = (&self.script, &self.server);
        let found = if is_peer {
            sample_by(server, |connections| {
                let (load, failures) = Load::with_failures(cores, script, server, connections, size.seconds)?;
                self.failed.extend(failures);
                Ok(load)
            })
        } else {
            sample(cores, script, server, size.seconds)
        };
        self.samples.push(found.map_err(|why| format!("on the way `{}`: {why}", self.told))?);
        Ok(())
    }
}

/// Where in the list the way stands that the peers are compared with: ours as it is meant to be used.
const ON_DISK: usize = 3;
const FIRST_PEER: usize = 4;

/// The figures of every way, and a line for every round in which calls of a peer failed.
fn speed(site: &Site, peers: &[&Peer], size: Size) -> Result<(Vec<Figure>, Vec<String>), String> {
    let memory = Folder::new(Path::new("/dev/shm"), "peers")?;
    let upstream = nginx(&site.disk, "upstream", &site.cores, &upstream_conf())?;
    let at = upstream.addr;
    let proxy = nginx(&site.disk, "proxy", &site.cores, &proxy_conf(&upstream))?;
    let config = site.disk.write("almoner.toml", &config(at, 9_000_000.0))?;
    let ours = |state: PathBuf| almoner(&site.cores, &config, &state, &[]);
    let script = site.disk.write("chat.lua", &script("/v1/chat/completions", at))?;
    let plain = |told: &str, server| Way::new(told, script.clone(), server);
    let mut ways = vec![
        plain("direct", upstream),
        plain("nginx", proxy),
        plain("Almoner, budget, in memory", ours(memory.0.join("state"))?),
        plain("Almoner, budget, on disk", ours(site.disk.0.join("state"))?),
    ];
    for peer in peers {
        let script = site.disk.write(&format!("{}.lua", peer.name), &self::script(peer.path, at))?;
        ways.push(Way::new(peer.told, script, site.start(peer, at, false)?));
    }
    let count = ways.len();
    for round in 0..size.rounds {
        for turn in 0..count {
            let at = (round + turn) % count;
            ways[at].take(at >= FIRST_PEER, &site.cores, size)?;
        }
    }
    let told = |way: &Way, why: &String| format!("{}, in one round: {why}.", way.told);
    let failed = ways.iter().flat_map(|way| way.failed.iter().map(|why| told(way, why))).collect();
    Ok((judged(&ways.into_iter().map(|way| (way.told, way.samples)).collect::<Vec<_>>()), failed))
}

/// The figures of every way, and how many times ours on disk those of the peers are.
fn judged(ways: &[(String, Vec<Sample>)]) -> Vec<Figure> {
    let told = |what: &str, unit: &str, of: Pick| -> Vec<Figure> {
        let figure = |(way, samples): &(String, Vec<Sample>)| {
            Figure::new(&format!("{what}, {way}"), unit, Goal::None, samples.iter().map(of).collect())
        };
        ways.iter().map(figure).collect()
    };
    let p50 = told("one caller, p50", "ms", |sample| sample.p50_ms);
    let rate = told("32 callers", "calls/s", |sample| sample.rate);
    let cpu = told("processor time of a call", "µs", |sample| sample.cpu_us);
    let beside = |at: usize| {
        let way = &ways[at].0;
        let times = |what: &str, of: &[Figure]| {
            ratio(&format!("{what}, {way} / Almoner on disk"), Goal::None, &of[at], &of[ON_DISK])
        };
        [times("one caller, p50", &p50), times("32 callers", &rate), times("processor time of a call", &cpu)]
    };
    let ratios: Vec<Figure> = (FIRST_PEER..ways.len()).flat_map(beside).collect();
    p50.into_iter().chain(rate).chain(cpu).chain(ratios).collect()
}

fn upstream_conf() -> String {
    format!(
        "  server {{\n    listen LISTEN;\n    default_type application/json;\n    location / {{ return 200 '{}'; }}\n  \
         }}\n",
        overspend::ANSWER
    )
}

/// What wrk sends: the same call to all, with every header that one of them wants.
fn script(path: &str, upstream: SocketAddr) -> String {
    let headers: String =
        headers(upstream).iter().map(|(name, value)| format!("wrk.headers[\"{name}\"] = \"{value}\"\n")).collect();
    format!("wrk.method = \"POST\"\nwrk.path = \"{path}\"\n{headers}wrk.body = [[{CALL}]]\n{REPORT}")
}

fn headers(upstream: SocketAddr) -> [(&'static str, String); 5] {
    [
        ("content-type", "application/json".to_owned()),
        ("authorization", format!("Bearer {KEY}")),
        ("api-key", KEY.to_owned()),
        ("x-portkey-provider", "openai".to_owned()),
        ("x-portkey-custom-host", format!("http://{upstream}/v1")),
    ]
}

/// A call as it goes over the wire, on a connection of its own.
pub(super) fn request(path: &str, to: SocketAddr, upstream: SocketAddr) -> String {
    let headers: String = headers(upstream).iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let length = CALL.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: {to}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{CALL}"
    )
}

impl Peer {
    pub(super) fn request(&self, to: SocketAddr, upstream: SocketAddr) -> String {
        request(self.path, to, upstream)
    }
}

/// One provider and one hard budget in dollars.
pub(super) fn config(upstream: SocketAddr, limit_usd: f64) -> String {
    format!(
        "listen = \"127.0.0.1:0\"\n\n[[provider]]\nname = \"bench\"\ndialects = [\"openai-chat\"]\nbase_url = \
         \"http://{upstream}\"\nmodels = [\"{MODEL}\"]\n\n[[price]]\nmodel = \"{MODEL}\"\ninput = 0.15\noutput = \
         0.60\n\n[[budget]]\nname = \"everything\"\nlimit = [\"${limit_usd} / day\"]\nmode = \"stop-new\"\n"
    )
}

/// The Redis that hardcap keeps its books in, which writes nothing to the disk.
fn redis(cores: &str, disk: &Folder) -> Result<Running, String> {
    let addr = free_address()?;
    let mut command = on_cores(cores, Path::new("redis-server"));
    command.args(["--bind", "127.0.0.1", "--port", &addr.port().to_string(), "--save", "", "--appendonly", "no"]);
    Running::that_listens_on(addr, {
        command.current_dir(&disk.0).stdout(Stdio::null()).stderr(Stdio::null());
        command
    })
}

/// It counts tokens, so that it gets as many as the money would buy at the price of this call.
fn hardcap(site: &Site, place: &Place) -> Result<Command, String> {
    let redis = site.redis.as_ref().ok_or("hardcap wants Redis")?.addr;
    let tokens = if place.is_short_of_money { overspend::tokens_for(LIMIT_USD) } else { 1_000_000_000_000 };
    let Place { addr, upstream, is_short_of_money } = place;
    let text = format!(
        "listen: {{ host: 127.0.0.1, port: {} }}\nredis_url: redis://{redis}/0\nkey_prefix: \
         bench-{is_short_of_money}\nbudget: {{ accounting: reserve, estimator: max_tokens }}\nupstreams: {{ bench: {{ \
         kind: openai, base_url: \"http://{upstream}\", api_key: {KEY} }} }}\nroutes: {{ {MODEL}: {{ targets: [ {{ \
         upstream: bench, model: {MODEL} }} ] }} }}\ntenants: {{ bench: {{ api_keys: [{KEY}], budget: {{ window_s: \
         86400, total: {tokens} }} }} }}\n",
        addr.port()
    );
    let config = site.write("hardcap", "hardcap.yaml", &text)?;
    let mut command = site.program("hardcap", &site.installed.join("hardcap/bin/hardcap"))?;
    command.args(["serve", "-c"]).arg(config);
    Ok(command)
}

fn claude_code_router(site: &Site, place: &Place) -> Result<Command, String> {
    let text = format!(
        r#"{{"LOG":false,"NON_INTERACTIVE_MODE":true,"HOST":"127.0.0.1","PORT":{},"APIKEY":"{KEY}","Providers":[{{"name":"bench","api_base_url":"http://{}/v1/chat/completions","api_key":"{KEY}","models":["{MODEL}"]}}],"Router":{{"default":"bench,{MODEL}"}}}}"#,
        place.addr.port(),
        place.upstream
    );
    site.write("claude-code-router", ".claude-code-router/config.json", &text)?;
    let mut command = site.program("claude-code-router", Path::new("node"))?;
    let package = "claude-code-router/node_modules/@musistudio/claude-code-router/dist/cli.js";
    command.arg(site.installed.join(package)).arg("start");
    Ok(command)
}

fn portkey(site: &Site, place: &Place) -> Result<Command, String> {
    let mut command = site.program("portkey", Path::new("node"))?;
    command.env("NODE_ENV", "production").env("TRUSTED_CUSTOM_HOSTS", "127.0.0.1,localhost");
    command.arg(site.installed.join("portkey/node_modules/@portkey-ai/gateway/build/start-server.js"));
    command.arg(format!("--port={}", place.addr.port())).arg("--headless");
    Ok(command)
}

fn litellm(site: &Site, place: &Place) -> Result<Command, String> {
    let text = format!(
        "model_list:\n  - model_name: {MODEL}\n    litellm_params: {{ model: openai/{MODEL}, api_base: \"http://{}/v1\", \
         api_key: {KEY} }}\ngeneral_settings: {{ master_key: {KEY} }}\nlitellm_settings: {{ telemetry: false }}\n",
        place.upstream
    );
    let config = site.write("litellm", "litellm.yaml", &text)?;
    let mut command = site.program("litellm", &site.installed.join("litellm/bin/litellm"))?;
    command.env("LITELLM_LOCAL_MODEL_COST_MAP", "True").arg("--config").arg(config);
    let port = place.addr.port().to_string();
    command.args(["--host", "127.0.0.1", "--port", &port, "--telemetry", "False"]);
    Ok(command)
}

/// Its Azure provider is the one whose upstream can be chosen, and it speaks as OpenAI does.
fn burnlens(site: &Site, place: &Place) -> Result<Command, String> {
    let policy = format!(
        "budget_policies:\n  - {{ name: all, scope: model, target: {MODEL}, limit_usd: {LIMIT_USD}, period: daily }}\n"
    );
    let text = if place.is_short_of_money { policy } else { "{}\n".to_owned() };
    let config = site.write("burnlens", "burnlens.yaml", &text)?;
    let mut command = site.program("burnlens", &site.installed.join("burnlens/bin/burnlens"))?;
    let books = site.home("burnlens")?.join(format!("books-{}.db", place.addr.port()));
    command.env("BURNLENS_DB_PATH", books).env("BURNLENS_AZURE_ENDPOINT", format!("http://{}", place.upstream));
    command.args(["start", "--host", "127.0.0.1", "--no-env", "--port", &place.addr.port().to_string()]);
    command.arg("--config").arg(config);
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::root;

    #[test]
    fn every_peer_is_pinned() {
        let folder = root().join("crates/testkit/peers");
        for peer in &PEERS {
            let pins = [format!("{}.txt", peer.name), format!("{}/package-lock.json", peer.name)];
            let text = pins.iter().find_map(|pins| fs::read_to_string(folder.join(pins)).ok());
            let version =
                peer.told.split([' ', ',']).find(|word| word.starts_with(|first: char| first.is_ascii_digit()));
            assert!(text.unwrap_or_default().contains(version.unwrap_or("no version")), "{}", peer.told);
        }
    }

    #[test]
    fn a_peer_is_judged_by_ours() {
        let sample = |p50_ms, rate, cpu_us| vec![Sample { p50_ms, rate, cpu_us }];
        let ours = ["direct", "nginx", "memory", "disk"].map(|way| (way.to_owned(), sample(1.0, 1000.0, 10.0)));
        let ways: Vec<_> = ours.into_iter().chain([("peer".to_owned(), sample(2.0, 100.0, 50.0))]).collect();
        let figures = judged(&ways);
        let ratios: Vec<f64> = figures[3 * ways.len()..].iter().map(Figure::median).collect();
        assert_eq!(ratios, [2.0, 0.1, 5.0]);
    }
}
