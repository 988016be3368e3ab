//! The gateway beside nginx as a plain reverse proxy, and beside no proxy at all.
//!
//! Five ways lead to the same upstream: straight, by nginx, and by Almoner without a budget, with a hard budget whose
//! state is in memory, and with one whose state is on disk. Every round calls each way once, each round begins with
//! another way, and all of them share the same cores with the load and the upstream.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::Size;
use super::figure::{Figure, Goal};
use super::process::{Folder, Running, built, on_cores};

const JSON: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"bench-model","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":12,"output_tokens":8}}"#;

const SCRIPT: &str = r#"
wrk.method = "POST"
wrk.path = "/v1/messages"
wrk.headers["content-type"] = "application/json"
wrk.headers["x-api-key"] = "sk-bench"
wrk.headers["anthropic-version"] = "2023-06-01"
wrk.body = [[{"model":"bench-model","max_tokens":256,"messages":[{"role":"user","content":"hi"}]}]]
"#;

/// How a script of wrk tells what it found.
pub(super) const REPORT: &str = r#"
done = function(all, latency)
  local e = all.errors
  io.write(string.format("found %d %d %d\n", latency:percentile(50), all.requests, all.duration))
  io.write(string.format("failed %d status, %d connect, %d read, %d write, %d timeout\n", e.status, e.connect, e.read,
    e.write, e.timeout))
end
"#;

/// The ways, as the rows of the table name them.
const WAYS: [&str; 5] = ["direct", "nginx", "(a) no budget", "(b) budget, in memory", "(c) budget, on disk"];
const NGINX: usize = 1;
const IN_MEMORY: usize = 3;
const ON_DISK: usize = 4;

/// Everything that runs while the gateway is measured.
pub(crate) struct Street {
    cores: String,
    script: PathBuf,
    /// Where each way begins, in the order of [`WAYS`].
    ways: Vec<Running>,
    upstream: Running,
    streams: Running,
    /// Where first bytes of streams are asked for, in the order of [`WAYS`].
    stream_nginx: Running,
    disk: Folder,
    _memory: Folder,
}

/// What one round found on one way.
#[derive(Clone, Copy, Default)]
struct Sample {
    alone_p50_ms: f64,
    rate: f64,
    cpu_us: f64,
}

impl Street {
    pub(crate) fn open(cores: &str) -> Result<Self, String> {
        let disk = Folder::new(&built("bench")?, "disk")?;
        let memory = Folder::new(Path::new("/dev/shm"), "memory")?;
        let script = disk.write("post.lua", &format!("{SCRIPT}{REPORT}"))?;
        let upstream = nginx(&disk, "upstream", cores, &upstream_conf())?;
        let mut provider = on_cores(cores, &built("release/examples/streams")?);
        provider.arg("provider");
        let streams = Running::that_says_where(provider)?;
        let proxy = nginx(&disk, "proxy", cores, &proxy_conf(&upstream))?;
        let stream_nginx = nginx(&disk, "proxy-streams", cores, &proxy_conf(&streams))?;
        let config = disk.write("almoner.toml", &almoner_config(&upstream, &streams))?;
        let almoner = |state: PathBuf, more: &[&str]| almoner(cores, &config, &state, more);
        let ways = vec![
            proxy,
            almoner(disk.0.join("no-budget"), &["--no-budgets"])?,
            almoner(memory.0.join("state"), &[])?,
            almoner(disk.0.join("state"), &[])?,
        ];
        Ok(Self { cores: cores.to_owned(), script, ways, upstream, streams, stream_nginx, disk, _memory: memory })
    }

    fn way(&self, way: usize) -> &Running {
        if way == 0 { &self.upstream } else { &self.ways[way - 1] }
    }

    /// The memory of a gateway that has answered nothing yet.
    pub(crate) fn idle_memory(&self) -> Figure {
        let mib = self.way(ON_DISK).resident() / 1024.0;
        Figure::new("idle memory", "MiB", Goal::AtMost(40.0), vec![mib])
    }

    /// Latency, rate and processor time of every way, and what is asked of them.
    pub(crate) fn calls(&self, size: Size) -> Result<Vec<Figure>, String> {
        let mut samples = vec![Vec::new(); WAYS.len()];
        let mut commits = Vec::new();
        for round in 0..size.rounds {
            for turn in 0..WAYS.len() {
                let way = (round + turn) % WAYS.len();
                samples[way].push(self.sample(way, size.seconds)?);
            }
            commits.push(self.commit()?);
        }
        Ok(judged(&samples, commits))
    }

    fn sample(&self, way: usize, seconds: usize) -> Result<Sample, String> {
        let alone = self.load(way, 1, seconds)?;
        let before = self.way(way).cpu();
        let many = self.load(way, 32, seconds)?;
        let cpu = self.way(way).cpu() - before;
        Ok(Sample { alone_p50_ms: alone.p50_us / 1e3, rate: many.rate, cpu_us: cpu * 1e6 / many.requests })
    }

    fn load(&self, way: usize, connections: usize, seconds: usize) -> Result<Load, String> {
        let load = Load::take(&self.cores, &self.script, self.way(way), connections, seconds);
        load.map_err(|why| format!("on the way `{}`: {why}", WAYS[way]))
    }

    /// How long one durable row takes on this disk now, in milliseconds.
    fn commit(&self) -> Result<f64, String> {
        let mut rows = on_cores(&self.cores, &built("release/examples/durable")?);
        let said = output(rows.arg("row").arg(&self.disk.0))?;
        said.trim().parse().map_err(|_| format!("no time of a row, but: {said}"))
    }

    /// How long the first byte of a stream takes on every way.
    pub(crate) fn first_bytes(&self, size: Size) -> Result<Vec<Figure>, String> {
        let at = |way| {
            if way == 0 {
                &self.streams
            } else if way == NGINX {
                &self.stream_nginx
            } else {
                self.way(way)
            }
        };
        let mut rounds = vec![Vec::new(); WAYS.len()];
        for round in 0..size.rounds {
            let order: Vec<usize> = (0..WAYS.len()).map(|turn| (round + turn) % WAYS.len()).collect();
            let mut client = on_cores(&self.cores, &built("release/examples/streams")?);
            client.args(["first-byte", &(100 * size.seconds).to_string()]);
            let said = output(client.args(order.iter().map(|way| at(*way).addr.to_string())))?;
            let found: Vec<f64> = said.lines().filter_map(|line| line.split_once(' ')?.1.parse().ok()).collect();
            if found.len() != order.len() {
                return Err(format!("no times of first bytes, but: {said}"));
            }
            order.iter().zip(found).for_each(|(way, ms)| rounds[*way].push(ms));
        }
        let what = |way: &str| format!("first byte of a stream, {way}");
        let told = |way: usize| Figure::new(&what(WAYS[way]), "ms", Goal::None, rounds[way].clone());
        let mut figures: Vec<Figure> = (0..WAYS.len()).map(told).collect();
        let behind = minus(&figures[IN_MEMORY], &figures[NGINX]);
        let parts = [&figures[IN_MEMORY], &figures[NGINX]];
        let asked = Figure::new(&what("(b) behind nginx"), "ms", Goal::AtMost(0.15), behind).made_of(&parts);
        figures.push(asked);
        Ok(figures)
    }
}

/// What many streams that stay open cost, in a server that does nothing else.
pub(crate) fn open_streams(cores: &str, count: usize) -> Result<Figure, String> {
    let street = Street::open(cores)?;
    let server = street.way(IN_MEMORY);
    let mut client = on_cores(cores, &built("release/examples/streams")?);
    client.args(["hold", &count.to_string(), &server.addr.to_string()]);
    let before = server.resident();
    let mut held = super::process::Held::start(&mut client)?;
    held.wait_for(&format!("open {count}"))?;
    let each = (server.resident() - before) / count as f64;
    Ok(Figure::new(&format!("each of {count} open streams"), "KiB", Goal::AtMost(64.0), vec![each]))
}

/// What wrk found.
pub(super) struct Load {
    pub(super) p50_us: f64,
    pub(super) requests: f64,
    pub(super) rate: f64,
}

impl Load {
    /// Loads a server with a script; calls that fail are an error.
    pub(super) fn take(
        cores: &str,
        script: &Path,
        server: &Running,
        connections: usize,
        seconds: usize,
    ) -> Result<Self, String> {
        let (load, failures) = Self::with_failures(cores, script, server, connections, seconds)?;
        failures.map_or(Ok(load), Err)
    }

    /// Loads a server with a script, and tells which calls failed, where any did.
    pub(super) fn with_failures(
        cores: &str,
        script: &Path,
        server: &Running,
        connections: usize,
        seconds: usize,
    ) -> Result<(Self, Option<String>), String> {
        let mut wrk = on_cores(cores, Path::new("wrk"));
        wrk.args(["-t1", &format!("-c{connections}"), &format!("-d{seconds}s"), "-s"]).arg(script);
        wrk.arg(format!("http://{}/", server.addr));
        let said = output(&mut wrk)?;
        let load = Self::of(&said).ok_or_else(|| format!("wrk said no figures, but: {said}"))?;
        let told = |kinds: &str| format!("of {} calls some failed: {kinds}", load.requests);
        let failures = failures(&said).map(told);
        Ok((load, failures))
    }

    fn of(said: &str) -> Option<Self> {
        let found = said.lines().find_map(|line| line.strip_prefix("found "))?;
        let numbers: Vec<f64> = found.split(' ').filter_map(|number| number.parse().ok()).collect();
        let [p50_us, requests, us] = numbers[..] else { return None };
        (requests > 0.0).then_some(Self { p50_us, requests, rate: requests * 1e6 / us })
    }
}

/// The kinds of failure that wrk counted, where it counted any; a timeout is an answer that took two seconds.
fn failures(said: &str) -> Option<&str> {
    let kinds = said.lines().find_map(|line| line.strip_prefix("failed "))?;
    kinds.contains(|letter| matches!(letter, '1'..='9')).then_some(kinds)
}

/// The figures of every way, and then what is asked of them.
fn judged(samples: &[Vec<Sample>], commits: Vec<f64>) -> Vec<Figure> {
    let told = |what: &str, unit: &str, of: fn(&Sample) -> f64| -> Vec<Figure> {
        let figure = |(way, rounds): (&&str, &Vec<Sample>)| {
            Figure::new(&format!("{what}, {way}"), unit, Goal::None, rounds.iter().map(of).collect())
        };
        WAYS.iter().zip(samples).map(figure).collect()
    };
    let p50 = told("one caller, p50", "ms", |sample| sample.alone_p50_ms);
    let rate = told("32 callers", "calls/s", |sample| sample.rate);
    let cpu = told("processor time of a call at 32 callers", "µs", |sample| sample.cpu_us);
    let commit = Figure::new("one durable row", "ms", Goal::None, commits);
    let ask = |what: &str, unit: &str, goal: Goal, parts: &[&Figure], of: &dyn Fn(&[f64]) -> f64| {
        let rounds = (0..commit.rounds().len()).map(|round| {
            let values: Vec<f64> = parts.iter().map(|part| part.rounds()[round]).collect();
            of(&values)
        });
        Figure::new(what, unit, goal, rounds.collect()).made_of(parts)
    };
    let asked = [
        ask("one caller: (b) behind nginx", "ms", Goal::AtMost(0.15), &[&p50[IN_MEMORY], &p50[NGINX]], &|of| {
            of[0] - of[1]
        }),
        ask(
            "one caller: (c) behind nginx and one row",
            "ms",
            Goal::AtMost(0.15),
            &[&p50[ON_DISK], &p50[NGINX], &commit],
            &|of| of[0] - of[1] - of[2],
        ),
        ask("32 callers: (b) / nginx", "", Goal::AtLeast(0.35), &[&rate[IN_MEMORY], &rate[NGINX]], &|of| of[0] / of[1]),
        ask(
            "32 callers: (c) / the lesser of (b) and 32 calls in 1.5 rows",
            "",
            Goal::AtLeast(0.7),
            &[&rate[ON_DISK], &rate[IN_MEMORY], &commit],
            &|of| of[0] / of[1].min(32.0 / (1.5 * of[2] / 1e3)),
        ),
        ask("processor time of a call: (b) / nginx", "", Goal::AtMost(4.0), &[&cpu[IN_MEMORY], &cpu[NGINX]], &|of| {
            of[0] / of[1]
        }),
    ];
    let asked = asked.to_vec();
    p50.into_iter().chain(rate).chain(cpu).chain([commit]).chain(asked).collect()
}

/// How many times the other a figure is, round by round.
pub(super) fn ratio(what: &str, goal: Goal, one: &Figure, other: &Figure) -> Figure {
    let rounds = one.rounds().iter().zip(other.rounds()).map(|(one, other)| one / other);
    Figure::new(what, "", goal, rounds.collect()).made_of(&[one, other])
}

fn minus(one: &Figure, other: &Figure) -> Vec<f64> {
    one.rounds().iter().zip(other.rounds()).map(|(one, other)| one - other).collect()
}

fn output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|why| format!("{command:?} could not be started: {why}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(said);
    }
    Err(format!("{command:?} failed ({}): {}", output.status, String::from_utf8_lossy(&output.stderr)))
}

pub(super) fn nginx(disk: &Folder, name: &str, cores: &str, http: &str) -> Result<Running, String> {
    let folder = Folder(disk.0.join(name));
    std::fs::create_dir_all(&folder.0).map_err(|why| format!("{name} cannot be made: {why}"))?;
    // The folders that the package would use belong to another user.
    let kinds = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary: String =
        kinds.iter().map(|kind| format!("  {kind}_temp_path {}/{kind};\n", folder.0.display())).collect();
    let conf = format!(
        "worker_processes 1;\npid nginx.pid;\nevents {{ worker_connections 8192; }}\nhttp {{\n{temporary}  \
         access_log off;\n  keepalive_requests 1000000000;\n  keepalive_timeout 1h;\n{http}}}\n"
    );
    let running = Running::nginx(&folder, cores, &conf);
    // It lies in the other folder, which goes with all that is in it.
    std::mem::forget(folder);
    running
}

fn upstream_conf() -> String {
    format!(
        "  server {{\n    listen LISTEN;\n    default_type application/json;\n    location / {{ return 200 '{JSON}'; \
         }}\n  }}\n"
    )
}

pub(super) fn proxy_conf(upstream: &Running) -> String {
    format!(
        "  upstream provider {{ server {}; keepalive 64; keepalive_requests 1000000000; }}\n  server {{\n    listen \
         LISTEN;\n    location / {{\n      proxy_pass http://provider;\n      proxy_http_version 1.1;\n      \
         proxy_set_header Connection \"\";\n      proxy_buffering off;\n    }}\n  }}\n",
        upstream.addr
    )
}

fn almoner_config(upstream: &Running, streams: &Running) -> String {
    let provider = |name: &str, model: &str, at: &Running| {
        format!(
            "[[provider]]\nname = \"{name}\"\ndialects = [\"anthropic\"]\nbase_url = \"http://{}\"\nmodels = \
             [\"{model}\"]\n\n[[price]]\nmodel = \"{model}\"\ninput = 3.00\noutput = 15.00\n\n",
            at.addr
        )
    };
    "listen = \"127.0.0.1:0\"\n\n".to_owned()
        + &provider("upstream", "bench-model", upstream)
        + &provider("streams", "bench-stream", streams)
        + "[[budget]]\nname = \"everything\"\nlimit = [\"$9000000 / day\"]\nmode = \"stop-new\"\n"
}

pub(super) fn almoner(cores: &str, config: &Path, state: &Path, more: &[&str]) -> Result<Running, String> {
    let mut command = on_cores(cores, &built("release/almoner")?);
    command.arg("--config").arg(config).arg("--state").arg(state).arg("serve").args(more);
    Running::that_says_where(command)
}
