//! A back end that recognises sessions over HTTP, and counts how many it is asked about at once.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

/// It runs until the test ends.
pub(crate) struct Backend {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    asked: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
}

impl Backend {
    /// A back end that thinks for `delay`, knows the user `NAME` by the token `token-of-NAME`, and nobody else.
    pub(crate) fn start(delay: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let backend = Self { address: listener.local_addr().expect("an address"), counts: Arc::default() };
        let counts = Arc::clone(&backend.counts);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let (stream, counts) = (stream.expect("a connection"), Arc::clone(&counts));
                // It ends with the connection.
                thread::spawn(move || serve(&stream, delay, &counts));
            }
        });
        backend
    }

    /// The rule that asks it about the header `X-Token`.
    pub(crate) fn rule(&self, more: &str) -> String {
        format!(
            "[[session]]\nname = \"backend\"\nfrom = \"header:X-Token\"\ncheck = \"http\"\nurl = \"http://{}/me\"\n\
             user = \"/id\"\n{more}\n",
            self.address
        )
    }

    /// How many questions it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.counts.asked.load(Ordering::SeqCst)
    }

    /// The most questions that were open at the same moment.
    pub(crate) fn most_at_once(&self) -> usize {
        self.counts.most_at_once.load(Ordering::SeqCst)
    }
}

/// Answers one question after another; ends when the other side does.
fn serve(stream: &TcpStream, delay: Duration, counts: &Counts) -> Option<()> {
    let mut lines = BufReader::new(stream).lines();
    let mut stream = stream;
    loop {
        let mut token = String::new();
        loop {
            let line = lines.next()?.ok()?;
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(": ")
                && name.eq_ignore_ascii_case("x-token")
            {
                value.clone_into(&mut token);
            }
        }
        counts.asked.fetch_add(1, Ordering::SeqCst);
        counts.most_at_once.fetch_max(counts.at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(delay);
        counts.at_once.fetch_sub(1, Ordering::SeqCst);
        let answer = match token.strip_prefix("token-of-") {
            Some(user) => ("200 OK", format!(r#"{{"id":"{user}"}}"#)),
            None => ("401 Unauthorized", "{}".to_owned()),
        };
        let (status, body) = answer;
        write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).ok()?;
    }
}
