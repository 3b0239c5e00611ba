//! Clients that ask for tickets without pause, and take note of every answer that is not a good one.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};

use usersig::ticket::{SecretKey, UnverifiedTicket};

use crate::support::client::Answer;
use crate::support::clock::eventually;
use crate::support::raw::Connection;

/// What the clients ask, and how they take a connection's end.
pub(crate) struct Order {
    /// Where they ask; after an orderly end of a connection at the next of them.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The session token that they present.
    pub(crate) session: String,
    /// The keys that a ticket may be signed with.
    pub(crate) keys: Vec<SecretKey>,
    /// Whether a client ends with the first connection that is ended in order.
    pub(crate) ends_when_told: bool,
}

/// Clients at work. They end when this goes out of scope.
pub(crate) struct Load {
    clients: Vec<JoinHandle<Outcome>>,
    shared: Arc<Shared>,
}

struct Shared {
    order: Order,
    request: String,
    stop: AtomicBool,
    answered: AtomicU64,
}

/// What one client has seen.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Tickets received.
    pub(crate) tickets: u64,
    /// What went wrong.
    pub(crate) failures: Vec<String>,
    /// The keys that the tickets were signed with, each where another's tickets ended.
    pub(crate) signers: Vec<String>,
}

impl Load {
    pub(crate) fn start(clients: usize, order: Order) -> Self {
        let request = format!(
            "POST /v1/usersig HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
             Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}",
            order.session
        );
        let shared = Arc::new(Shared { order, request, stop: AtomicBool::new(false), answered: AtomicU64::new(0) });
        let client = |_| {
            let shared = Arc::clone(&shared);
            spawn(move || run(&shared))
        };
        Self { clients: (0..clients).map(client).collect(), shared }
    }

    /// How many answers there have been.
    pub(crate) fn answered(&self) -> u64 {
        self.shared.answered.load(Ordering::Relaxed)
    }

    /// Waits until there have been `more` answers from now on, or the clients have ended.
    pub(crate) fn wait_for_answers(&self, more: u64) {
        let goal = self.answered() + more;
        let is_over = || self.clients.iter().all(JoinHandle::is_finished);
        eventually("there are answers", || (self.answered() >= goal || is_over()).then_some(()));
    }

    /// Lets the clients finish what they are at.
    pub(crate) fn finish(self) -> Vec<Outcome> {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.end()
    }

    /// Waits until the clients have ended by themselves.
    pub(crate) fn end(mut self) -> Vec<Outcome> {
        self.clients.drain(..).map(|client| client.join().expect("a client")).collect()
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

/// Asserts that nothing went wrong, and returns how many tickets there were.
#[track_caller]
pub(crate) fn without_failure(outcomes: &[Outcome]) -> u64 {
    let failures: Vec<&String> = outcomes.iter().flat_map(|outcome| &outcome.failures).collect();
    assert!(failures.is_empty(), "{} requests failed: {:?}", failures.len(), &failures[..failures.len().min(5)]);
    outcomes.iter().map(|outcome| outcome.tickets).sum()
}

/// The fingerprint of the one of `keys` that signed the whole of `ticket`.
pub(crate) fn signer_of(ticket: &str, keys: &[SecretKey]) -> Option<String> {
    let ticket = UnverifiedTicket::decode(ticket).unwrap_or_else(|error| panic!("{ticket} {error}"));
    keys.iter().find(|key| ticket.is_signed_by(key)).map(|key| key.fingerprint().to_owned())
}

/// A key whose 64 hex digits are all the same.
pub(crate) fn key(digit: char) -> SecretKey {
    SecretKey::parse(&secret(digit)).expect("64 hex digits")
}

/// These digits.
pub(crate) fn secret(digit: char) -> String {
    digit.to_string().repeat(64)
}

fn run(shared: &Shared) -> Outcome {
    const MOST_FAILURES: usize = 20;
    let order = &shared.order;
    let mut outcome = Outcome::default();
    let mut connection = None;
    let mut place = 0;
    while !shared.stop.load(Ordering::Relaxed) && outcome.failures.len() < MOST_FAILURES {
        let address = order.addresses[place];
        let Some(answer) = request(&mut connection, address, &shared.request) else {
            outcome.failures.push(format!("{address} did not answer"));
            connection = None;
            continue;
        };
        outcome.take(&answer, &order.keys);
        shared.answered.fetch_add(1, Ordering::Relaxed);
        if answer.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close")) {
            if order.ends_when_told {
                break;
            }
            connection = None;
            place = (place + 1) % order.addresses.len();
        }
    }
    outcome
}

fn request(connection: &mut Option<Connection>, address: SocketAddr, request: &str) -> Option<Answer> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Connection::try_open(address).ok()?),
    };
    connection.send(request);
    connection.read()
}

impl Outcome {
    fn take(&mut self, answer: &Answer, keys: &[SecretKey]) {
        if answer.status != 200 {
            self.failures.push(format!("{} {}", answer.status, answer.text()));
            return;
        }
        let signer = answer.json()["userSig"].as_str().and_then(|ticket| signer_of(ticket, keys));
        match signer {
            None => self.failures.push(format!("signed with no key of ours: {}", answer.text())),
            Some(signer) => {
                self.tickets += 1;
                if self.signers.last() != Some(&signer) {
                    self.signers.push(signer);
                }
            }
        }
    }
}
