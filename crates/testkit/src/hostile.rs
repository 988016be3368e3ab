//! A provider that means harm: it answers each call with the misdeed that the model is named by, `hostile-endless`.
//!
//! Whatever it does ends by itself: after a bounded number of bytes, or with the connection.

use std::io::{self, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// What it can do.
pub const MISDEEDS: [&str; 13] = [
    "head",
    "informational",
    "endless",
    "line",
    "short",
    "long",
    "trailers",
    "gzip",
    "packed-twice",
    "zstd",
    "deep",
    "numbers",
    "silent",
];

/// The most bytes that it sends of what has no end.
const BYTES_MAX: usize = 64 << 20;
/// How much of it it sends at once, and the pause before it sends more.
const PIECE: usize = 16 << 10;
const PAUSE: Duration = Duration::from_millis(20);
/// What a bomb unpacks to.
const BOMB: usize = 320 << 20;
/// The most bytes of a request that it reads.
const REQUEST_MAX: usize = 64 << 10;

const EVENTS: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n";

/// The provider; it ends when it is dropped.
#[derive(Debug)]
pub struct HostileProvider {
    addr: SocketAddr,
    accepting: AbortHandle,
}

impl HostileProvider {
    /// Starts on a free port of the loopback.
    ///
    /// # Errors
    /// Where there is no free port.
    pub async fn start() -> io::Result<Self> {
        // Made before anybody waits for it: it takes seconds.
        tokio::task::spawn_blocking(gzip).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let addr = listener.local_addr()?;
        Ok(Self { addr, accepting: tokio::spawn(accept(listener)).abort_handle() })
    }

    /// Where it listens.
    #[must_use]
    pub const fn addr(&self) -> SocketAddr {
        self.addr
    }
}

impl Drop for HostileProvider {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener) {
    loop {
        if let Ok((stream, _)) = listener.accept().await {
            // How it ends is the other side's to judge.
            tokio::spawn(async move { drop(answer(stream).await) });
        }
    }
}

/// Answers one call, and closes.
async fn answer(mut stream: TcpStream) -> io::Result<()> {
    let misdeed = asked(&mut stream).await?;
    match misdeed.as_str() {
        "head" => forever(&mut stream, "HTTP/1.1 200 OK\r\n", "x-filler: aaaaaaaaaaaaaaaaaaaaaaaa\r\n").await,
        "informational" => forever(&mut stream, "", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n").await,
        "endless" => forever(&mut stream, EVENTS, &chunk(&"x".repeat(1 << 10))).await,
        "line" => {
            let begin = chunk("event: message_start\ndata: {\"type\":\"message_start\",\"x\":\"");
            forever(&mut stream, &format!("{EVENTS}{begin}"), &chunk(&"x".repeat(1 << 10))).await?;
            stream.write_all(format!("{}0\r\n\r\n", chunk("\"}\n\n")).as_bytes()).await
        }
        "short" => stream.write_all(json(10, &"1".repeat(1000)).as_bytes()).await,
        "long" => stream.write_all(json(1000, "{\"id\":\"x\"}").as_bytes()).await,
        "trailers" => {
            let trailers = "x-trailer: aaaaaaaaaaaaaaaaaaaaaa\r\n".repeat(10_000);
            stream.write_all(format!("{EVENTS}{}0\r\n{trailers}\r\n", chunk("data: {}\n\n")).as_bytes()).await
        }
        "gzip" => stream.write_all(&packed("gzip", gzip())).await,
        "packed-twice" => stream.write_all(&packed("gzip, gzip", gzip())).await,
        "zstd" => stream.write_all(&packed("zstd", &zstd())).await,
        "deep" => {
            let levels = 1_000_000;
            let body = format!("{}{}", "{\"a\":".repeat(levels), "1".to_owned() + &"}".repeat(levels));
            stream.write_all(json(body.len(), &body).as_bytes()).await
        }
        "numbers" => {
            let usage = r#"{"input_tokens":-1,"output_tokens":1e999,"cache_read_input_tokens":18446744073709551616}"#;
            let body = format!(r#"{{"type":"message","role":"assistant","content":[],"usage":{usage}}}"#);
            stream.write_all(json(body.len(), &body).as_bytes()).await
        }
        // Nothing comes until the other side has enough.
        _ => stream.read(&mut [0]).await.map(drop),
    }
}

/// The misdeed that a request asks for, once the request is here.
async fn asked(stream: &mut TcpStream) -> io::Result<String> {
    let mut bytes = Vec::new();
    while bytes.len() < REQUEST_MAX && stream.read_buf(&mut bytes).await? > 0 {
        let text = String::from_utf8_lossy(&bytes);
        let named = text.split_once("\"hostile-").and_then(|(_, rest)| rest.split_once('"'));
        if let Some((misdeed, _)) = named {
            return Ok(misdeed.to_owned());
        }
    }
    Err(io::Error::other("the request names no misdeed"))
}

/// Sends this, and then that again and again.
async fn forever(stream: &mut TcpStream, first: &str, again: &str) -> io::Result<()> {
    let piece = again.repeat(PIECE.div_ceil(again.len()));
    stream.write_all(first.as_bytes()).await?;
    for _ in 0..BYTES_MAX / piece.len() {
        stream.write_all(piece.as_bytes()).await?;
        tokio::time::sleep(PAUSE).await;
    }
    Ok(())
}

fn chunk(text: &str) -> String {
    format!("{:x}\r\n{text}\r\n", text.len())
}

fn json(length: usize, body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\n\r\n{body}")
}

fn packed(encoding: &str, body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ncontent-encoding: {encoding}\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

/// Zeros, packed with gzip.
fn gzip() -> &'static [u8] {
    static BOMB_OF_GZIP: OnceLock<Vec<u8>> = OnceLock::new();
    BOMB_OF_GZIP.get_or_init(|| {
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        let zeros = vec![0; 1 << 20];
        // Writing into memory cannot fail.
        (0..BOMB >> 20).for_each(|_| packer.write_all(&zeros).unwrap_or_default());
        packer.finish().unwrap_or_default()
    })
}

/// One byte, again and again, by Zstandard's blocks of a run: four bytes for each 128 KiB.
fn zstd() -> Vec<u8> {
    let run: u32 = 128 << 10;
    let block = |is_last: bool| (run << 3 | 1 << 1 | u32::from(is_last)).to_le_bytes();
    // The magic number, no size and no checksum, and a window of 8 MiB.
    let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68];
    let blocks = BOMB / run as usize;
    for number in 1..=blocks {
        frame.extend_from_slice(&block(number == blocks)[..3]);
        frame.push(b'x');
    }
    frame
}
