//! What a small budget lets through: 200 calls, 32 at once, before a provider that takes its time and keeps the truth.
//!
//! A gateway that looks at what has been billed is late by every call in flight. The provider is a thread here, which
//! counts its answers; each costs the same, so that the bill needs nobody's books.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use super::figure::{Figure, Goal};
use super::gateway::almoner;
use super::peers::{Peer, Site, config, request};

pub(super) const MODEL: &str = "gpt-4o-mini";
pub(super) const LIMIT_USD: f64 = 0.001;
const CALLS: u64 = 200;
const CALLERS: u64 = 32;
/// How long the provider takes for an answer.
const THINKS: Duration = Duration::from_millis(300);
/// How long a caller waits for one.
const PATIENCE: Duration = Duration::from_secs(60);

/// What every answer tells of its usage, and what it costs: the model's price is $0.15 and $0.60 a million.
pub(super) const ANSWER: &str = r#"{"id":"c_1","object":"chat.completion","created":1700000000,"model":"gpt-4o-mini","choices":[{"index":0,"message":{"role":"assistant","content":"Hello"},"finish_reason":"stop"}],"usage":{"prompt_tokens":20,"completion_tokens":50,"total_tokens":70}}"#;
const TOKENS: u64 = 70;
const COST_USD: f64 = 20.0 * 0.15e-6 + 50.0 * 0.60e-6;

/// How many tokens so much money buys, in calls of this kind.
#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small positive number of tokens")]
pub(super) fn tokens_for(usd: f64) -> u64 {
    (usd / COST_USD * TOKENS as f64) as u64
}

/// Every gateway that can be given a budget here, ours first.
pub(super) fn figures(site: &Site, peers: &[&Peer]) -> Result<Vec<Figure>, String> {
    let provider = Provider::start()?;
    let toml = site.disk.write("short.toml", &config(provider.addr, LIMIT_USD))?;
    let ours = almoner(&site.cores, &toml, &site.disk.0.join("short"), &[])?;
    let call = request("/v1/chat/completions", ours.addr, provider.addr);
    let mut figures = told("Almoner, on disk", &provider.crowd(ours.addr, &call), Goal::AtMost(100.0));
    drop(ours);
    for peer in peers.iter().filter(|peer| peer.has_budgets) {
        let server = site.start(peer, provider.addr, true)?;
        let call = peer.request(server.addr, provider.addr);
        figures.extend(told(peer.told, &provider.crowd(server.addr, &call), Goal::None));
    }
    Ok(figures)
}

/// What a crowd came to.
struct Crowd {
    answered: u64,
    billed: u64,
}

fn told(way: &str, crowd: &Crowd, goal: Goal) -> Vec<Figure> {
    let percent = 100.0 * crowd.billed as f64 * COST_USD / LIMIT_USD;
    let figure = |what: &str, unit: &str, goal, value| {
        Figure::new(&format!("{CALLS} calls on ${LIMIT_USD}, {what}, {way}"), unit, goal, vec![value])
    };
    vec![
        figure("answered", "calls", Goal::None, crowd.answered as f64),
        figure("billed by the provider", "% of the budget", goal, percent),
    ]
}

/// A provider that counts what it answers. Its thread ends with the program.
struct Provider {
    addr: SocketAddr,
    billed: Arc<AtomicU64>,
}

impl Provider {
    fn start() -> Result<Self, String> {
        let failed = |why: std::io::Error| format!("no provider could be started: {why}");
        let listener = TcpListener::bind("127.0.0.1:0").map_err(failed)?;
        let addr = listener.local_addr().map_err(failed)?;
        let billed = Arc::new(AtomicU64::new(0));
        let bill = Arc::clone(&billed);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let bill = Arc::clone(&bill);
                thread::spawn(move || answer_all(stream, &bill));
            }
        });
        Ok(Self { addr, billed })
    }

    /// Sends the calls to a gateway, and waits for all their answers.
    fn crowd(&self, to: SocketAddr, call: &str) -> Crowd {
        let before = self.billed.load(Ordering::SeqCst);
        let next = AtomicU64::new(0);
        let caller = || {
            let mut answered = 0;
            while next.fetch_add(1, Ordering::SeqCst) < CALLS {
                answered += u64::from(is_answered(to, call).unwrap_or(false));
            }
            answered
        };
        let answered = thread::scope(|scope| {
            let callers: Vec<_> = (0..CALLERS).map(|_| scope.spawn(caller)).collect();
            callers.into_iter().map(|caller| caller.join().unwrap_or(0)).sum()
        });
        Crowd { answered, billed: self.billed.load(Ordering::SeqCst) - before }
    }
}

/// Whether a call got an answer rather than a refusal.
fn is_answered(to: SocketAddr, call: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(to)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.write_all(call.as_bytes())?;
    let mut said = Vec::new();
    stream.read_to_end(&mut said)?;
    Ok(said.starts_with(b"HTTP/1.1 200"))
}

/// Answers the requests of a connection until it ends.
fn answer_all(mut stream: TcpStream, billed: &AtomicU64) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    let (mut said, mut piece) = (Vec::new(), [0; 4096]);
    loop {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            return Ok(());
        }
        said.extend_from_slice(&piece[..read]);
        while let Some(end) = end_of_request(&said) {
            said.drain(..end);
            thread::sleep(THINKS);
            billed.fetch_add(1, Ordering::SeqCst);
            let length = ANSWER.len();
            let head = format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n");
            stream.write_all((head + ANSWER).as_bytes())?;
        }
    }
}

/// Where the first request of these bytes ends, once it is whole.
fn end_of_request(said: &[u8]) -> Option<usize> {
    let head = said.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&said[..head]).to_ascii_lowercase();
    let length = text.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok());
    let end = head + length.unwrap_or(0);
    (said.len() >= end).then_some(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A crowd that meets no gateway at all is answered, and billed, in full: what a gateway lets through is seen.
    #[test]
    fn the_provider_bills_what_it_answers() {
        let provider = Provider::start().unwrap();
        let call = "POST / HTTP/1.1\r\ncontent-length: 2\r\n\r\n{}";
        let mut stream = TcpStream::connect(provider.addr).unwrap();
        stream.write_all(call.repeat(2).as_bytes()).unwrap();
        let mut answers = vec![0; 2 * (ANSWER.len() + 10)];
        stream.read_exact(&mut answers).unwrap();
        assert_eq!(provider.billed.load(Ordering::SeqCst), 2);
    }

    #[test]
    fn a_request_ends_with_its_body() {
        let whole = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}";
        assert_eq!(end_of_request(whole), Some(whole.len()));
        assert_eq!(end_of_request(&whole[..whole.len() - 1]), None);
        assert_eq!(end_of_request(b"POST / HTTP/1.1\r\n"), None);
    }

    #[test]
    fn the_money_buys_thirty_calls_and_a_bit() {
        assert_eq!(tokens_for(LIMIT_USD) / TOKENS, 30);
    }
}
