//! The gateway in every dialect, and the gateway with many keys and sessions: what a call costs there.
//!
//! Each dialect has the same three things side by side: nginx as its provider, with an answer of that dialect; nginx as
//! a plain proxy before it; and Almoner with a hard budget whose state is in memory. Of two Almoners the one has a few
//! keys and sessions and the other as many as a large company, and both get the same calls.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::Size;
use super::figure::{Figure, Goal};
use super::gateway::{Load, REPORT, almoner, nginx, proxy_conf, ratio};
use super::process::{Folder, Running, built};

/// A dialect: its name in the config, its path, a call and an answer.
struct Spoken {
    name: &'static str,
    path: &'static str,
    call: &'static str,
    answer: &'static str,
}

const DIALECTS: [Spoken; 5] = [
    Spoken {
        name: "anthropic",
        path: "/v1/messages",
        call: r#"{"model":"bench-model","max_tokens":256,"messages":[{"role":"user","content":"hi"}]}"#,
        answer: r#"{"id":"msg_1","type":"message","role":"assistant","model":"bench-model","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":12,"output_tokens":8}}"#,
    },
    Spoken {
        name: "openai-chat",
        path: "/v1/chat/completions",
        call: r#"{"model":"bench-model","max_completion_tokens":256,"messages":[{"role":"user","content":"hi"}]}"#,
        answer: r#"{"id":"c_1","object":"chat.completion","model":"bench-model","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":12,"completion_tokens":8,"total_tokens":20}}"#,
    },
    Spoken {
        name: "openai-responses",
        path: "/v1/responses",
        call: r#"{"model":"bench-model","max_output_tokens":256,"input":"hi"}"#,
        answer: r#"{"id":"resp_1","object":"response","status":"completed","model":"bench-model","output":[{"type":"message","role":"assistant","content":[{"type":"output_text","text":"Hello"}]}],"usage":{"input_tokens":12,"output_tokens":8,"total_tokens":20}}"#,
    },
    Spoken {
        name: "gemini",
        path: "/v1beta/models/bench-model:generateContent",
        call: r#"{"contents":[{"role":"user","parts":[{"text":"hi"}]}],"generationConfig":{"maxOutputTokens":256}}"#,
        answer: r#"{"candidates":[{"content":{"role":"model","parts":[{"text":"Hello"}]},"finishReason":"STOP"}],"usageMetadata":{"promptTokenCount":12,"candidatesTokenCount":8,"totalTokenCount":20},"modelVersion":"bench-model"}"#,
    },
    Spoken {
        name: "ollama",
        path: "/api/chat",
        call: r#"{"model":"bench-model","stream":false,"messages":[{"role":"user","content":"hi"}],"options":{"num_predict":256}}"#,
        answer: r#"{"model":"bench-model","message":{"role":"assistant","content":"Hello"},"done":true,"done_reason":"stop","prompt_eval_count":12,"eval_count":8}"#,
    },
];

/// How many keys and sessions there are.
#[derive(Clone, Copy)]
struct Crowd {
    keys: usize,
    sessions: usize,
}

impl Crowd {
    /// So many keys, each with ten sessions.
    const fn of(keys: usize) -> Self {
        Self { keys, sessions: 10 * keys }
    }
}

/// Few enough that nothing is ever looked up among many.
const FEW: Crowd = Crowd::of(10);

/// How long a run may be in which every session has its call.
const FILL_SECONDS_MAX: usize = 240;
/// How long all keys may take to be made. It is told, and asked, so that a crowd is never what makes a start slow.
const MAKING_SECONDS_MAX: f64 = 120.0;

/// What one round found.
#[derive(Clone, Copy)]
pub(super) struct Sample {
    pub(super) p50_ms: f64,
    pub(super) rate: f64,
    pub(super) cpu_us: f64,
}

/// One number of a sample.
pub(super) type Pick = fn(&Sample) -> f64;

/// What a call costs in every dialect, beside nginx.
pub(crate) fn dialects(cores: &str, size: Size) -> Result<Vec<Figure>, String> {
    let disk = Folder::new(&built("bench")?, "dialects")?;
    let memory = Folder::new(Path::new("/dev/shm"), "dialects")?;
    let upstream = nginx(&disk, "upstream", cores, &answers())?;
    let proxy = nginx(&disk, "proxy", cores, &proxy_conf(&upstream))?;
    let config = disk.write("almoner.toml", &config(&upstream, &DIALECTS, BUDGET))?;
    let server = almoner(cores, &config, &memory.0.join("state"), &[])?;
    let mut figures = Vec::new();
    for spoken in &DIALECTS {
        let script = disk.write(&format!("{}.lua", spoken.name), &script(spoken, ""))?;
        let (mut by_nginx, mut by_us) = (Vec::new(), Vec::new());
        for round in 0..size.rounds {
            let mut ways = [(&proxy, &mut by_nginx), (&server, &mut by_us)];
            ways.rotate_left(round % 2);
            for (way, samples) in ways {
                samples.push(sample(cores, &script, way, size.seconds)?);
            }
        }
        figures.extend(beside(spoken.name, &by_us, &by_nginx));
    }
    Ok(figures)
}

/// What a call costs among many keys and sessions, beside what it costs among few.
pub(crate) fn crowd(cores: &str, size: Size) -> Result<Vec<Figure>, String> {
    let disk = Folder::new(&built("bench")?, "crowd")?;
    let upstream = nginx(&disk, "upstream", cores, &answers())?;
    let config = disk.write("almoner.toml", &config(&upstream, &DIALECTS[..1], BUDGETS))?;
    let many = Crowd::of(size.keys);
    let mut houses = Vec::new();
    let mut making = 0.0;
    for (name, crowd) in [("few", FEW), ("many", many)] {
        let memory = Folder::new(Path::new("/dev/shm"), name)?;
        let state = memory.0.join("state");
        let server = almoner(cores, &config, &state, &[])?;
        let began = Instant::now();
        let keys = keys(&state.join("control.sock"), crowd.keys)?;
        making = began.elapsed().as_secs_f64();
        let keys = disk.write(&format!("{name}.keys"), &keys.join("\n"))?;
        let filling = disk.write("fill.lua", &script(&DIALECTS[0], &sessions(&keys, crowd, "turn")))?;
        fill(cores, &filling, &server, crowd)?;
        let drawn = script(&DIALECTS[0], &sessions(&keys, crowd, "math.random(0, SESSIONS - 1)"));
        houses.push((disk.write(&format!("{name}.lua"), &drawn)?, server, Vec::new(), memory));
    }
    for round in 0..size.rounds {
        for turn in 0..houses.len() {
            let at = (round + turn) % houses.len();
            let (script, server, samples, _) = &mut houses[at];
            samples.push(sample(cores, script, server, size.seconds)?);
        }
    }
    let [(.., few, _), (.., crowded, _)] = &houses[..] else { return Err("two servers were meant".to_owned()) };
    let told = format!("{} keys and {} sessions", many.keys, many.sessions);
    let making =
        Figure::new(&format!("{} keys are made in", many.keys), "s", Goal::AtMost(MAKING_SECONDS_MAX), vec![making]);
    Ok([making].into_iter().chain(as_few(&told, crowded, few)).collect())
}

/// Calls until every session has had one; each has its own by turns.
fn fill(cores: &str, script: &Path, server: &Running, crowd: Crowd) -> Result<(), String> {
    // Every run begins its turns anew, so one run must be long enough for all: it is made longer until it is.
    let mut seconds = 2 + crowd.sessions / 4000;
    while seconds <= FILL_SECONDS_MAX {
        if Load::take(cores, script, server, 32, seconds)?.requests >= crowd.sessions as f64 {
            return Ok(());
        }
        seconds *= 2;
    }
    Err(format!("{} sessions had no call each in {FILL_SECONDS_MAX} s", crowd.sessions))
}

/// One caller, and then 32.
pub(super) fn sample(cores: &str, script: &Path, way: &Running, seconds: usize) -> Result<Sample, String> {
    sample_by(way, |connections| Load::take(cores, script, way, connections, seconds))
}

/// One caller, and then 32, each by a load of so many connections.
pub(super) fn sample_by(way: &Running, mut load: impl FnMut(usize) -> Result<Load, String>) -> Result<Sample, String> {
    let alone = load(1)?;
    let before = way.cpu();
    let all = load(32)?;
    Ok(Sample { p50_ms: alone.p50_us / 1e3, rate: all.rate, cpu_us: (way.cpu() - before) * 1e6 / all.requests })
}

/// The figures of a dialect, and what is asked of them.
fn beside(name: &str, us: &[Sample], nginx: &[Sample]) -> Vec<Figure> {
    let told = |what: &str, unit: &str, of: &[Sample], pick: Pick| {
        Figure::new(&format!("{name}, {what}"), unit, Goal::None, of.iter().map(pick).collect())
    };
    let p50 = [us, nginx].map(|of| told("one caller, p50", "ms", of, |sample| sample.p50_ms));
    let cpu = [us, nginx].map(|of| told("processor time of a call", "µs", of, |sample| sample.cpu_us));
    let behind = p50[0].rounds().iter().zip(p50[1].rounds()).map(|(us, nginx)| us - nginx).collect();
    let behind = Figure::new(&format!("{name}, one caller: behind nginx"), "ms", Goal::AtMost(0.15), behind);
    let behind = behind.made_of(&[&p50[0], &p50[1]]);
    let times = ratio(&format!("{name}, processor time of a call / nginx"), Goal::AtMost(4.0), &cpu[0], &cpu[1]);
    let [p50, _] = p50;
    let [cpu, _] = cpu;
    vec![p50, behind, cpu, times]
}

/// What many keys and sessions change.
fn as_few(many: &str, crowded: &[Sample], few: &[Sample]) -> Vec<Figure> {
    let told = |what: &str, unit: &str, of: &[Sample], pick: Pick| {
        Figure::new(what, unit, Goal::None, of.iter().map(pick).collect())
    };
    let picks: [(&str, &str, Goal, Pick); 3] = [
        ("one caller, p50", "ms", Goal::AtMost(1.1), |sample| sample.p50_ms),
        ("32 callers", "calls/s", Goal::AtLeast(0.9), |sample| sample.rate),
        ("processor time of a call", "µs", Goal::AtMost(1.1), |sample| sample.cpu_us),
    ];
    let figures = picks.map(|(what, unit, goal, pick)| {
        let crowded = told(&format!("{what}, {many}"), unit, crowded, pick);
        let few = told(what, unit, few, pick);
        let ratio = ratio(&format!("{what}: {many} / few"), goal, &crowded, &few);
        [crowded, ratio]
    });
    figures.into_iter().flatten().collect()
}

const BUDGET: &str = "[[budget]]\nname = \"everything\"\nlimit = [\"$9000000 / day\"]\nmode = \"stop-new\"\n";
/// Every key and every session has an account of its own beside that of all.
const BUDGETS: &str = "[[budget]]\nname = \"everything\"\nlimit = [\"$9000000 / day\"]\nmode = \"stop-new\"\n\n\
    [[budget]]\nname = \"each key\"\nper = [\"key\"]\nlimit = [\"$900000 / day\"]\nmode = \"stop-new\"\n\n\
    [[budget]]\nname = \"each session\"\nper = [\"session\"]\nlimit = [\"$900000 / sliding 1h\"]\nmode = \"stop-new\"\n";

fn config(upstream: &Running, dialects: &[Spoken], budgets: &str) -> String {
    let names: Vec<String> = dialects.iter().map(|spoken| format!("\"{}\"", spoken.name)).collect();
    format!(
        "listen = \"127.0.0.1:0\"\n\n[[provider]]\nname = \"bench\"\ndialects = [{}]\nbase_url = \"http://{}\"\nmodels = \
         [\"bench-model\"]\n\n[[price]]\nmodel = \"bench-model\"\ninput = 3.00\noutput = 15.00\n\n{budgets}",
        names.join(", "),
        upstream.addr
    )
}

/// A provider that answers every dialect at its own path.
fn answers() -> String {
    let places =
        DIALECTS.iter().map(|spoken| format!("    location {} {{ return 200 '{}'; }}\n", spoken.path, spoken.answer));
    format!("  server {{\n    listen LISTEN;\n    default_type application/json;\n{}  }}\n", places.collect::<String>())
}

/// What wrk sends; `more` may change the headers of every call.
fn script(spoken: &Spoken, more: &str) -> String {
    format!(
        "wrk.method = \"POST\"\nwrk.path = \"{}\"\nwrk.headers[\"content-type\"] = \"application/json\"\n\
         wrk.headers[\"x-api-key\"] = \"sk-bench\"\nwrk.body = [[{}]]\n{more}\n{REPORT}",
        spoken.path, spoken.call
    )
}

/// Calls by turns or by chance with the keys of a file; a session is always one key's.
fn sessions(keys: &Path, crowd: Crowd, next: &str) -> String {
    format!(
        "SESSIONS = {}\nlocal keys, turn = {{}}, 0\nfor key in io.lines(\"{}\") do keys[#keys + 1] = key end\n\
         request = function()\n  local session = ({next}) % SESSIONS\n  turn = turn + 1\n  \
         wrk.headers[\"x-almoner-key\"] = keys[session % #keys + 1]\n  wrk.headers[\"x-almoner-session\"] = \"s\" .. \
         session\n  return wrk.format()\nend\n",
        crowd.sessions,
        keys.display()
    )
}

/// Makes so many keys, and gives their secrets; an end is set to all of it.
fn keys(socket: &Path, count: usize) -> Result<Vec<String>, String> {
    let failed = |why: std::io::Error| format!("the control socket: {why}");
    let mut stream = UnixStream::connect(socket).map_err(failed)?;
    let mut said = BufReader::new(stream.try_clone().map_err(failed)?);
    let began = Instant::now();
    let mut make = |number: usize| {
        if began.elapsed().as_secs_f64() > 2.0 * MAKING_SECONDS_MAX {
            return Err(format!("only {number} keys of {count} were made in {:.0} s", 2.0 * MAKING_SECONDS_MAX));
        }
        let request = json!({
            "operation": "create_key", "name": format!("k{number}"), "labels": [], "limits": [], "mode": null,
            "models": [], "priority_max": null, "expires": "never", "note": "", "by": "bench",
        });
        writeln!(stream, "{request}").map_err(failed)?;
        let mut line = String::new();
        said.read_line(&mut line).map_err(failed)?;
        let reply: Value = serde_json::from_str(&line).map_err(|why| format!("{why}: {line}"))?;
        reply["secret"].as_str().map(str::to_owned).ok_or_else(|| format!("no key was made, but: {line}"))
    };
    (0..count).map(&mut make).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_dialect_has_a_call_and_an_answer_that_can_be_read() {
        for spoken in &DIALECTS {
            for text in [spoken.call, spoken.answer] {
                serde_json::from_str::<Value>(text).unwrap();
            }
            // They stand between these in the scripts of wrk and nginx.
            assert!(!spoken.call.contains("]]") && !spoken.answer.contains('\''), "{}", spoken.name);
        }
    }

    #[test]
    fn many_are_judged_by_few() {
        let sample = |p50_ms, rate, cpu_us| vec![Sample { p50_ms, rate, cpu_us }];
        let figures = as_few("many", &sample(1.05, 950.0, 105.0), &sample(1.0, 1000.0, 100.0));
        let ratios: Vec<f64> = figures.iter().skip(1).step_by(2).map(Figure::median).collect();
        assert_eq!(ratios, [1.05, 0.95, 1.05]);
    }
}
