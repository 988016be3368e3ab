//! The programs that stand side by side: each in a folder of its own, on loopback, ended when it is dropped.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Duration;

/// How often, and in which steps, a program is waited for.
const LOOKS_MAX: usize = 200;
/// For programs that read half of PyPI before they listen: two minutes.
const SLOW_LOOKS_MAX: usize = 4800;
const LOOK: Duration = Duration::from_millis(25);
/// How many descriptors a program may open: thousands of streams need two each.
const DESCRIPTORS: usize = 16_384;

/// The folder of built programs, which is the one that this program was built into.
pub(crate) fn built(name: &str) -> Result<PathBuf, String> {
    let own = std::env::current_exe().map_err(|why| format!("where this program stands is unknown: {why}"))?;
    let target = own.ancestors().nth(2).ok_or("this program stands in no folder of cargo's")?;
    Ok(target.join(name))
}

/// A folder that is empty at first, and gone at the end.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(base: &Path, name: &str) -> Result<Self, String> {
        let path = base.join(format!("almoner-bench-{}-{name}", std::process::id()));
        fs::create_dir_all(&path).map_err(|why| format!("{} cannot be made: {why}", path.display()))?;
        Ok(Self(path))
    }

    pub(crate) fn write(&self, name: &str, text: &str) -> Result<PathBuf, String> {
        let path = self.0.join(name);
        fs::write(&path, text).map_err(|why| format!("{} cannot be written: {why}", path.display()))?;
        Ok(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// A program that listens.
pub(crate) struct Running {
    child: Child,
    /// Kept open, so that what it says later does not end it.
    _says: Option<BufReader<ChildStdout>>,
    /// Which processes do its work.
    workers: Vec<u32>,
    pub(crate) addr: SocketAddr,
}

impl Running {
    /// Starts a program that says `http://ADDRESS` in one of its first lines.
    pub(crate) fn that_says_where(mut command: Command) -> Result<Self, String> {
        let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::inherit()))?;
        let mut says = BufReader::new(child.stdout.take().expect("its output was asked for"));
        let addr = said_address(&mut says);
        let workers = vec![child.id()];
        let Some(addr) = addr else {
            drop(child.kill());
            drop(child.wait());
            return Err(format!("{command:?} does not say where it listens"));
        };
        Ok(Self { child, _says: Some(says), workers, addr })
    }

    /// Starts a program that was told to listen on this address, and waits for it as long as a slow one takes.
    pub(crate) fn that_listens_on(addr: SocketAddr, mut command: Command) -> Result<Self, String> {
        let child = spawn(&mut command)?;
        let mut running = Self { workers: vec![child.id()], child, _says: None, addr };
        running.wait_until_it_listens(SLOW_LOOKS_MAX)?;
        Ok(running)
    }

    /// Starts nginx with this configuration, in which `LISTEN` is the address that it gets.
    pub(crate) fn nginx(folder: &Folder, cores: &str, conf: &str) -> Result<Self, String> {
        let addr = free_address()?;
        let conf = folder.write("nginx.conf", &conf.replace("LISTEN", &addr.to_string()))?;
        let mut command = on_cores(cores, Path::new("nginx"));
        command.arg("-p").arg(&folder.0).arg("-c").arg(conf).args(["-e", "stderr", "-g", "daemon off;"]);
        let child = spawn(&mut command)?;
        let mut running = Self { workers: vec![child.id()], child, _says: None, addr };
        running.wait_until_it_listens(LOOKS_MAX)?;
        running.workers.extend(children(running.child.id()));
        Ok(running)
    }

    fn wait_until_it_listens(&mut self, looks_max: usize) -> Result<(), String> {
        for _ in 0..looks_max {
            if TcpStream::connect(self.addr).is_ok() {
                return Ok(());
            }
            if let Ok(Some(status)) = self.child.try_wait() {
                return Err(format!("it ended before it listened ({status})"));
            }
            std::thread::sleep(LOOK);
        }
        Err(format!("nothing listens on {}", self.addr))
    }

    /// The processor time of its processes, in seconds.
    pub(crate) fn cpu(&self) -> f64 {
        self.workers.iter().map(|pid| cpu(*pid).unwrap_or(0.0)).sum()
    }

    /// The memory that it has resident, in KiB.
    pub(crate) fn resident(&self) -> f64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(f64::NAN)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The first process of nginx ends its worker, if it is told rather than killed.
        let told = Command::new("kill").arg(self.child.id().to_string()).status();
        for _ in 0..LOOKS_MAX {
            if told.is_err() || !matches!(self.child.try_wait(), Ok(None)) {
                break;
            }
            std::thread::sleep(LOOK);
        }
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

/// A program bound to some cores, with room for many descriptors where the system allows it. The system ends it with
/// this one, however that ends.
pub(crate) fn on_cores(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("sh");
    let script =
        format!("ulimit -n {DESCRIPTORS} 2>/dev/null; exec setpriv --pdeathsig TERM taskset -c {cores} \"$0\" \"$@\"");
    command.arg("-c").arg(script).arg(program);
    command
}

fn spawn(command: &mut Command) -> Result<Child, String> {
    command.stdin(Stdio::null()).spawn().map_err(|why| format!("{command:?} could not be started: {why}"))
}

fn said_address(says: &mut BufReader<ChildStdout>) -> Option<SocketAddr> {
    let mut line = String::new();
    for _ in 0..LOOKS_MAX {
        line.clear();
        if says.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some((_, addr)) = line.trim_end().split_once("listens on http://") {
            return addr.parse().ok();
        }
    }
    None
}

/// An address that nobody listened on a moment ago, for programs that cannot choose one themselves.
pub(crate) fn free_address() -> Result<SocketAddr, String> {
    let bound = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    bound.map_err(|why| format!("no port is free: {why}"))
}

fn children(pid: u32) -> Vec<u32> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    text.split_whitespace().filter_map(|pid| pid.parse().ok()).collect()
}

/// The processor time of a process, in seconds.
fn cpu(pid: u32) -> Option<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name may hold anything, so the fields are counted from behind it: utime and stime, in hundredths.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |at: usize| fields.get(at)?.parse::<f64>().ok();
    Some((ticks(11)? + ticks(12)?) / 100.0)
}

/// A program that holds something open for as long as it is held.
pub(crate) struct Held {
    child: Child,
    says: BufReader<ChildStdout>,
}

impl Held {
    pub(crate) fn start(command: &mut Command) -> Result<Self, String> {
        let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let mut child = started.map_err(|why| format!("{command:?} could not be started: {why}"))?;
        let says = BufReader::new(child.stdout.take().expect("its output was asked for"));
        Ok(Self { child, says })
    }

    /// Waits until it says so; a program that ends before is an error.
    pub(crate) fn wait_for(&mut self, line: &str) -> Result<(), String> {
        let mut said = String::new();
        let read = self.says.read_line(&mut said).map_err(|why| format!("it says nothing: {why}"))?;
        if read > 0 && said.trim_end() == line { Ok(()) } else { Err(format!("not `{line}`, but: {said}")) }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
