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
    made: AtomicUsize,
    open: AtomicUsize,
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
            made: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            over: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if accepting.over.load(Ordering::Relaxed) {
                    return;
                }
                let shared = Arc::clone(&accepting);
                shared.made.fetch_add(1, Ordering::Relaxed);
                shared.open.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || {
                    // A connection that fails has failed for its client, which is what the proxy is for.
                    drop(shared.serve(client));
                    shared.open.fetch_sub(1, Ordering::Relaxed);
                });
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
        self.shared.made.load(Ordering::Relaxed)
    }

    /// How many of them are open.
    pub(crate) fn open(&self) -> usize {
        self.shared.open.load(Ordering::Relaxed)
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
        // It ends with this direction, at its next look.
        drop(questions.join());
        answers
    }

    /// Carries bytes in one direction until either side or the weather ends it.
    fn carry(&self, mut from: TcpStream, mut to: TcpStream, is_answer: bool) -> io::Result<()> {
        from.set_read_timeout(Some(LOOK))?;
        to.set_nodelay(true)?;
        let mut bytes = [0; 16 * 1024];
        let result = loop {
            let count = match from.read(&mut bytes) {
                Ok(0) => break Ok(()),
                Ok(count) => count,
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => 0,
                Err(error) => break Err(error),
            };
            // What was read is held back, as a network that loses packets does, until they come through after all.
            while self.weather() == Weather::BlackHole && !self.over.load(Ordering::Relaxed) {
                thread::sleep(LOOK);
            }
            if self.over.load(Ordering::Relaxed) {
                break Ok(());
            }
            let piece = &bytes[..count];
            let carried = match self.weather() {
                Weather::Reset => {
                    reset(&if is_answer { to } else { from });
                    return Ok(());
                }
                Weather::Delay(time) if is_answer && count > 0 => {
                    thread::sleep(time);
                    to.write_all(piece)
                }
                Weather::Drip(time) if is_answer => piece.iter().try_for_each(|byte| {
                    thread::sleep(if self.weather() == Weather::Drip(time) { time } else { Duration::ZERO });
                    to.write_all(&[*byte])
                }),
                Weather::Fair | Weather::BlackHole | Weather::Delay(_) | Weather::Drip(_) => to.write_all(piece),
            };
            if carried.is_err() {
                break carried;
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
