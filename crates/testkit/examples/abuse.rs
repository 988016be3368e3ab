//! `abuse [--seconds N] [--rate N] [--size N] [--only NAME]`: good calls to a real server, alone and under each attack.
//!
//! Good calls come at their own rate, whatever becomes of those before them, each on a connection of its own; how long
//! they take is counted from when they were due. They are timed alone and then beside one attack, again and again,
//! because a machine is not the same from minute to minute. A good call that fails, more memory or more descriptors
//! than are allowed, or books that do not balance fail the proof; how long good calls took is a figure.
//!
//! Attackers, the hostile provider among them, run in a process of their own with less of a right to the processor:
//! they would sit on other machines. Each stops by itself, after its seconds. `--size` is in percent of all counts.
//!
//! It looks for the server beside itself: `cargo build --package almoner`.
#![allow(clippy::float_arithmetic, reason = "figures of time, which decide nothing")]

use std::error::Error;
use std::io::{Write, stdout};
use std::net::SocketAddr;
use std::process::Stdio;
use std::time::Duration;

use almoner_testkit::proof::household;
use almoner_testkit::truth::{Prices, Settings};
use almoner_testkit::{Answer, HostileProvider, Household, MISDEEDS, Patience, Post, Serving, TruthProvider};
use almoner_units::PicoUsdPerToken;
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, Command};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep, sleep_until, timeout, timeout_at};

type Res<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// The attacks, in the order in which they are tried.
const ATTACKS: [&str; 24] = [
    "idle connections",
    "slow heads",
    "slow bodies",
    "slow readers",
    "a flood of connections",
    "a gigabyte declared",
    "a gigabyte in chunks",
    "large bodies that linger",
    "large bodies, whole",
    "100,000 headers",
    "one huge header",
    "chunk extensions",
    "trailers",
    "packed bodies",
    "deep JSON",
    "huge numbers and texts",
    "duplicate keys",
    "smuggled lengths",
    "pipelined requests",
    "HTTP/2 rapid reset",
    "bad keys",
    "no money",
    "lists of models",
    "a hostile provider",
];

/// The most memory that the server may have at any moment, in MiB.
const MEMORY_MAX: f64 = 1536.0;
/// How many descriptors more than before there may be afterwards: connections to providers, which are kept a while.
const DESCRIPTORS_MORE: usize = 24;
/// How long whatever must come to an end may take.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long an attacker stays with one request.
const ATTEMPT: Duration = Duration::from_secs(2);
/// How many good calls are made before the first is timed.
const WARM: usize = 50;

/// Two budgets: one for all that the honest provider bills, and one that is spent at once.
const BUDGETS: &str = r#"
[[budget]]
name = "the purse"
where = { provider = "truth" }
limit = "$100000"

[[budget]]
name = "poor"
where = { session = "poor" }
limit = "$0.000001"
"#;

fn main() -> Res {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match words[..] {
        ["provider"] => runtime.block_on(provide()),
        ["attack", name, addr, seconds, size] => {
            let attack = Attack::new(addr.parse()?, seconds.parse()?, size.parse()?);
            runtime.block_on(attack.run(name))
        }
        ref flags => runtime.block_on(prove(&Args::read(flags)?)),
    }
}

struct Args {
    seconds: u64,
    rate: u64,
    size: usize,
    only: Option<String>,
}

impl Args {
    fn read(flags: &[&str]) -> Res<Self> {
        let mut args = Self { seconds: 5, rate: 100, size: 100, only: None };
        let mut flags = flags.iter();
        while let Some(flag) = flags.next() {
            let value = flags.next().ok_or_else(|| format!("`{flag}` needs a value"))?;
            match *flag {
                "--seconds" => args.seconds = value.parse()?,
                "--rate" => args.rate = value.parse()?,
                "--size" => args.size = value.parse()?,
                "--only" => args.only = Some((*value).to_owned()),
                _ => return Err(format!("there is no flag `{flag}`").into()),
            }
        }
        Ok(args)
    }
}

/// What was found of one attack.
struct Found {
    name: &'static str,
    attempts: String,
    alone: Timed,
    beside: Timed,
    peak_mib: f64,
    descriptors: (usize, usize),
}

/// The times of good calls, in milliseconds.
#[derive(Clone, Copy)]
struct Timed {
    p50: f64,
    p99: f64,
}

impl Found {
    fn ratio(&self) -> f64 {
        self.beside.p99 / self.alone.p99
    }

    /// A row of the table of claims.
    fn row(&self) -> String {
        let Self { name, attempts, alone, beside, peak_mib, descriptors: (before, after) } = self;
        format!(
            "{name:26} {attempts:>22}  p50 {:6.2} -> {:6.2} ms  p99 {:6.2} -> {:6.2} ms ({:5.2})  peak {peak_mib:6.1} MiB  \
             descriptors {before} -> {after}",
            alone.p50,
            beside.p50,
            alone.p99,
            beside.p99,
            self.ratio()
        )
    }
}

/// All that runs.
struct Scene {
    household: Household,
    truth: TruthProvider,
    serving: Serving,
    _hostile: Child,
    _folder: tempfile::TempDir,
}

impl Scene {
    async fn open() -> Res<Self> {
        let (household, folder) = household()?;
        let prices = Prices { input: PicoUsdPerToken::new(500_000), output: PicoUsdPerToken::new(2_000_000) };
        let truth = TruthProvider::start(Settings { prices, ..Settings::default() }).await?;
        let mut hostile = beside(&["provider"])?;
        let said = hostile.stdout.take().ok_or("the hostile provider was not piped")?;
        let line = BufReader::new(said).lines().next_line().await?.ok_or("the hostile provider ended")?;
        std::fs::write(&household.config, config(truth.addr(), line.parse()?))?;
        let serving = household.serve().await?;
        Ok(Self { household, truth, serving, _hostile: hostile, _folder: folder })
    }

    fn pid(&self) -> Res<u32> {
        Ok(self.serving.pid().ok_or("the server ended by itself")?)
    }

    /// Times good calls for so many seconds. Every one of them must be answered.
    async fn good(&self, args: &Args) -> Res<Timed> {
        let (addr, calls) = (self.serving.addr(), args.rate * args.seconds);
        let (begins, mut running) = (Instant::now(), JoinSet::new());
        for number in 0..calls {
            let due = begins + Duration::from_micros(1_000_000 / args.rate) * u32::try_from(number)?;
            running.spawn(async move {
                sleep_until(due).await;
                let answer = good_call(addr).await;
                (due.elapsed(), answer)
            });
        }
        let mut took = Vec::new();
        while let Some(ended) = running.join_next().await {
            let (time, answer) = ended?;
            let answer = answer?;
            if answer.status != 200 || !answer.complete {
                return Err(format!("a good call was answered {}: {}", answer.status, answer.text()).into());
            }
            took.push(time.as_secs_f64() * 1000.0);
        }
        took.sort_unstable_by(f64::total_cmp);
        let at = |percent: usize| took.get((took.len() * percent / 100).min(took.len().saturating_sub(1)));
        Ok(Timed { p50: at(50).copied().unwrap_or(0.0), p99: at(99).copied().unwrap_or(0.0) })
    }

    /// Times good calls alone, and then beside one attack.
    async fn try_out(&self, name: &'static str, args: &Args) -> Res<Found> {
        let pid = self.pid()?;
        let alone = self.good(args).await?;
        let before = descriptors(pid)?;
        // From here on the peak is that of this attack.
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5")?;
        let (addr, seconds) = (self.serving.addr().to_string(), (args.seconds + 3).to_string());
        let attack = beside(&["attack", name, &addr, &seconds, &args.size.to_string()])?;
        // It is at its height by then.
        sleep(Duration::from_secs(2)).await;
        let timed = self.good(args).await.map_err(|why| format!("{name}: {why}"))?;
        let done = timeout(PATIENCE, attack.wait_with_output()).await??;
        let attempts = String::from_utf8_lossy(&done.stdout).trim().to_owned();
        let peak_mib = peak(pid)?;
        let after = self.settle_down(pid, before).await?;
        Ok(Found { name, attempts, alone, beside: timed, peak_mib, descriptors: (before, after) })
    }

    /// Waits until the descriptors are back, for a while.
    async fn settle_down(&self, pid: u32, before: usize) -> Res<usize> {
        let ends = Instant::now() + PATIENCE;
        loop {
            let now = descriptors(pid)?;
            if now <= before + DESCRIPTORS_MORE || Instant::now() > ends {
                return Ok(now);
            }
            sleep(Duration::from_millis(100)).await;
        }
    }

    /// The books against the bill, once everything has ended.
    async fn balance(self) -> Res<String> {
        self.serving.stop().await?;
        self.truth.quiet().await?;
        let serving = self.household.serve().await?;
        let status = self.household.status().await?;
        serving.stop().await?;
        self.household.verify().await?;
        let accounts = status["accounts"].as_array().ok_or("the status has no accounts")?;
        let purse = accounts.iter().find(|account| account["budget"] == "the purse").ok_or("there is no purse")?;
        let amount = |name: &str| purse["limits"][0][name].as_u64().unwrap_or(u64::MAX);
        let [spent, assumed, held] = ["spent", "assumed", "held"].map(amount);
        let bill = self.truth.bill().get();
        if held != 0 || bill < spent || bill > spent + assumed {
            return Err(format!("billed {bill}, spent {spent}, assumed {assumed}, held {held}").into());
        }
        Ok(format!("billed {}, spent {} and assumed {}", dollars(bill), dollars(spent), dollars(assumed)))
    }
}

fn dollars(nano: u64) -> String {
    almoner_units::NanoUsd::new(nano).to_string()
}

fn config(truth: SocketAddr, hostile: SocketAddr) -> String {
    format!(
        r#"
drain_max = "2s"
stream_idle_max = "5s"
receive_max = "20s"

[[provider]]
name = "truth"
dialects = ["anthropic"]
base_url = "http://{truth}"
models = ["truth-model"]

[[provider]]
name = "hostile"
dialects = ["anthropic"]
base_url = "http://{hostile}"
models = ["hostile-*"]
free = true

[[price]]
model = "truth-model"
provider = "truth"
input = 0.5
output = 2
context_window = 200000
max_output = 32000
{BUDGETS}"#
    )
}

/// This program once more, with less of a right to the processor.
fn beside(words: &[&str]) -> Res<Child> {
    let mut command = Command::new("nice");
    command.args(["-n", "10"]).arg(std::env::current_exe()?).args(words);
    Ok(command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?)
}

async fn good_call(addr: SocketAddr) -> Res<Answer> {
    let body = message("truth-model", "Hello");
    let headers = [("x-api-key", "truth"), ("anthropic-version", "2023-06-01")];
    let post = Post { path: "/v1/messages", headers: &headers, body: body.as_bytes(), patience: Patience::ToTheEnd };
    let answer = timeout(PATIENCE, post.send(addr)).await.map_err(|_| "a good call was not answered")?;
    answer.map_err(|why| format!("a good call had no answer: {why:?}").into())
}

fn message(model: &str, text: &str) -> String {
    json!({ "model": model, "max_tokens": 64, "messages": [{ "role": "user", "content": text }] }).to_string()
}

fn descriptors(pid: u32) -> Res<usize> {
    Ok(std::fs::read_dir(format!("/proc/{pid}/fd"))?.count())
}

/// The most memory since it was last asked to forget, in MiB.
fn peak(pid: u32) -> Res<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).ok_or("the system tells no peak")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<f64>()? / 1024.0)
}

async fn prove(args: &Args) -> Res {
    let scene = Scene::open().await?;
    for _ in 0..WARM {
        good_call(scene.serving.addr()).await?;
    }
    let mut all = Vec::new();
    for name in ATTACKS.into_iter().filter(|name| args.only.as_ref().is_none_or(|only| only == name)) {
        let found = scene.try_out(name, args).await?;
        writeln!(stdout(), "{}", found.row())?;
        if found.peak_mib > MEMORY_MAX {
            return Err(format!("{name}: the server had {:.0} MiB", found.peak_mib).into());
        }
        if found.descriptors.1 > found.descriptors.0 + DESCRIPTORS_MORE {
            let (before, after) = found.descriptors;
            return Err(format!("{name}: {before} descriptors were open before, and {after} after").into());
        }
        all.push(found);
    }
    let books = scene.balance().await?;
    writeln!(stdout(), "{}", line(&all, args, &books)?)?;
    Ok(())
}

fn line(all: &[Found], args: &Args, books: &str) -> Res<String> {
    let worst = all.iter().max_by(|one, other| one.ratio().total_cmp(&other.ratio())).ok_or("no attack was tried")?;
    let above = all.iter().filter(|found| found.ratio() > 2.0).count();
    let peak = all.iter().map(|found| found.peak_mib).fold(0.0, f64::max);
    Ok(format!(
        "abuse: n {} attacks of {} s at {} good calls a second, worst case p99 {:.2} of its baseline under {}, {above} \
         above 2, every good call answered, peak memory {peak:.0} MiB, descriptors back, {books}",
        all.len(),
        args.seconds,
        args.rate,
        worst.ratio(),
        worst.name
    ))
}

/// Listens as the hostile provider, and says where, until it is ended.
async fn provide() -> Res {
    let hostile = HostileProvider::start().await?;
    writeln!(stdout(), "{}", hostile.addr())?;
    std::future::pending::<()>().await;
    Ok(())
}

/// One attack.
#[derive(Clone, Copy)]
struct Attack {
    addr: SocketAddr,
    ends: Instant,
    /// Of all counts, how many percent.
    size: usize,
}

/// What stands behind one connection that is held.
#[derive(Clone, Copy)]
enum Drip {
    Nothing,
    Header,
    Byte,
}

const HEAD: &str =
    "POST /v1/messages HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nx-api-key: x\r\n";

impl Attack {
    fn new(addr: SocketAddr, seconds: u64, size: usize) -> Self {
        Self { addr, ends: Instant::now() + Duration::from_secs(seconds), size }
    }

    fn of(self, count: usize) -> usize {
        (count * self.size / 100).max(1)
    }

    /// Goes on until its time is over, and says what it did.
    async fn run(self, name: &str) -> Res {
        let sized = |bytes: &str| format!("{HEAD}content-length: {}\r\n\r\n{bytes}", bytes.len()).into_bytes();
        let large = "x".repeat(4_000_000);
        let did = match name {
            "idle connections" => self.hold(12_000, "", Drip::Nothing).await,
            "slow heads" => self.hold(10_000, HEAD, Drip::Header).await,
            "slow bodies" => self.hold(10_000, &format!("{HEAD}content-length: 9999\r\n\r\n{{"), Drip::Byte).await,
            "slow readers" => self.unread(100).await,
            "a flood of connections" => self.send(1_000, |_| Vec::new()).await,
            "a gigabyte declared" => {
                let head = format!("{HEAD}content-length: 1073741824\r\n\r\n{large}");
                self.send(20, move |_| head.clone().into_bytes()).await
            }
            "a gigabyte in chunks" => self.gigabytes(4).await,
            "large bodies that linger" => {
                let part = format!("{HEAD}content-length: 4000100\r\n\r\n{{\"x\":\"{large}");
                self.hold(300, &part, Drip::Nothing).await
            }
            "large bodies, whole" => {
                let whole = sized(&message("hostile-silent", &"word ".repeat(400_000)));
                self.send(10, move |_| whole.clone()).await
            }
            "100,000 headers" => {
                let headers: String = (0..100_000).map(|number| format!("x-{number}: 1\r\n")).collect();
                self.send(50, move |_| format!("{HEAD}{headers}\r\n").into_bytes()).await
            }
            "one huge header" => {
                let head = format!("{HEAD}x-huge: {}\r\n\r\n", "x".repeat(1 << 20));
                self.send(50, move |_| head.clone().into_bytes()).await
            }
            "chunk extensions" => {
                let chunk = format!("1;{}\r\n{{\r\n", "x=y;".repeat(4_000));
                let all = format!("{HEAD}transfer-encoding: chunked\r\n\r\n{}", chunk.repeat(20));
                self.send(50, move |_| all.clone().into_bytes()).await
            }
            "trailers" => {
                let trailers = "x-trailer: aaaaaaaaaaaa\r\n".repeat(10_000);
                let all = format!("{HEAD}transfer-encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n{trailers}\r\n");
                self.send(50, move |_| all.clone().into_bytes()).await
            }
            "packed bodies" => {
                let head = format!("{HEAD}content-encoding: gzip\r\ncontent-length: 100000\r\n\r\n");
                let all = [head.into_bytes(), vec![0x1f; 100_000]].concat();
                self.send(100, move |_| all.clone()).await
            }
            "deep JSON" => {
                let body = sized(&format!("{}1{}", "{\"a\":".repeat(1_000_000), "}".repeat(1_000_000)));
                self.send(10, move |_| body.clone()).await
            }
            "huge numbers and texts" => {
                let (number, text) = ("9".repeat(1_000_000), "\\u0041".repeat(200_000));
                let body = sized(&format!("{{\"model\":\"truth-model\",\"max_tokens\":{number},\"x\":\"{text}\"}}"));
                self.send(20, move |_| body.clone()).await
            }
            "duplicate keys" => {
                let body = sized(&format!(
                    "{{\"model\":\"truth-model\",{}\"max_tokens\":1}}",
                    "\"max_tokens\":1,".repeat(10_000)
                ));
                self.send(100, move |_| body.clone()).await
            }
            "smuggled lengths" => self.send(200, smuggled).await,
            "pipelined requests" => {
                let all = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(1_000);
                self.send(5, move |_| all.clone().into_bytes()).await
            }
            "HTTP/2 rapid reset" => {
                // The preface, empty settings, and streams that are opened and reset at once.
                let open = b"\0\0\x01\x01\x05\0\0\0\x01\x82\0\0\x04\x03\0\0\0\0\x01\0\0\0\x08".repeat(1_000);
                let all = [&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"[..], &open].concat();
                self.send(200, move |_| all.clone()).await
            }
            "bad keys" => {
                let body = message("truth-model", "Hello");
                let key =
                    |number| format!("x-almoner-key: alm_{number:043}\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                self.send(400, move |number| format!("{HEAD}{}", key(number)).into_bytes()).await
            }
            "no money" => {
                let body = message("truth-model", "Hello");
                let poor = format!("{HEAD}x-almoner-session: poor\r\ncontent-length: {}\r\n\r\n{body}", body.len());
                self.send(400, move |_| poor.clone().into_bytes()).await
            }
            "lists of models" => {
                let paths = ["/v1/models", "/api/tags", "/v1beta/models", "/api/v1/budgets"];
                let get = move |number: usize| format!("GET {} HTTP/1.1\r\nhost: localhost\r\n\r\n", paths[number % 4]);
                self.send(400, move |number| get(number).into_bytes()).await
            }
            "a hostile provider" => self.misdeeds(20).await,
            _ => return Err(format!("there is no attack `{name}`").into()),
        };
        writeln!(stdout(), "{did}")?;
        Ok(())
    }

    /// Sends so many requests a second, each on a connection of its own that is closed once it is answered.
    async fn send(self, rate: usize, bytes: impl Fn(usize) -> Vec<u8>) -> String {
        let rate = self.of(rate);
        let (mut tick, mut running, mut count) =
            (interval(Duration::from_secs(1) / u32::try_from(rate).unwrap_or(1)), JoinSet::new(), 0);
        while Instant::now() < self.ends {
            tick.tick().await;
            running.spawn(attempt(self.addr, bytes(count)));
            count += 1;
            while running.try_join_next().is_some() {}
        }
        format!("{count} requests")
    }

    /// Holds so many connections, on each of which this was sent, and opens another wherever one ends.
    async fn hold(self, most: usize, first: &str, drip: Drip) -> String {
        let most = self.of(most);
        let mut held = JoinSet::new();
        let mut count = 0;
        while Instant::now() < self.ends {
            while held.try_join_next().is_some() {}
            // A burst at a time until all are there, within a second; from then on what is lost comes back at leisure.
            let burst = if count < most { most.div_ceil(20) } else { most.div_ceil(200) };
            for _ in held.len()..most.min(held.len() + burst) {
                held.spawn(hold(self.addr, first.to_owned(), drip, self.ends));
                count += 1;
            }
            sleep(Duration::from_millis(40)).await;
        }
        format!("{count} connections")
    }

    /// Asks for streams without an end, and reads none of them.
    async fn unread(self, most: usize) -> String {
        let most = self.of(most);
        let body = message("hostile-endless", "Hello").replacen('{', "{\"stream\":true,", 1);
        let all = format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len());
        let mut held = JoinSet::new();
        for _ in 0..most {
            let (addr, all) = (self.addr, all.clone());
            held.spawn(async move {
                let socket = TcpSocket::new_v4()?;
                socket.set_recv_buffer_size(4096)?;
                let mut stream = socket.connect(addr).await?;
                stream.write_all(all.as_bytes()).await?;
                sleep_until(self.ends).await;
                Ok::<_, std::io::Error>(())
            });
            sleep(Duration::from_millis(1)).await;
        }
        sleep_until(self.ends).await;
        format!("{most} streams")
    }

    /// Sends bodies in chunks without an end.
    async fn gigabytes(self, most: usize) -> String {
        let chunk = format!("100000\r\n{}\r\n", "x".repeat(0x10_0000));
        let (mut sent, mut count) = (0, 0);
        while Instant::now() < self.ends {
            let mut running = JoinSet::new();
            for _ in 0..self.of(most) {
                let chunk = chunk.clone();
                running.spawn(async move {
                    let mut stream = TcpStream::connect(self.addr).await?;
                    stream.write_all(format!("{HEAD}transfer-encoding: chunked\r\n\r\n").as_bytes()).await?;
                    for sent in 0..1024_usize {
                        let written = timeout_at(self.ends, stream.write_all(chunk.as_bytes())).await;
                        if !matches!(written, Ok(Ok(()))) {
                            return Ok(sent);
                        }
                    }
                    Ok::<_, std::io::Error>(1024)
                });
            }
            count += running.len();
            for ended in running.join_all().await {
                sent += ended.unwrap_or(0);
            }
            sleep(Duration::from_millis(100)).await;
        }
        format!("{count} bodies, {sent} MiB")
    }

    /// Calls that the hostile provider answers.
    async fn misdeeds(self, rate: usize) -> String {
        let send = move |number: usize| {
            let body = message(&format!("hostile-{}", MISDEEDS[number % MISDEEDS.len()]), "Hello");
            let body = body.replacen('{', if number.is_multiple_of(2) { "{\"stream\":true," } else { "{" }, 1);
            format!("{HEAD}content-length: {}\r\n\r\n{body}", body.len()).into_bytes()
        };
        self.send(rate, send).await
    }
}

/// One request, whatever becomes of it.
async fn attempt(addr: SocketAddr, bytes: Vec<u8>) {
    let work = async {
        let mut stream = TcpStream::connect(addr).await?;
        // A server that has seen enough closes before it has read it all.
        drop(stream.write_all(&bytes).await);
        let mut answer = [0; 4096];
        stream.read(&mut answer).await
    };
    drop(timeout(ATTEMPT, work).await);
}

/// One connection that is kept for as long as it can be.
async fn hold(addr: SocketAddr, first: String, drip: Drip, ends: Instant) {
    let work = async {
        let mut stream = TcpStream::connect(addr).await?;
        stream.write_all(first.as_bytes()).await?;
        let mut answer = [0; 512];
        loop {
            match timeout(Duration::from_secs(1), stream.read(&mut answer)).await {
                Ok(_) => return Ok::<_, std::io::Error>(()),
                Err(_) => match drip {
                    Drip::Nothing => {}
                    Drip::Header => stream.write_all(b"x-drip: 1\r\n").await?,
                    Drip::Byte => stream.write_all(b" ").await?,
                },
            }
        }
    };
    drop(timeout_at(ends, work).await);
}

/// A request that two readers might cut in two places.
fn smuggled(number: usize) -> Vec<u8> {
    let inner = "GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let heads = [
        "content-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        "content-length: 5\r\ncontent-length: 6\r\n\r\n",
        "transfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
        "content-length : 5\r\n\r\n",
        "x-folded: a\r\n b\r\ncontent-length: 5\r\n\r\n",
        "content-length: 5\n\n",
        "content-length: 0x5\r\n\r\n",
        "transfer-encoding: chunked\r\n\r\n5;\n\r\n",
        "content-length: -5\r\n\r\n",
    ];
    format!("{HEAD}{}{inner}", heads[number % heads.len()]).into_bytes()
}
