//! A world for one test: a home, a state folder, a configuration, and the binary run in it.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use serde_json::Value;
use tempfile::TempDir;

use crate::server::{Server, look_until};

/// A home, a state folder and a configuration of its own.
pub(crate) struct World {
    dir: TempDir,
}

/// What a command said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl World {
    /// A world with this configuration file.
    pub(crate) fn new(config: &str) -> Self {
        let world = Self { dir: tempfile::tempdir().unwrap() };
        world.configure(config);
        world
    }

    /// Writes the configuration file anew.
    pub(crate) fn configure(&self, config: &str) {
        std::fs::write(self.path("almoner.toml"), config).unwrap();
    }

    /// A path in this world.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// The state folder.
    pub(crate) fn state(&self) -> PathBuf {
        self.path("state")
    }

    /// A command of the binary, with nothing of whoever runs the tests but the search path.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.command_of(env!("CARGO_BIN_EXE_almoner"), args)
    }

    /// A command of another program, in the same surroundings.
    #[allow(clippy::disallowed_methods)] // The search path is where the commands that `exec` starts are found.
    pub(crate) fn command_of(&self, program: &str, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", self.dir.path());
        command.current_dir(self.dir.path());
        command.env("ALMONER_LISTEN", "127.0.0.1:0").env("ALMONER_STATE", self.state());
        // No test waits for a provider that fails on purpose.
        command.env("ALMONER_RETRIES", "0");
        command.args(args).stdin(Stdio::null());
        command
    }

    /// Runs a command to its end.
    pub(crate) fn run(&self, args: &[&str]) -> Said {
        Said::by(self.command(args))
    }

    /// Runs a command that must succeed, and gives its output.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.code, Some(0), "{args:?}: {}{}", said.out, said.err);
        said.out
    }

    /// Runs a command that must fail, and gives its complaint.
    #[track_caller]
    pub(crate) fn fails(&self, args: &[&str]) -> String {
        let said = self.run(args);
        assert_eq!(said.code, Some(1), "{args:?}: {}{}", said.out, said.err);
        said.err
    }

    /// Runs a command with `--json`, which must succeed and print one JSON value.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let out = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&out).unwrap_or_else(|error| panic!("{args:?}: {error} in {out}"))
    }

    /// Starts the server of this world.
    pub(crate) fn serve(&self) -> Server {
        self.serve_with(&[])
    }

    /// Starts the server of this world with more on its command line.
    pub(crate) fn serve_with(&self, args: &[&str]) -> Server {
        Server::start(self.command(&[&["serve"], args].concat()), self.state())
    }

    /// Starts the server of this world with these variables in its environment.
    pub(crate) fn serve_in(&self, environment: &[(&str, &str)]) -> Server {
        let mut command = self.command(&["serve"]);
        command.envs(environment.iter().copied());
        Server::start(command, self.state())
    }

    /// Every file in the state folder that holds these words.
    pub(crate) fn files_with(&self, words: &str) -> Vec<PathBuf> {
        let mut found = Vec::new();
        search(&self.state(), words.as_bytes(), &mut found);
        found
    }
}

fn search(dir: &Path, words: &[u8], found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, words, found);
        } else if std::fs::read(&path).is_ok_and(|bytes| bytes.windows(words.len()).any(|window| window == words)) {
            found.push(path);
        }
    }
}

impl Said {
    /// Runs a command to its end, which must come.
    #[track_caller]
    pub(crate) fn by(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let out = gather(child.stdout.take().unwrap());
        let err = gather(child.stderr.take().unwrap());
        let status = look_until(|| child.try_wait().unwrap());
        if status.is_none() {
            child.kill().unwrap();
        }
        let (out, err) = (out.join().unwrap(), err.join().unwrap());
        Self { code: status.unwrap_or_else(|| panic!("{command:?} does not end: {out}{err}")).code(), out, err }
    }
}

/// Reads a pipe to its end, beside whoever waits for its process.
fn gather(mut pipe: impl Read + Send + 'static) -> JoinHandle<String> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        pipe.read_to_end(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
