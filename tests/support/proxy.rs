//! A proxy that spoils connections on purpose: delay, reset, black hole, slow drip.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How often a connection looks whether the fault has changed.
const LOOK: Duration = Duration::from_millis(10);

/// What the proxy does to connections, those that are open and those to come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Weather {
    /// Nothing.
    Fair,
    /// Each piece of an answer arrives so much later.
    Delay(Duration),
    /// Every connection is reset, as by a crashed host that has come up again.
    Reset,
    /// Connections are accepted, and nothing is heard of them.
    BlackHole,
    /// Answers arrive byte by byte, so far apart.
    Drip(Duration),
}

/// A proxy in front of one address. It ends when this goes out of scope.
pub(crate) struct Proxy {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    target: SocketAddr,
    weather: Mutex<Weather>,
    connections: AtomicUsize,
    over: AtomicBool,
}

impl Proxy {
    /// A proxy in front of `target`, in fair weather.
    pub(crate) fn to(target: impl Into<SocketAddr>) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let shared = Arc::new(Shared {
            target: target.into(),
            weather: Mutex::new(Weather::Fair),
            connections: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                shared.connections.fetch_add(1, Ordering::Relaxed);
                // A connection that fails has failed for its client, which is what the proxy is for.
                thread::spawn(move || drop(shared.serve(client)));
            }
        });
        Self { address, shared }
    }

    /// Changes what happens to connections, from now on.
    pub(crate) fn set(&self, weather: Weather) {
        *self.shared.weather.lock().unwrap_or_else(PoisonError::into_inner) = weather;
    }

    /// How many connections have been made to the proxy.
    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        // Wakes the listener up, which then sees that it is over.
        let _ = TcpStream::connect(self.address);
    }
}

impl Shared {
    fn weather(&self) -> Weather {
        *self.weather.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn serve(self: &Arc<Self>, client: TcpStream) -> io::Result<()> {
        // In a black hole there is no other side.
        while self.weather() == Weather::BlackHole && !self.over.load(Ordering::Relaxed) {
            thread::sleep(LOOK);
        }
        let server = TcpStream::connect(self.target)?;
        let (shared, from, to) = (Arc::clone(self), client.try_clone()?, server.try_clone()?);
        let questions = thread::spawn(move || shared.carry(from, to, false));
        let answers = self.carry(server, client, true);
        // It has ended with the other direction, or will with its next look.
        drop(questions);
        answers
    }

    /// Carries bytes in one direction until either side or the weather ends it.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream, is_answer: bool) -> io::Result<()> {
        from.set_read_timeout(Some(LOOK))?;
        to.set_nodelay(true)?;
        let mut bytes = [0; 16 * 1024];
        let result = loop {
            if self.over.load(Ordering::Relaxed) {
                break Ok(());
            }
            match self.weather() {
                Weather::BlackHole => {
                    thread::sleep(LOOK);
                    continue;
                }
                Weather::Reset => {
                    reset(&if is_answer { to } else { from });
                    return Ok(());
                }
                Weather::Fair | Weather::Delay(_) | Weather::Drip(_) => {}
            }
            let count = match from.read(&mut bytes) {
                Ok(0) => break Ok(()),
                Ok(count) => count,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => continue,
                Err(error) => break Err(error),
            };
            match self.weather() {
                Weather::Delay(time) if is_answer => thread::sleep(time),
                Weather::Drip(time) if is_answer => {
                    for byte in &bytes[..count] {
                        thread::sleep(time);
                        to.write_all(&[*byte])?;
                        if self.over.load(Ordering::Relaxed) {
                            break;
                        }
                    }
                    continue;
                }
                // What was read just before the weather changed is lost with the rest.
                Weather::BlackHole => continue,
                _ => {}
            }
            if let Err(error) = to.write_all(&bytes[..count]) {
                break Err(error);
            }
        };
        // The other direction sees it too; a side that has gone is no matter.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
        result
    }
}

/// Closes with RST instead of FIN.
fn reset(stream: &TcpStream) {
    // A side that has gone needs no reset.
    let _ = rustix::net::sockopt::set_socket_linger(stream, Some(Duration::ZERO));
}
