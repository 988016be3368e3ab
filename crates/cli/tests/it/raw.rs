//! Bytes on a socket, for what no HTTP library would send.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::server::AT_MOST;

/// Sends bytes, and reads what comes back until the other side closes.
pub(crate) fn send(addr: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(addr);
    // A server that has seen enough may close before it has read it all.
    drop(stream.write_all(bytes));
    read(stream)
}

/// A connection that never blocks a test for ever.
pub(crate) fn connect(addr: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(addr).unwrap();
    stream.set_read_timeout(Some(AT_MOST)).unwrap();
    stream.set_write_timeout(Some(AT_MOST)).unwrap();
    stream
}

/// What comes until the other side closes.
pub(crate) fn read(mut stream: TcpStream) -> String {
    let mut back = Vec::new();
    match stream.read_to_end(&mut back) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => panic!("the connection stays open"),
        _ => String::from_utf8_lossy(&back).into_owned(),
    }
}

/// A request with this head, after its own first line and in front of its body; the connection ends with its answer.
pub(crate) fn request(line: &str, headers: &[(&str, &str)], body: &str) -> Vec<u8> {
    let mut bytes = format!("{line}\r\n");
    headers.iter().for_each(|(name, value)| bytes.push_str(&format!("{name}: {value}\r\n")));
    format!("{bytes}connection: close\r\n\r\n{body}").into_bytes()
}

/// The status of an answer; 0 where there is none.
pub(crate) fn status(answer: &str) -> u16 {
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0)
}
