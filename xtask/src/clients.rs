//! `cargo xtask clients`: real agents and SDKs, unpatched, through a real Almoner, against its own scripted provider.
//!
//! They are scripts in `crates/testkit/clients`: `setup.sh` installs the clients at their pinned versions, and every
//! other `*.sh` is one client's story, which ends in success or says what differed. Each runs under two `almoner exec`,
//! one in the other: the outer purse is too small for any call, and its key is the one that has no money.
//!
//! A script tells each check in a line, `ok CLIENT_STORY…` or `FAILED CLIENT_STORY…: why`. At the end stands a table of
//! clients and stories, and a client that lacks one of them has failed.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::{Outcome, root, run};

const SCRIPTS: &str = "crates/testkit/clients";
const SETUP: &str = "setup.sh";
/// What must be there before anything can be installed.
const NEEDS: [&str; 3] = ["bash", "npm", "python3"];
/// Where the scripts look for the clients, if not under `target`.
const CLIENTS_DIR: &str = "ALMONER_CLIENTS_DIR";

/// Hands the key of the outer purse on, under a name that the inner `almoner` does not take for a setting.
const OUTER: &str = r#"EMPTY_KEY=$ALMONER_KEY exec "$@""#;
/// Tells a script what it asks for. The keys are shown by the clients themselves, each in its own place.
const INNER: &str = r#"unset ANTHROPIC_CUSTOM_HEADERS
export ALMONER_BASE_URL="$ANTHROPIC_BASE_URL" ALMONER_EMPTY_KEY="$EMPTY_KEY"
[ -z "${CLIENTS_DIR:-}" ] || export ALMONER_CLIENTS_DIR="$CLIENTS_DIR"
exec bash "$0""#;

pub(crate) fn run(_: &[String]) -> Outcome {
    if let Some(missing) = missing() {
        return Err(format!("`{missing}` is needed to install the clients, and is not here"));
    }
    install()?;
    stories()
}

/// The same as a part of all tests; `None` where the machine cannot have the clients, which is said.
pub(crate) fn run_where_possible() -> Option<Outcome> {
    let hindrance = match missing() {
        Some(missing) => Some(format!("`{missing}` is not here")),
        None => install().err(),
    };
    if let Some(why) = hindrance {
        println!("skipped: real clients, because they cannot be installed: {why}");
        return None;
    }
    Some(stories())
}

/// The first program that is needed and not there.
fn missing() -> Option<&'static str> {
    let is_here = |name: &str| {
        let asked = Command::new(name).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    };
    NEEDS.into_iter().find(|name| !is_here(name))
}

fn install() -> Outcome {
    run::to_end(&mut run::program("bash", &[&format!("{SCRIPTS}/{SETUP}")]))
}

/// Runs every story against one server.
fn stories() -> Outcome {
    run::to_end(&mut run::cargo(&["build", "--quiet", "--package", "almoner"]))?;
    let world = World::new()?;
    // What the default budgets count by session would be one account for all SDKs, which name none.
    let server = Server::start(&world, &["--no-budgets"])?;
    let (mut failed, mut table) = (Vec::new(), Table::default());
    for script in scripts(&root().join(SCRIPTS)) {
        let name = script.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let told = run::line_by_line(&mut world.story(&script), |line| {
            println!("{line}");
            table.note(line);
        });
        match told {
            Ok(()) => println!("client {name}: ok"),
            Err(why) => {
                println!("client {name}: {why}");
                failed.push(name);
            }
        }
    }
    server.stop()?;
    println!("\n{table}");
    failed.extend(table.missing());
    if failed.is_empty() { Ok(()) } else { Err(format!("failed: {}", failed.join(", "))) }
}

/// What every client is put through, as the names of its checks have it.
const STORIES: [&str; 5] = ["prompt", "tool_loop", "long_stream", "hang_up", "no_money"];

/// Which client came through which story: `None` where no check told of it.
#[derive(Default)]
struct Table(BTreeMap<String, [Option<bool>; STORIES.len()]>);

impl Table {
    /// Takes in what a script says of a check; other lines are none.
    fn note(&mut self, line: &str) {
        let Some((word, rest)) = line.split_once(' ') else { return };
        let is_ok = word == "ok";
        if !is_ok && word != "FAILED" {
            return;
        }
        let name = rest.split([':', ' ']).next().unwrap_or_default();
        // The last story in the name is the one: a client may be called by the word of another.
        let places = STORIES.iter().enumerate().filter_map(|(at, story)| Some((name.rfind(&format!("_{story}"))?, at)));
        if let Some((begins, story)) = places.max() {
            let cell = &mut self.0.entry(name[..begins].to_owned()).or_default()[story];
            *cell = Some(is_ok && *cell != Some(false));
        }
    }

    /// The stories that nobody told.
    fn missing(&self) -> Vec<String> {
        let of = |(client, cells): (&String, &[Option<bool>; STORIES.len()])| {
            let without = STORIES.iter().zip(cells).filter(|(_, cell)| cell.is_none());
            without.map(|(story, _)| format!("{client} has no {story}")).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| client | {} |\n|---|{}", STORIES.join(" | "), "---|".repeat(STORIES.len()))?;
        for (client, cells) in &self.0 {
            let word = |cell: &Option<bool>| cell.map_or("missing", |is_ok| if is_ok { "ok" } else { "FAILED" });
            writeln!(f, "| {client} | {} |", cells.iter().map(word).collect::<Vec<_>>().join(" | "))?;
        }
        Ok(())
    }
}

/// The stories by name.
fn scripts(dir: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path());
    let is_story = |path: &PathBuf| path.extension().is_some_and(|it| it == "sh") && !path.ends_with(SETUP);
    let mut scripts: Vec<PathBuf> = entries.filter(is_story).collect();
    scripts.sort();
    scripts
}

/// A home for the server of this run, taken away when it is dropped.
pub(crate) struct World(PathBuf);

impl World {
    pub(crate) fn new() -> Result<Self, String> {
        let dir = std::env::temp_dir().join(format!("almoner-clients-{}", std::process::id()));
        std::fs::create_dir(&dir).map_err(|why| format!("{} cannot be made: {why}", dir.display()))?;
        Ok(Self(dir))
    }

    /// The folder of its state.
    pub(crate) fn state(&self) -> PathBuf {
        self.0.join("state")
    }

    /// The binary, which finds in its environment nothing of whoever runs this but a few harmless things.
    fn almoner(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        for (name, _) in std::env::vars_os().filter(|(name, _)| is_theirs(&name.to_string_lossy())) {
            command.env_remove(name);
        }
        if let Some(dir) = variable(CLIENTS_DIR) {
            command.env("CLIENTS_DIR", dir);
        }
        command.env("ALMONER_STATE", self.state()).env("ALMONER_LISTEN", "127.0.0.1:0");
        command.args(args).current_dir(&self.0);
        command
    }

    /// A script with a purse of its own, inside one that is too small.
    fn story(&self, script: &Path) -> Command {
        let mut command = self.almoner(&["exec", "--budget", "$0.000001", "--", "sh", "-c", OUTER, "sh"]);
        command.arg(binary()).args(["exec", "--budget", "$5", "--", "sh", "-c", INNER]).arg(script);
        command
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // What cannot be taken away is the system's to clear.
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// Whether a variable could change where the server is or whom it pays.
fn is_theirs(name: &str) -> bool {
    let starts = ["ALMONER_", "ANTHROPIC_", "OPENAI_", "CLAUDE", "CODEX", "GEMINI_", "GOOGLE_", "OLLAMA_"];
    starts.iter().any(|start| name.starts_with(start))
}

#[allow(clippy::disallowed_methods, reason = "a chore is told by its environment, and is no part of Almoner")]
fn variable(name: &str) -> Option<std::ffi::OsString> {
    std::env::var_os(name)
}

/// The program that is tried.
pub(crate) fn binary() -> PathBuf {
    let target = variable("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), PathBuf::from);
    root().join(target).join("debug/almoner")
}

/// The server of a run; ended when it is dropped.
pub(crate) struct Server {
    child: Child,
    /// Where it listens.
    pub(crate) address: String,
}

impl Server {
    /// Starts it with these arguments more, and waits until it listens.
    pub(crate) fn start(world: &World, more: &[&str]) -> Result<Self, String> {
        let started = world.almoner(&[&["serve"], more].concat()).stdout(Stdio::piped()).spawn();
        let child = started.map_err(|why| format!("`almoner serve` could not be started: {why}"))?;
        let mut server = Self { child, address: String::new() };
        let said = BufReader::new(server.child.stdout.take().ok_or("its output was asked for")?);
        let mut lines = said.lines().map_while(Result::ok);
        let listens = lines.find_map(|line| line.split_once(" listens on ").map(|(_, address)| address.to_owned()));
        server.address = listens.ok_or("`almoner serve` ended before it listened")?;
        // Its other words are read away, so that it never waits for a reader.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(server)
    }

    /// Tells it to stop, and says whether it ended well.
    pub(crate) fn stop(mut self) -> Outcome {
        run::to_end(&mut run::program("kill", &[&self.child.id().to_string()]))?;
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            ended => Err(format!("`almoner serve` ended badly: {ended:?}")),
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already cannot be ended again, which is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_client_has_a_story_and_the_set_up_is_none() {
        let names: Vec<_> = scripts(&root().join(SCRIPTS))
            .into_iter()
            .filter_map(|path| path.file_stem().map(ToOwned::to_owned))
            .collect();
        let expected = [
            "claude_code",
            "codex",
            "gemini_cli",
            "google_node",
            "google_python",
            "local_model",
            "node_sdks",
            "ollama_node",
            "ollama_python",
            "opencode",
            "python_sdks",
        ];
        assert_eq!(names, expected);
        assert_eq!(scripts(Path::new("no/such/place")), Vec::<PathBuf>::new());
    }

    #[test]
    fn the_table_tells_which_client_came_through_which_story() {
        let mut table = Table::default();
        for line in [
            "ok pi_prompt",
            "ok pi_prompt_sends_one_request",
            "ok pi_tool_loop",
            "FAILED pi_tool_loop_ran: 1 = 2",
            "ok pi_tool_loop_ends",
            "ok pi_hang_up_was_in_the_middle",
            "ok pi_events",
            "client pi: ok",
        ] {
            table.note(line);
        }
        assert!(table.to_string().ends_with("| pi | ok | FAILED | missing | ok | missing |\n"), "{table}");
        assert_eq!(table.missing(), ["pi has no long_stream", "pi has no no_money"]);
    }

    #[test]
    fn a_purse_of_somebody_elses_is_left_outside() {
        assert!(is_theirs("ALMONER_STATE") && is_theirs("ANTHROPIC_API_KEY") && !is_theirs("PATH"));
    }
}
