//! The way to the server: one request and one reply over the control socket.

use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use almoner_api::{Reply, Request, read_line, write_line};
use almoner_config::{Flags, Settings, Sources};

use crate::args::Common;
use crate::fail::Failed;

/// A server that can be asked.
pub(crate) struct Client {
    stream: BufReader<UnixStream>,
}

/// The socket over which the server of a state folder is asked.
pub(crate) fn socket(state: &Path) -> PathBuf {
    state.join(almoner_daemon::CONTROL_SOCKET)
}

impl Client {
    /// Connects to the server of a state folder, if one runs.
    pub(crate) fn connect(state: &Path) -> std::io::Result<Self> {
        Ok(Self { stream: BufReader::new(UnixStream::connect(socket(state))?) })
    }

    /// Asks one thing.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Reply, Failed> {
        write_line(self.stream.get_mut(), request)?;
        match read_line(&mut self.stream)? {
            Some(Reply::Failed(failure)) => Err(failure.into()),
            Some(reply) => Ok(reply),
            None => Err(Failed::new("no_answer", "the server closed the connection without an answer; see its log")),
        }
    }
}

/// The settings that the command line, the environment and the file make together.
pub(crate) fn settings(common: &Common, flags: Flags) -> Result<Settings, Failed> {
    let flags = Flags { config: common.config.clone(), state: common.state.clone(), ..flags };
    Ok(almoner_config::load(&Sources::from_system(flags)?)?)
}

/// Asks the server that runs on the state folder of `common`.
pub(crate) fn ask(common: &Common, request: &Request) -> Result<Reply, Failed> {
    let state = settings(common, Flags::default())?.state_dir;
    let mut client = Client::connect(&state).map_err(|error| no_server(&state, &error))?;
    client.ask(request)
}

fn no_server(state: &Path, error: &std::io::Error) -> Failed {
    Failed::new("no_server", format!("no server runs on {} ({error})", state.display()))
        .hint("start one with `almoner serve`, or name its folder with --state")
}

/// Who asks, for the audit.
pub(crate) fn who() -> String {
    format!("uid {} by command line", rustix::process::getuid().as_raw())
}

/// What is said of a reply that does not answer the question.
pub(crate) fn unexpected() -> Failed {
    Failed::new("no_answer", "the server answered something else than it was asked; is it of another version?")
}
