//! HTTP as bytes on a socket, for requests that no client would send and for what happens to a connection.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};

use super::client::Answer;
use super::clock::DEADLINE;

/// Sends these very bytes on a connection of their own, and reads one answer.
pub(crate) fn raw(address: SocketAddr, request: &[u8]) -> Answer {
    let mut connection = Connection::open(address);
    connection.send(request);
    connection.read().expect("an answer")
}

/// A connection that stays open until it is dropped, or closed by the other side.
pub(crate) struct Connection {
    stream: TcpStream,
    /// What has been read and belongs to the next answer.
    rest: Vec<u8>,
}

impl Connection {
    /// Connects.
    pub(crate) fn open(address: SocketAddr) -> Self {
        Self::try_open(address).expect("a listener")
    }

    /// Connects, if somebody listens.
    pub(crate) fn try_open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address)?;
        stream.set_read_timeout(Some(DEADLINE))?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, rest: Vec::new() })
    }

    /// Sends bytes. That the other side has closed already shows when its answer is read.
    pub(crate) fn send(&mut self, bytes: impl AsRef<[u8]>) {
        let _ = self.stream.write_all(bytes.as_ref());
    }

    /// Reads one answer; `None` when the connection was closed instead.
    pub(crate) fn read(&mut self) -> Option<Answer> {
        let head = loop {
            if let Some(end) = find(&self.rest, b"\r\n\r\n") {
                break self.rest.drain(..end + 4).collect::<Vec<_>>();
            }
            if !self.fill() {
                assert!(self.rest.is_empty(), "cut off: {:?}", String::from_utf8_lossy(&self.rest));
                return None;
            }
        };
        let head = String::from_utf8(head).expect("a head in ASCII");
        let mut lines = head.lines();
        let status_line = lines.next().unwrap_or_default();
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let headers = lines.filter_map(|line| line.split_once(':'));
        let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let mut answer = Answer { status: status.expect(status_line), headers, body: Vec::new() };
        assert_eq!(answer.header("transfer-encoding"), None, "every answer's length is known");
        let length = answer.header("content-length").map_or(0, |length| length.parse().expect("a length"));
        while self.rest.len() < length && self.fill() {}
        answer.body = self.rest.drain(..length.min(self.rest.len())).collect();
        Some(answer)
    }

    /// Reads until the other side closes; panics when it sends anything, or stays open beyond the deadline.
    pub(crate) fn expect_closed(&mut self) {
        while self.fill() {}
        assert!(self.rest.is_empty(), "sent instead of closed: {:?}", String::from_utf8_lossy(&self.rest));
    }

    fn fill(&mut self) -> bool {
        let mut chunk = [0; 4096];
        match self.stream.read(&mut chunk) {
            Ok(0) => false,
            Ok(count) => {
                self.rest.extend_from_slice(&chunk[..count]);
                true
            }
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => false,
            Err(error) => panic!("neither an answer nor an end: {error}"),
        }
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}
