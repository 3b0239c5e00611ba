//! An HTTP server whose answers a test writes, and which remembers every request: for what no real server would say.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use serde_json::Value;

/// A server of the test's own. It ends when this goes out of scope.
pub(crate) struct Backend {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

/// A request as it came in.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Such as `GET`.
    pub(crate) method: String,
    /// With the query.
    pub(crate) path: String,
    /// Names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// The body.
    pub(crate) body: String,
}

/// What is answered.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    status: u16,
    headers: Vec<(&'static str, String)>,
    body: Vec<u8>,
}

type Script = dyn Fn(&Seen) -> Reply + Send + Sync;

struct Shared {
    script: Mutex<Arc<Script>>,
    seen: Mutex<Vec<Seen>>,
    over: AtomicBool,
}

impl Seen {
    /// The value of a header; empty when it is not there.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }
}

impl Reply {
    /// JSON with status 200.
    #[expect(clippy::needless_pass_by_value, reason = "what stands in the parentheses is json!")]
    pub(crate) fn json(body: Value) -> Self {
        Self::new(200, body.to_string()).header("content-type", "application/json")
    }

    /// A status and a body.
    pub(crate) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Self { status, headers: Vec::new(), body: body.into() }
    }

    /// Adds a header.
    pub(crate) fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }
}

impl Backend {
    /// A server that answers by `script`.
    pub(crate) fn start(script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let script: Arc<Script> = Arc::new(script);
        let shared =
            Arc::new(Shared { script: Mutex::new(script), seen: Mutex::default(), over: AtomicBool::new(false) });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                // A client that goes away in the middle is no fault of the server's.
                thread::spawn(move || drop(shared.serve(&client)));
            }
        });
        Self { address, shared }
    }

    /// Always answers this.
    pub(crate) fn always(reply: Reply) -> Self {
        Self::start(move |_| reply.clone())
    }

    /// Answers by another script from now on.
    pub(crate) fn set(&self, script: impl Fn(&Seen) -> Reply + Send + Sync + 'static) {
        *lock(&self.shared.script) = Arc::new(script);
    }

    /// `http://host:port`
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// All requests so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        lock(&self.shared.seen).clone()
    }

    /// How many requests there were so far.
    pub(crate) fn count(&self) -> usize {
        lock(&self.shared.seen).len()
    }
}

impl Drop for Backend {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Wakes the listener up, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let mut reader = BufReader::new(client);
        while let Some(request) = read(&mut reader)? {
            if self.over.load(Ordering::Relaxed) {
                break;
            }
            lock(&self.seen).push(request.clone());
            let script = Arc::clone(&lock(&self.script));
            let reply = script(&request);
            let mut head = format!("HTTP/1.1 {} -\r\ncontent-length: {}\r\n", reply.status, reply.body.len());
            for (name, value) in &reply.headers {
                head.extend([*name, ": ", value, "\r\n"]);
            }
            let answer = [head.as_bytes(), b"\r\n", &reply.body].concat();
            let mut writer = client;
            writer.write_all(&answer)?;
            if request.header("connection").eq_ignore_ascii_case("close") {
                break;
            }
        }
        Ok(())
    }
}

/// One request; `None` when the client has closed instead.
fn read(reader: &mut BufReader<&TcpStream>) -> io::Result<Option<Seen>> {
    let mut line = String::new();
    if reader.read_line(&mut line)? == 0 {
        return Ok(None);
    }
    let mut parts = line.split_whitespace().map(str::to_owned);
    let (method, path) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut seen = Seen { method, path, headers, body: String::new() };
    let length = seen.header("content-length").parse().unwrap_or(0);
    reader.take(length).read_to_string(&mut seen.body)?;
    Ok(Some(seen))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
