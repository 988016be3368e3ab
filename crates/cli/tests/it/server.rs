//! A server that a test started: asked over its socket, spoken to over its port, ended by a signal.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use almoner_api::{AccountInfo, CallInfo, HoldInfo, LimitInfo, NewKey, Reply, Request, Status, read_line, write_line};
use almoner_testkit::{Answer, NoAnswer, Patience, Post};
use rustix::process::{Pid, Signal, kill_process};

use crate::raw::{request, send, status};

/// How long anything that must happen may take before a test gives up.
pub(crate) const AT_MOST: Duration = Duration::from_secs(30);
/// How many times something is looked at before a test gives up, and the pause in between.
const LOOKS: usize = 2000;
const PAUSE: Duration = Duration::from_millis(10);

/// A running server; killed when it is dropped.
pub(crate) struct Server {
    child: Child,
    said: Arc<Lines>,
    state: PathBuf,
    pub(crate) addr: SocketAddr,
}

/// The lines that a process printed so far.
#[derive(Default)]
struct Lines {
    lines: Mutex<(Vec<String>, usize)>,
    more: Condvar,
}

impl Lines {
    /// Gathers the lines of a pipe until it ends.
    fn gather(self: &Arc<Self>, pipe: impl Read + Send + 'static) {
        let lines = Arc::clone(self);
        std::thread::spawn(move || {
            for line in BufReader::new(pipe).lines().map_while(Result::ok) {
                lines.lines.lock().unwrap().0.push(line);
                lines.more.notify_all();
            }
            lines.lines.lock().unwrap().1 += 1;
            lines.more.notify_all();
        });
    }

    /// The first line with these words; `None` once both pipes have ended without one.
    fn wait_for(&self, words: &str) -> Option<String> {
        let mut lines = self.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.0.iter().find(|line| line.contains(words)) {
                return Some(line.clone());
            }
            if lines.1 == 2 {
                return None;
            }
            let (next, waited) = self.more.wait_timeout(lines, AT_MOST).unwrap();
            assert!(!waited.timed_out(), "nobody said `{words}`: {:?}", next.0);
            lines = next;
        }
    }
}

impl Server {
    /// Starts a server and waits until it says where it listens.
    #[track_caller]
    pub(crate) fn start(mut command: Command, state: PathBuf) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let said = Arc::<Lines>::default();
        said.gather(child.stdout.take().unwrap());
        said.gather(child.stderr.take().unwrap());
        let Some(line) = said.wait_for(" listens on http://") else {
            child.wait().unwrap();
            panic!("the server did not start: {:?}", said.lines.lock().unwrap().0);
        };
        let addr = line.rsplit_once("http://").unwrap().1.split('"').next().unwrap().parse().unwrap();
        Self { child, said, state, addr }
    }

    /// The process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Waits for a line with these words, and gives it.
    #[track_caller]
    pub(crate) fn says(&self, words: &str) -> String {
        self.said.wait_for(words).unwrap_or_else(|| panic!("it ended without `{words}`: {}", self.log()))
    }

    /// Everything it has printed.
    pub(crate) fn log(&self) -> String {
        self.said.lines.lock().unwrap().0.join("\n")
    }

    /// Asks it one thing over its control socket.
    #[track_caller]
    pub(crate) fn ask(&self, request: &Request) -> Reply {
        let stream = std::os::unix::net::UnixStream::connect(self.state.join("control.sock")).unwrap();
        write_line(&mut &stream, request).unwrap();
        read_line(&mut BufReader::new(stream)).unwrap().unwrap()
    }

    #[track_caller]
    pub(crate) fn status(&self) -> Status {
        match self.ask(&Request::Status) {
            Reply::Status(status) => *status,
            other => panic!("{other:?}"),
        }
    }

    /// Looks at the status until it is so.
    #[track_caller]
    pub(crate) fn until(&self, so: impl Fn(&Status) -> bool) -> Status {
        look_until(|| Some(self.status()).filter(&so)).unwrap_or_else(|| panic!("it stays {:#?}", self.status()))
    }

    /// The account of this name.
    #[track_caller]
    pub(crate) fn account(&self, name: &str) -> AccountInfo {
        account(&self.status(), name)
    }

    /// The first limit of the account of this name.
    #[track_caller]
    pub(crate) fn limit(&self, name: &str) -> LimitInfo {
        self.account(name).limits.remove(0)
    }

    /// Waits until nothing is in flight, and gives the first limit of the account of this name.
    #[track_caller]
    pub(crate) fn settled(&self, name: &str) -> LimitInfo {
        let status = self.until(|status| status.open_holds == 0);
        account(&status, name).limits.remove(0)
    }

    #[track_caller]
    pub(crate) fn holds(&self) -> Vec<HoldInfo> {
        match self.ask(&Request::Holds) {
            Reply::Holds { holds } => holds,
            other => panic!("{other:?}"),
        }
    }

    /// What history knows of the call of an answer, once it knows how the call ended, if it has to.
    #[track_caller]
    pub(crate) fn explain(&self, answer: &Answer, ended: bool) -> CallInfo {
        let id = answer.header("x-almoner-call").expect("the answer names its call");
        let known = || match self.ask(&Request::Explain { id: id.to_owned() }) {
            Reply::Call(call) if !ended || call.record["ended"].is_object() => Some(*call),
            _ => None,
        };
        look_until(known).unwrap_or_else(|| panic!("history never learned of {id}"))
    }

    /// Makes a key with these limits: its name and the key.
    #[track_caller]
    pub(crate) fn key(&self, limits: &[&str], kill: bool) -> (String, String) {
        let limits = limits.iter().map(|limit| (*limit).to_owned()).collect();
        let mode = kill.then(|| "kill-running".to_owned());
        let new = NewKey { limits, mode, expires: "1h".to_owned(), note: "a test".to_owned(), ..NewKey::default() };
        match self.ask(&Request::CreateKey(Box::new(new))) {
            Reply::Key(key) => (key.id, key.secret),
            other => panic!("{other:?}"),
        }
    }

    /// What a question about the server itself is answered.
    pub(crate) fn probe(&self, path: &str) -> u16 {
        let asked = request(&format!("GET {path} HTTP/1.1"), &[("host", "localhost")], "");
        status(&send(self.addr, &asked))
    }

    /// Posts a body and reads the answer to its end.
    pub(crate) async fn post(&self, path: &str, headers: &[(&str, &str)], body: &str) -> Answer {
        self.stay(path, headers, body, Patience::ToTheEnd).await.unwrap()
    }

    /// Posts a body and stays as long as it is told.
    pub(crate) async fn stay(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
        patience: Patience,
    ) -> Result<Answer, NoAnswer> {
        let post = Post { path, headers, body: body.as_bytes(), patience };
        tokio::time::timeout(AT_MOST, post.send(self.addr)).await.expect("every answer comes to an end")
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap(), signal).unwrap();
    }

    /// Waits until it has ended by itself.
    #[track_caller]
    pub(crate) fn ended(&mut self) -> ExitStatus {
        look_until(|| self.child.try_wait().unwrap()).unwrap_or_else(|| panic!("it does not end: {}", self.log()))
    }

    /// Tells it to stop, and checks that it ends well. Gives everything it has said.
    #[track_caller]
    pub(crate) fn stop(mut self) -> String {
        self.signal(Signal::TERM);
        let status = self.ended();
        assert!(status.success(), "{status}: {}", self.log());
        self.log()
    }

    /// Ends it in the middle of whatever it does.
    pub(crate) fn kill(mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // One that has ended already cannot be ended again, which is fine.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

#[track_caller]
fn account(status: &Status, name: &str) -> AccountInfo {
    let found = status.accounts.iter().find(|account| account.account == name || account.budget == name);
    found.unwrap_or_else(|| panic!("no account `{name}` in {:#?}", status.accounts)).clone()
}

/// Looks until there is something to see; `None` once it has looked often enough.
#[allow(clippy::disallowed_methods)] // Another process cannot be awaited but by looking again.
pub(crate) fn look_until<T>(mut look: impl FnMut() -> Option<T>) -> Option<T> {
    for _ in 0..LOOKS {
        if let Some(seen) = look() {
            return Some(seen);
        }
        std::thread::sleep(PAUSE);
    }
    None
}

/// Waits until a server that was told to stop has ended, and says whether it ended well.
#[track_caller]
pub(crate) fn exited_well(mut server: Server) -> bool {
    server.ended().success()
}
