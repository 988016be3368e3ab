//! `almoner exec`: runs one command with an allowance of its own.
//!
//! It uses the server that runs on the state folder, or starts one that ends by itself when nobody uses it any more.
//! The command gets a key of its own by environment; when it ends, so do this process, with its exit code.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

use almoner_api::{BudgetInfo, ConfigInfo, KeySummary, NewKey, Reply, Request, ShownKey};
use almoner_config::Flags;
use almoner_units::{Mode, counted};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Common, Exec};
use crate::client::{Client, Place, settings, unexpected};
use crate::fail::{Failed, Manner, Outcome};
use crate::show;

/// How long a key is good for; a command that runs longer makes no more calls.
const KEY_EXPIRES: &str = "7d";
/// Who makes it and ends it, for the audit.
const BY: &str = "almoner exec";
/// How long a server that was just started may take to answer.
const START_MAX: Duration = Duration::from_secs(20);
/// How long the winner of a race to start may take to answer, once the loser has gone.
const WINNER_MAX: Duration = Duration::from_secs(5);
/// How often to look whether a server answers.
const LOOK: Duration = Duration::from_millis(20);
/// How often the server is told that it is still needed.
const PING_EVERY: Duration = Duration::from_secs(60);

/// The key of one command, and where it is good.
struct Allowance {
    name: String,
    secret: String,
    listen: String,
    credentials: Vec<String>,
    /// The dialects that some provider speaks.
    dialects: Vec<String>,
    budgets: Vec<BudgetInfo>,
    config: Option<ConfigInfo>,
    /// What whoever runs the command should know before it begins.
    notes: Vec<String>,
}

pub(crate) fn run(common: &Common, exec: &Exec) -> Outcome {
    let limits = limits(exec)?;
    refuse_stray_flag(exec)?;
    let place = Place::of(common)?;
    let mut client = connect_or_start(common, &place.state)?;
    let has_purse = !limits.is_empty();
    let mut allowance = create_key(&mut client, exec, limits)?;
    allowance.notes.extend(place.warning(allowance.config.as_ref()));
    if !has_purse {
        allowance.notes.push(bounded_by(&allowance.budgets));
    }
    tell_before(common, &allowance.notes);
    let state = &place.state;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let code = match runtime.block_on(run_command(state, exec, &allowance))? {
        Ok(status) => {
            summarise(common, state, &allowance)?;
            exit_code(status)
        }
        Err(unstarted) => unstarted.report(if common.json { Manner::JsonAside } else { Manner::Words }),
    };
    end_key(state, allowance.name);
    Ok(code)
}

/// A flag that nobody knows would else be taken for the command.
fn refuse_stray_flag(exec: &Exec) -> Result<(), Failed> {
    let name = exec.command.first().map(|name| name.to_string_lossy()).unwrap_or_default();
    if name.starts_with('-') {
        let known = "`exec` has --budget, --tokens and --kill, and the command stands after `--`";
        return Err(Failed::new("usage", format!("`{name}` is no flag and no command")).hint(known));
    }
    Ok(())
}

/// The limits that the flags ask for.
fn limits(exec: &Exec) -> Result<Vec<String>, Failed> {
    // An amount alone means dollars here; words beside it say what they mean.
    let is_amount = |text: &&String| !text.contains(' ') && text.starts_with(|c: char| c.is_ascii_digit());
    let dollars = exec.budget.as_ref().map(|text| if is_amount(&text) { format!("${text}") } else { text.clone() });
    let tokens = exec.tokens.as_ref().map(|count| format!("{count} tokens"));
    let limits: Vec<String> = dollars.into_iter().chain(tokens).collect();
    for limit in &limits {
        limit.parse::<almoner_units::Limit>()?;
    }
    Ok(limits)
}

/// The server of the state folder; started where none runs.
fn connect_or_start(common: &Common, state: &Path) -> Result<Client, Failed> {
    if let Ok(client) = Client::connect(state) {
        return Ok(client);
    }
    // Only who starts a server needs a configuration without a fault, and hears of one in full.
    settings(common, Flags::default())?;
    let log = state.join(almoner_daemon::SERVE_LOG);
    let (was_there, had_log) = (state.exists(), log.exists());
    let mut server = start_server(common, state, &log)?;
    let mut left = looks(START_MAX);
    while left > 0 {
        // Whoever lost the race to start finds the winner here.
        if let Ok(client) = Client::connect(state) {
            return Ok(client);
        }
        if server.try_wait()?.is_some() {
            // It lost the race to one that has the lock and will answer soon, or it cannot start at all.
            left = left.min(looks(WINNER_MAX));
        }
        pause(LOOK);
        left -= 1;
    }
    let failed = Failed::new("cannot_serve", format!("no server could be started: {}", last_words(&log)));
    if !had_log && is_alone(&log, state) {
        leave_as_it_was(state, &log, was_there);
        return Err(failed);
    }
    Err(failed.hint(format!("more is in {}", log.display())))
}

/// Removes the log of a server that never was, and its folder where that was made for it. What cannot be removed stays.
fn leave_as_it_was(state: &Path, log: &Path, was_there: bool) {
    drop(std::fs::remove_file(log));
    if !was_there {
        drop(std::fs::remove_dir(state));
    }
}

/// Whether a file is all that is in a folder.
fn is_alone(file: &Path, folder: &Path) -> bool {
    let paths =
        std::fs::read_dir(folder).map(|entries| entries.flatten().map(|entry| entry.path()).collect::<Vec<_>>());
    paths.is_ok_and(|paths| paths == [file])
}

/// How many looks a time has.
const fn looks(time: Duration) -> u128 {
    time.as_millis() / LOOK.as_millis()
}

/// The last line of a log.
fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    let last = text.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
    last.trim_start_matches("almoner: ").to_owned()
}

#[allow(clippy::disallowed_methods)] // Another process cannot be awaited but by asking again.
fn pause(span: Duration) {
    std::thread::sleep(span);
}

/// Starts a server that outlives us and ends by itself.
fn start_server(common: &Common, state: &Path, log: &Path) -> Result<std::process::Child, Failed> {
    almoner_daemon::prepare_state_dir(state)?;
    let log = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["serve", "--idle-exit", "10m", "--state"]).arg(state);
    if let Some(config) = &common.config {
        command.arg("--config").arg(config);
    }
    // A group of its own, so that an interrupt at this terminal does not end what others may use.
    command.process_group(0).stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
    Ok(command.spawn()?)
}

fn create_key(client: &mut Client, exec: &Exec, limits: Vec<String>) -> Result<Allowance, Failed> {
    let note = exec.command.first().map(|name| name.to_string_lossy().chars().take(100).collect()).unwrap_or_default();
    let new = NewKey {
        limits,
        mode: exec.kill.then(|| Mode::KillRunning.to_string()),
        expires: KEY_EXPIRES.to_owned(),
        note,
        by: BY.to_owned(),
        ..NewKey::default()
    };
    let Reply::Key(key) = client.ask(&Request::CreateKey(Box::new(new)))? else { return Err(unexpected()) };
    let ShownKey { id, secret, listen, credentials, dialects, budgets, config, .. } = *key;
    let listen = reached_at(&listen);
    Ok(Allowance { name: id, secret, listen, credentials, dialects, budgets, config, notes: Vec::new() })
}

/// The address by which this machine reaches a server that listens on all of its addresses.
fn reached_at(listen: &str) -> String {
    match listen.parse::<SocketAddr>() {
        Ok(SocketAddr::V4(all)) if all.ip().is_unspecified() => format!("127.0.0.1:{}", all.port()),
        Ok(SocketAddr::V6(all)) if all.ip().is_unspecified() => format!("[::1]:{}", all.port()),
        _ => listen.to_owned(),
    }
}

/// A command that did not even start.
struct Unstarted {
    program: String,
    error: std::io::Error,
}

impl Unstarted {
    /// Says so, and gives the exit code that shells have for it: 127 where there is no such command, else 126.
    fn report(&self, manner: Manner) -> ExitCode {
        let Self { program, error } = self;
        let is_missing = error.kind() == std::io::ErrorKind::NotFound;
        let why = if is_missing { "there is no such command".to_owned() } else { error.to_string() };
        Failed::new("no_command", format!("could not start `{program}`: {why}")).tell(manner);
        ExitCode::from(if is_missing { 127 } else { 126 })
    }
}

async fn run_command(
    state: &Path,
    exec: &Exec,
    allowance: &Allowance,
) -> Result<Result<ExitStatus, Unstarted>, Failed> {
    let (program, arguments) =
        exec.command.split_first().ok_or_else(|| Failed::new("usage", "no command was given"))?;
    let mut command = tokio::process::Command::new(program);
    command.args(overrides(Path::new(program), allowance)).args(arguments).envs(environment(allowance));
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Ok(Err(Unstarted { program: program.to_string_lossy().into_owned(), error })),
    };
    // The terminal sends an interrupt to the command as well; it decides what to do about it, and we wait for that.
    let mut interrupts = signal(SignalKind::interrupt())?;
    let mut terminations = signal(SignalKind::terminate())?;
    let mut pings = tokio::time::interval(PING_EVERY);
    loop {
        tokio::select! {
            status = child.wait() => return Ok(Ok(status?)),
            _ = interrupts.recv() => {}
            _ = terminations.recv() => terminate(child.id()),
            _ = pings.tick() => ping(state),
        }
    }
}

fn terminate(pid: Option<u32>) {
    let pid = pid.and_then(|pid| i32::try_from(pid).ok()).and_then(Pid::from_raw);
    if let Some(pid) = pid {
        // A command that has just ended needs no signal.
        kill_process(pid, Signal::TERM).unwrap_or_default();
    }
}

fn ping(state: &Path) {
    // A server that is gone is noticed by the command's next call, with a clear error.
    drop(Client::connect(state).map(|mut client| client.ask(&Request::Ping)));
}

/// What the command needs in its environment to find the gateway and show its key.
///
/// Where the server has a credential for a provider, our key takes its place; where it has none, the client's own one,
/// a login included, passes through, and our key travels beside it.
fn environment(allowance: &Allowance) -> Vec<(&'static str, OsString)> {
    let base = format!("http://{}", allowance.listen);
    let mut env: Vec<(&'static str, OsString)> = vec![("ALMONER_KEY", allowance.secret.clone().into())];
    env.push(("ANTHROPIC_BASE_URL", base.clone().into()));
    if has(allowance, "anthropic") {
        env.push(("ANTHROPIC_API_KEY", allowance.secret.clone().into()));
    } else {
        env.push(("ANTHROPIC_CUSTOM_HEADERS", custom_headers(&allowance.secret)));
    }
    if has(allowance, "openai") {
        env.push(("OPENAI_BASE_URL", format!("{base}/v1").into()));
        env.push(("OPENAI_API_KEY", allowance.secret.clone().into()));
    } else {
        env.push(("OPENAI_BASE_URL", format!("{base}/k/{}/v1", allowance.secret).into()));
    }
    // The key stands in the address as well, so that a key that the program itself names leaves no budget.
    env.push(("GOOGLE_GEMINI_BASE_URL", format!("{base}/k/{}", allowance.secret).into()));
    if has(allowance, "gemini") {
        env.push(("GEMINI_API_KEY", allowance.secret.clone().into()));
        // Google's clients prefer this one where both are set, so it is the same then.
        let other = Some(inherited("GOOGLE_API_KEY")).filter(|key| !key.is_empty());
        env.extend(other.map(|_| ("GOOGLE_API_KEY", allowance.secret.clone().into())));
    }
    if allowance.dialects.iter().any(|known| known == "ollama") {
        env.push(("OLLAMA_HOST", format!("http://{}/k/{}", allowance.listen, allowance.secret).into()));
    }
    env.extend(["NO_PROXY", "no_proxy"].map(|name| (name, unproxied(inherited(name)))));
    env
}

/// What Codex needs before its own arguments: it reads the address of a provider from its configuration alone, and this
/// lays one over that. Whoever hides Codex behind a script of another name puts it into the configuration.
fn overrides(program: &Path, allowance: &Allowance) -> Vec<String> {
    if program.file_name().is_none_or(|name| name != "codex") {
        return Vec::new();
    }
    let Allowance { secret, listen, .. } = allowance;
    let (path, credential) = match has(allowance, "openai") {
        true => (String::new(), r#"env_key="ALMONER_KEY""#),
        // Codex's own login, or its own key, passes through.
        false => (format!("/k/{secret}"), "requires_openai_auth=true"),
    };
    let provider = format!(
        r#"model_providers.almoner={{name="Almoner",base_url="http://{listen}{path}/v1",wire_api="responses",{credential}}}"#
    );
    ["-c", r#"model_provider="almoner""#, "-c", &provider].map(str::to_owned).into()
}

/// Whether the server has a credential of its own for a provider.
fn has(allowance: &Allowance, provider: &str) -> bool {
    allowance.credentials.iter().any(|known| known == provider)
}

/// Hosts that are asked without a proxy, this machine among them: a proxy cannot reach us, and must not see our key.
fn unproxied(known: OsString) -> OsString {
    let mut hosts = known;
    if !hosts.is_empty() {
        hosts.push(",");
    }
    hosts.push("127.0.0.1,localhost,::1");
    hosts
}

/// A variable of our own environment; empty where it is not set.
#[allow(clippy::disallowed_methods)] // The command's environment is built from ours; no setting is read here.
fn inherited(name: &str) -> OsString {
    std::env::var_os(name).unwrap_or_default()
}

/// The header that carries our key, after those that the user already sends. A key that an `exec` around this one put
/// there gives way, because the command that runs now spends from the innermost purse.
#[allow(clippy::disallowed_methods)] // The command's environment is built from ours; no setting is read here.
fn custom_headers(secret: &str) -> OsString {
    let own = std::env::var_os("ANTHROPIC_CUSTOM_HEADERS").unwrap_or_default();
    headers_with(&own.to_string_lossy(), secret).into()
}

fn headers_with(own: &str, secret: &str) -> String {
    let is_ours =
        |line: &&str| line.split(':').next().is_some_and(|name| name.trim().eq_ignore_ascii_case("x-almoner-key"));
    let kept = own.lines().filter(|line| !line.trim().is_empty() && !is_ours(line));
    let ours = format!("x-almoner-key: {secret}");
    kept.chain([ours.as_str()]).collect::<Vec<_>>().join("\n")
}

/// Ends the key with its command, so that nothing that the command left behind goes on spending.
fn end_key(state: &Path, key: String) {
    // Where the server is gone, its time ends the key.
    drop(
        Client::connect(state)
            .map(|mut client| client.ask(&Request::RevokeKey { key, kill: false, by: BY.to_owned() })),
    );
}

/// By what a command without a purse is bounded, in words.
fn bounded_by(budgets: &[BudgetInfo]) -> String {
    let of = |budget: &BudgetInfo| {
        let only = if budget.mode == Mode::Warn.name() { ", which only warns" } else { "" };
        format!("`{}` ({}{only})", budget.budget, budget.limits.join(", "))
    };
    let named = budgets.iter().map(of).collect::<Vec<_>>().join(" and ");
    let by = if budgets.is_empty() { "nothing: no budget is in force".to_owned() } else { named };
    format!("without --budget or --tokens the command has no purse of its own; it is bounded by {by}")
}

/// Says on standard error what to know before the command begins; a program hears of it with the summary.
#[allow(clippy::print_stderr)]
fn tell_before(common: &Common, notes: &[String]) {
    if !common.json {
        notes.iter().for_each(|note| eprintln!("almoner: {note}"));
    }
}

/// The summary for a program: what was used, what bounded it, and what to know.
fn as_json(summary: &KeySummary, allowance: &Allowance) -> Result<Value, Failed> {
    let mut facts = serde_json::to_value(summary)?;
    facts["bounded_by"] = serde_json::to_value(&allowance.budgets)?;
    facts["notes"] = allowance.notes.clone().into();
    Ok(facts)
}

/// Says on standard error what the command has used; its own output stays its own.
#[allow(clippy::print_stderr)]
fn summarise(common: &Common, state: &Path, allowance: &Allowance) -> Result<(), Failed> {
    let asked = Client::connect(state).map_err(Failed::from);
    let reply = asked.and_then(|mut client| client.ask(&Request::KeySummary { key: allowance.name.clone() }));
    match reply {
        Ok(Reply::Summary(summary)) if common.json => eprintln!("{}", as_json(&summary, allowance)?),
        Ok(Reply::Summary(summary)) => eprintln!("almoner: {}", in_words(&summary)),
        Ok(_) => return Err(unexpected()),
        Err(_) => eprintln!("almoner: the server is gone, so what the command used cannot be told now"),
    }
    Ok(())
}

fn in_words(summary: &KeySummary) -> String {
    let KeySummary { calls, refused, tokens, cost_nano, assumed_nano, accounts } = summary;
    let (calls, tokens) = (counted(*calls, "call"), counted(*tokens, "token"));
    let mut text = format!("{calls}, {tokens}, {} spent", show::dollars(*cost_nano));
    if *assumed_nano > 0 {
        text.push_str(&format!(", {} charged without news", show::dollars(*assumed_nano)));
    }
    if *refused > 0 {
        text.push_str(&format!(", {} refused", counted(*refused, "call")));
    }
    for limit in accounts.iter().flat_map(|account| &account.limits) {
        text.push_str(&format!(", {} left of {}", show::amount_of(&limit.meter, limit.left), limit.limit));
    }
    text
}

/// The command's own exit code; 128 and the signal where it was ended by one, as shells have it.
fn exit_code(status: ExitStatus) -> ExitCode {
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(1);
    ExitCode::from(u8::try_from(code).unwrap_or(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_command_asks_of_us_passes_no_proxy() {
        assert_eq!(unproxied(OsString::new()), "127.0.0.1,localhost,::1");
        assert_eq!(unproxied("corp.example".into()), "corp.example,127.0.0.1,localhost,::1");
        let allowance = Allowance {
            name: "key-1".to_owned(),
            secret: "alm_secret".to_owned(),
            listen: "127.0.0.1:4141".to_owned(),
            credentials: Vec::new(),
            dialects: Vec::new(),
            budgets: Vec::new(),
            config: None,
            notes: Vec::new(),
        };
        let told = environment(&allowance);
        for name in ["NO_PROXY", "no_proxy"] {
            assert!(told.iter().any(|(known, value)| *known == name && value.to_string_lossy().contains("127.0.0.1")));
        }
    }

    #[test]
    fn clients_of_gemini_and_ollama_are_told_where_to_ask() {
        let told = |credentials: &[&str], dialects: &[&str]| {
            let own = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
            let allowance = Allowance {
                name: "key-1".to_owned(),
                secret: "alm_secret".to_owned(),
                listen: "127.0.0.1:4141".to_owned(),
                credentials: own(credentials),
                dialects: own(dialects),
                budgets: Vec::new(),
                config: None,
                notes: Vec::new(),
            };
            let told = environment(&allowance);
            let value = |name| told.iter().find(|(known, _)| *known == name).map(|(_, value)| value.to_string_lossy());
            ["GOOGLE_GEMINI_BASE_URL", "GEMINI_API_KEY", "OLLAMA_HOST"]
                .map(|name| value(name).map_or_else(|| "-".to_owned(), std::borrow::Cow::into_owned))
        };
        let with_key = "http://127.0.0.1:4141/k/alm_secret";
        assert_eq!(told(&[], &["gemini"]), [with_key, "-", "-"]);
        assert_eq!(told(&["gemini"], &["gemini", "ollama"]), [with_key, "alm_secret", with_key]);
    }

    #[test]
    fn codex_is_told_where_to_ask_before_its_own_arguments() {
        let allowance = |credentials: &[&str]| Allowance {
            name: "key-1".to_owned(),
            secret: "alm_secret".to_owned(),
            dialects: Vec::new(),
            listen: "127.0.0.1:4141".to_owned(),
            credentials: credentials.iter().map(|&name| name.to_owned()).collect(),
            budgets: Vec::new(),
            config: None,
            notes: Vec::new(),
        };
        let told = |program: &str, credentials: &[&str]| overrides(Path::new(program), &allowance(credentials));
        assert_eq!(told("/usr/bin/claude", &["openai"]), Vec::<String>::new());
        let with_ours = told("/opt/bin/codex", &["openai"]);
        assert_eq!(with_ours[..3], ["-c", r#"model_provider="almoner""#, "-c"]);
        assert_eq!(
            with_ours[3],
            r#"model_providers.almoner={name="Almoner",base_url="http://127.0.0.1:4141/v1",wire_api="responses",env_key="ALMONER_KEY"}"#
        );
        let with_its_own = &told("codex", &[])[3];
        assert!(with_its_own.contains("http://127.0.0.1:4141/k/alm_secret/v1"), "{with_its_own}");
        assert!(with_its_own.contains("requires_openai_auth=true"), "{with_its_own}");
    }

    #[test]
    fn the_innermost_key_is_the_only_one_and_the_users_headers_stay() {
        assert_eq!(headers_with("", "alm_1"), "x-almoner-key: alm_1");
        assert_eq!(headers_with("x-one: 1\nX-Almoner-Key: alm_0\n", "alm_1"), "x-one: 1\nx-almoner-key: alm_1");
    }
}
