//! Streams for the measurements of speed: a provider that sends its first event at once and the rest when it is told
//! to, a client that times the first byte at several addresses in turns, and one that holds thousands of streams open.
//!
//! `streams provider` · `streams first-byte COUNT ADDRESS…` · `streams hold COUNT ADDRESS`
//!
//! A body with the word `slow` in it gets a stream that stays open until its client leaves. Loopback only.
#![allow(clippy::print_stdout, clippy::disallowed_methods, clippy::float_arithmetic)]

use std::error::Error;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Instant, timeout};

type Outcome<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

/// How long anything is waited for.
const PATIENCE: Duration = Duration::from_secs(60);
/// The most bytes of a request.
const REQUEST_MAX: usize = 64 << 10;

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";
const FIRST: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\
    \"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"bench-stream\",\"usage\":{\"input_tokens\":12,\
    \"output_tokens\":1}}}\n\n";
const REST: &str = "event: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":\
    {\"type\":\"text\",\"text\":\"\"}}\n\nevent: content_block_delta\ndata: {\"type\":\"content_block_delta\",\
    \"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\nevent: content_block_stop\n\
    data: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\
    \"delta\":{\"stop_reason\":\"end_turn\"},\"usage\":{\"output_tokens\":8}}\n\nevent: message_stop\n\
    data: {\"type\":\"message_stop\"}\n\n";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Outcome {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words[..] {
        ["provider"] => provide().await,
        ["first-byte", count, ref at @ ..] if !at.is_empty() => first_bytes(count.parse()?, at).await,
        ["hold", count, at] => hold(count.parse()?, at.parse()?).await,
        _ => Err("streams provider | streams first-byte COUNT ADDRESS… | streams hold COUNT ADDRESS".into()),
    }
}

/// Listens, and says where, until it is ended.
async fn provide() -> Outcome {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    println!("listens on http://{}", listener.local_addr()?);
    loop {
        let (stream, _) = listener.accept().await?;
        tokio::spawn(answer_all(stream));
    }
}

async fn answer_all(mut stream: TcpStream) -> Outcome {
    stream.set_nodelay(true)?;
    while let Some(body) = request(&mut stream).await? {
        stream.write_all(format!("{HEAD}{}", chunk(FIRST)).as_bytes()).await?;
        if contains(&body, b"slow") {
            // Nothing more comes from a client; its end is what is waited for.
            let _at_its_end = stream.read(&mut [0]).await?;
            return Ok(());
        }
        stream.write_all(format!("{}0\r\n\r\n", chunk(REST)).as_bytes()).await?;
    }
    Ok(())
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

/// The next request of a connection; `None` at its end.
async fn request(stream: &mut TcpStream) -> Outcome<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    loop {
        if let Some(end) = find(&bytes, b"\r\n\r\n") {
            let head = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
            let length = head.lines().find_map(|line| line.strip_prefix("content-length:"));
            let length: usize = length.unwrap_or("0").trim().parse()?;
            if bytes.len() >= end + 4 + length {
                return Ok(Some(bytes));
            }
        }
        if bytes.len() > REQUEST_MAX || stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    find(bytes, what).is_some()
}

fn post(at: &str, text: &str) -> String {
    let body = format!(
        "{{\"model\":\"bench-stream\",\"max_tokens\":256,\"stream\":true,\"messages\":[{{\"role\":\"user\",\
         \"content\":\"{text}\"}}]}}"
    );
    format!(
        "POST /v1/messages HTTP/1.1\r\nhost: {at}\r\nx-api-key: sk-bench\r\nanthropic-version: 2023-06-01\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// A client that keeps its connection.
struct Caller {
    at: String,
    stream: TcpStream,
    took: Vec<Duration>,
}

/// Times the first byte of a stream at each address in turns, and prints the medians in milliseconds.
async fn first_bytes(count: usize, at: &[&str]) -> Outcome {
    let mut callers = Vec::new();
    for at in at {
        let stream = TcpStream::connect(at.parse::<SocketAddr>()?).await?;
        stream.set_nodelay(true)?;
        callers.push(Caller { at: (*at).to_owned(), stream, took: Vec::new() });
    }
    for _ in 0..count {
        for caller in &mut callers {
            timeout(PATIENCE, caller.call()).await??;
        }
    }
    for caller in &mut callers {
        caller.took.sort_unstable();
        println!("{} {:.6}", caller.at, caller.took[caller.took.len() / 2].as_secs_f64() * 1000.0);
    }
    Ok(())
}

impl Caller {
    async fn call(&mut self) -> Outcome {
        let (request, mut answer) = (post(&self.at, "hi"), Vec::new());
        let began = Instant::now();
        self.stream.write_all(request.as_bytes()).await?;
        read_until(&mut self.stream, &mut answer, b"event: message_start").await?;
        self.took.push(began.elapsed());
        read_until(&mut self.stream, &mut answer, b"0\r\n\r\n").await
    }
}

async fn read_until(stream: &mut TcpStream, answer: &mut Vec<u8>, what: &[u8]) -> Outcome {
    while !contains(answer, what) {
        if answer.len() > REQUEST_MAX || stream.read_buf(answer).await? == 0 {
            let head = String::from_utf8_lossy(answer).into_owned();
            return Err(format!("no stream came, but: {head}").into());
        }
    }
    Ok(())
}

/// Opens streams, says how many got their first event, and holds them until its input ends.
async fn hold(count: usize, at: SocketAddr) -> Outcome {
    let mut open = Vec::with_capacity(count);
    for _ in 0..count {
        open.push(timeout(PATIENCE, slow_stream(at)).await??);
    }
    println!("open {}", open.len());
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;
    Ok(())
}

async fn slow_stream(at: SocketAddr) -> Outcome<TcpStream> {
    let mut stream = TcpStream::connect(at).await?;
    stream.write_all(post(&at.to_string(), "slow").as_bytes()).await?;
    read_until(&mut stream, &mut Vec::new(), b"event: message_start").await?;
    Ok(stream)
}
