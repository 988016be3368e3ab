//! The way to the server: one request and one reply over the control socket.

use std::io::BufReader;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use almoner_api::{ConfigInfo, Reply, Request, read_line, write_line};
use almoner_config::{ConfigFile, Flags, Settings, Sources};
use almoner_daemon::config_info;

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

/// What is known of the server's whereabouts by who only asks it.
pub(crate) struct Place {
    /// The state folder.
    pub(crate) state: PathBuf,
    /// The configuration file that a server which is started here would read.
    here: Option<ConfigFile>,
}

impl Place {
    /// Where to ask. A configuration that is wrong in what a server needs stands in nobody's way who only asks one.
    pub(crate) fn of(common: &Common) -> Result<Self, Failed> {
        let flags = Flags { config: common.config.clone(), state: common.state.clone(), ..Flags::default() };
        let sources = Sources::from_system_to_ask(flags)?;
        Ok(Self { state: almoner_config::state_folder(&sources)?, here: sources.file })
    }

    /// What to know where the configuration file here is not the one that the server has read.
    pub(crate) fn warning(&self, server: Option<&ConfigInfo>) -> Option<String> {
        let here = config_info(self.here.as_ref()?);
        match server {
            Some(server) if server.sha256 == here.sha256 => None,
            Some(server) if server.path == here.path => {
                Some(format!("{} has changed since the server read it; `almoner reload` puts it in force", here.path))
            }
            other => {
                let has = other
                    .map_or_else(|| "without a configuration file".to_owned(), |file| format!("with {}", file.path));
                Some(format!(
                    "the server runs {has}; {} is not in force: restart the server with it, or start another on a \
                     folder of its own with --state",
                    here.path
                ))
            }
        }
    }

    /// Says so on standard error.
    #[allow(clippy::print_stderr)]
    pub(crate) fn warn(&self, server: Option<&ConfigInfo>) {
        self.warning(server).iter().for_each(|warning| eprintln!("almoner: {warning}"));
    }
}

/// Asks the server that runs on the state folder of `common`.
pub(crate) fn ask(common: &Common, request: &Request) -> Result<Reply, Failed> {
    ask_at(&Place::of(common)?, common, request)
}

/// The same, where the place is known.
pub(crate) fn ask_at(place: &Place, common: &Common, request: &Request) -> Result<Reply, Failed> {
    match Client::connect(&place.state) {
        Ok(mut client) => client.ask(request),
        // What is wrong with the configuration may be why none runs, or why it is looked for in the wrong place.
        Err(error) => Err(settings(common, Flags::default()).err().unwrap_or_else(|| no_server(&place.state, &error))),
    }
}

fn no_server(state: &Path, error: &std::io::Error) -> Failed {
    // That nobody listens is what the words say already.
    let is_told = matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::ConnectionRefused);
    let why = if is_told { String::new() } else { format!(" ({error})") };
    Failed::new("no_server", format!("no server runs on {}{why}", state.display()))
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
