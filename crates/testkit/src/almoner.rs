//! A real server as a process of its own, which can be killed at any moment, and the commands that ask it.

use std::ffi::OsString;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use almoner_units::NanoUsd;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

/// How long a process may take to start, to answer or to stop. Nothing waits for it that goes well.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a program's line begins with that says where it listens.
const LISTENS: &str = "listens on http://";

/// One state folder, its configuration, and the programs that work on it.
#[derive(Clone, Debug)]
pub struct Household {
    /// The binary `almoner`.
    pub almoner: PathBuf,
    /// The program that serves, with the words before its flags.
    pub server: (PathBuf, Vec<OsString>),
    /// The folder of the state.
    pub state: PathBuf,
    /// The configuration file.
    pub config: PathBuf,
}

/// What the only account of a household says, in nano-dollars.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Books {
    /// Settled.
    pub spent: u64,
    /// Charged without news.
    pub assumed: u64,
    /// Held for calls in flight.
    pub held: u64,
    /// How many calls are in flight.
    pub open_holds: u64,
}

impl Books {
    /// All that counts against the limit.
    #[must_use]
    pub fn charged(&self) -> u64 {
        self.spent.saturating_add(self.assumed).saturating_add(self.held)
    }
}

/// A configuration with one provider, one priced model named `truth-model`, and one budget.
#[must_use]
pub fn one_budget(provider: SocketAddr, limit: NanoUsd, prices: (&str, &str)) -> String {
    let provider = priced_provider("truth", provider, prices);
    format!(
        r#"{provider}
[[budget]]
name = "the purse"
limit = ["{limit}"]
mode = "stop-new"
"#
    )
}

/// A provider of every dialect, and the price of its only model, which is named after it: `NAME-model`.
#[must_use]
pub fn priced_provider(name: &str, addr: SocketAddr, (input, output): (&str, &str)) -> String {
    format!(
        r#"
[[provider]]
name = "{name}"
dialects = ["anthropic", "openai-chat", "openai-responses", "gemini", "ollama"]
base_url = "http://{addr}"
models = ["{name}-model"]

[[price]]
model = "{name}-model"
provider = "{name}"
input = {input}
output = {output}
context_window = 200000
max_output = 32000
"#
    )
}

impl Household {
    /// Starts the server, and gives it once it says where it listens.
    ///
    /// # Errors
    /// Where it cannot be started, or ends before it listens.
    pub async fn serve(&self) -> io::Result<Serving> {
        let (program, words) = &self.server;
        let mut command = self.command(program);
        let mut child = command.args(words).args(self.flags()).stdout(Stdio::piped()).kill_on_drop(true).spawn()?;
        let stdout = child.stdout.take().ok_or_else(|| io::Error::other("the server's output was not piped"))?;
        let mut said = BufReader::new(stdout);
        let addr = within(listens_at(&mut said)).await?;
        Ok(Serving { child, addr, _said: said })
    }

    /// What the account says now; nothing where no call has opened it.
    ///
    /// # Errors
    /// Where `almoner status` fails.
    pub async fn books(&self) -> io::Result<Books> {
        let status = self.status().await?;
        let limit = &status["accounts"][0]["limits"][0];
        let amount = |name: &str| limit[name].as_u64().unwrap_or(0);
        let open_holds = status["open_holds"].as_u64().unwrap_or(u64::MAX);
        Ok(Books { spent: amount("spent"), assumed: amount("assumed"), held: amount("held"), open_holds })
    }

    /// What `almoner status --json` says.
    ///
    /// # Errors
    /// Where it fails.
    pub async fn status(&self) -> io::Result<Value> {
        Ok(serde_json::from_str(&self.ask(&["status", "--json"]).await?)?)
    }

    /// What `almoner ledger verify` says; no server may run.
    ///
    /// # Errors
    /// Where it finds anything wrong.
    pub async fn verify(&self) -> io::Result<String> {
        self.ask(&["ledger", "verify"]).await
    }

    async fn ask(&self, words: &[&str]) -> io::Result<String> {
        let mut command = self.command(&self.almoner);
        let done = within(command.args(words).args(self.flags()).kill_on_drop(true).output()).await?;
        if done.status.success() {
            return Ok(String::from_utf8_lossy(&done.stdout).into_owned());
        }
        let why = String::from_utf8_lossy(&done.stderr).into_owned();
        Err(io::Error::other(format!("`almoner {}`: {why}", words.join(" "))))
    }

    /// A command that takes nothing from the environment, where a proxy might be named.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.env_clear().stdin(Stdio::null());
        command
    }

    fn flags(&self) -> [OsString; 4] {
        ["--state".into(), self.state.clone().into(), "--config".into(), self.config.clone().into()]
    }
}

/// A server that runs; it is killed when it is dropped.
#[derive(Debug)]
pub struct Serving {
    child: Child,
    addr: SocketAddr,
    /// Read no further, but kept open, so that the server can go on talking.
    _said: BufReader<ChildStdout>,
}

impl Serving {
    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The process, as long as it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills it, as `kill -9` does, and waits until it is gone.
    ///
    /// # Errors
    /// Where it was gone already: it may only die by our hand.
    pub async fn kill(mut self) -> io::Result<()> {
        if let Some(status) = self.child.try_wait()? {
            return Err(io::Error::other(format!("the server ended by itself ({status})")));
        }
        within(self.child.kill()).await
    }

    /// Tells it to stop, and waits until it has ended in order.
    ///
    /// # Errors
    /// Where it does not.
    pub async fn stop(mut self) -> io::Result<()> {
        let pid = self.child.id().and_then(|pid| rustix::process::Pid::from_raw(pid.cast_signed()));
        let pid = pid.ok_or_else(|| io::Error::other("the server ended by itself"))?;
        rustix::process::kill_process(pid, rustix::process::Signal::TERM)?;
        let status = within(self.child.wait()).await?;
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("told to stop, the server ended {status}")))
        }
    }
}

async fn listens_at(said: &mut BufReader<ChildStdout>) -> io::Result<SocketAddr> {
    let mut line = String::new();
    while said.read_line(&mut line).await? > 0 {
        if let Some((_, addr)) = line.trim_end().split_once(LISTENS) {
            return addr.parse().map_err(io::Error::other);
        }
        line.clear();
    }
    Err(io::Error::other("the server ended before it listened"))
}

async fn within<T>(work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
    let late = || io::Error::new(io::ErrorKind::TimedOut, format!("nothing happened within {PATIENCE:?}"));
    timeout(PATIENCE, work).await.unwrap_or_else(|_| Err(late()))
}
