//! A proxy that makes tunnels: it is asked for a name and a port, and leads to one place whatever the name, so that no
//! test asks anybody where a name is.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};

/// What the proxy says to who did not say who they are.
const WHO: &str = "HTTP/1.1 407 Proxy Authentication Required\r\nproxy-authenticate: Basic realm=\"test\"\r\ncontent-length: 0\r\n\r\n";
/// What it says to all others.
const WELCOME: &str = "HTTP/1.1 200 Connection established\r\n\r\n";

/// The proxy; it ends when it is dropped.
#[derive(Debug)]
pub struct TunnelProxy {
    addr: SocketAddr,
    accepting: AbortHandle,
    asked: Arc<Mutex<Vec<String>>>,
}

/// What all tunnels share.
#[derive(Clone)]
struct Rules {
    inside: SocketAddr,
    authorization: Option<&'static str>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl TunnelProxy {
    /// Starts on a free port of the loopback; every tunnel leads to `inside`, for those that show this
    /// `proxy-authorization`, where one is named.
    ///
    /// # Errors
    /// Where there is no free port.
    pub async fn start(inside: SocketAddr, authorization: Option<&'static str>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        let rules = Rules { inside, authorization, asked: Arc::default() };
        let asked = Arc::clone(&rules.asked);
        let accepting = tokio::spawn(accept(listener, rules)).abort_handle();
        Ok(Self { addr, accepting, asked })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// The first line of everything that it was asked.
    #[must_use]
    pub fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for TunnelProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, rules: Rules) {
    let mut tunnels = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((stream, _)) = accepted {
                let rules = rules.clone();
                // How it ends is for the two sides to judge.
                tunnels.spawn(async move { drop(dig(stream, &rules).await) });
            },
            Some(_) = tunnels.join_next() => {}
        }
    }
}

async fn dig(stream: TcpStream, rules: &Rules) -> io::Result<()> {
    let mut guest = BufReader::new(stream);
    let (mut asked, mut is_known) = (String::new(), rules.authorization.is_none());
    guest.read_line(&mut asked).await?;
    loop {
        let mut line = String::new();
        if guest.read_line(&mut line).await? == 0 || line == "\r\n" {
            break;
        }
        let header = line.trim_end().split_once(": ");
        is_known |= header.is_some_and(|(name, value)| {
            name.eq_ignore_ascii_case("proxy-authorization") && Some(value) == rules.authorization
        });
    }
    rules.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked.trim_end().to_owned());
    if !is_known {
        return guest.write_all(WHO.as_bytes()).await;
    }
    let mut host = TcpStream::connect(rules.inside).await?;
    guest.write_all(WELCOME.as_bytes()).await?;
    copy_bidirectional(&mut guest, &mut host).await?;
    Ok(())
}
