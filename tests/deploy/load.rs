//! Clients that ask for tickets without pause, and take note of every answer that is not a good one.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{JoinHandle, spawn};

use usersig::ticket::{Fingerprint, SecretKey};

use crate::client::{Answer, Connection};
use crate::service::signer_of;
use crate::tools::wait_for;

/// What the clients ask, and how they take a connection's end.
pub(crate) struct Order {
    /// Where they ask; after an orderly end of a connection at the next of them.
    pub(crate) addresses: Vec<SocketAddr>,
    /// The `Authorization` that they send.
    pub(crate) authorization: String,
    /// The keys that a ticket may be signed with.
    pub(crate) keys: Vec<SecretKey>,
    /// Whether a client ends with the first connection that is ended in order.
    pub(crate) ends_when_told: bool,
}

/// Clients at work.
pub(crate) struct Load {
    clients: Vec<JoinHandle<Outcome>>,
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicU64>,
}

/// What one client has seen.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    /// Tickets received.
    pub(crate) tickets: u64,
    /// What went wrong.
    pub(crate) failures: Vec<String>,
    /// The keys that the tickets were signed with, in the order of their first ticket after another's.
    pub(crate) signers: Vec<Fingerprint>,
}

impl Load {
    pub(crate) fn start(clients: usize, order: Order) -> Self {
        let (order, stop, answered) = (Arc::new(order), Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let client = |_| {
            let (order, stop, answered) = (Arc::clone(&order), Arc::clone(&stop), Arc::clone(&answered));
            spawn(move || run(&order, &stop, &answered))
        };
        Self { clients: (0..clients).map(client).collect(), stop, answered }
    }

    /// Waits until `more` tickets have been issued from now on.
    #[track_caller]
    pub(crate) fn wait_for_tickets(&self, more: u64) {
        let goal = self.answered() + more;
        wait_for("tickets", || (self.answered() >= goal || self.clients.iter().all(JoinHandle::is_finished)).then_some(()));
    }

    pub(crate) fn answered(&self) -> u64 {
        self.answered.load(Ordering::Relaxed)
    }

    /// Lets the clients finish what they are at.
    pub(crate) fn finish(self) -> Vec<Outcome> {
        self.stop.store(true, Ordering::Relaxed);
        self.end()
    }

    /// Waits until the clients have ended by themselves.
    pub(crate) fn end(self) -> Vec<Outcome> {
        self.clients.into_iter().map(|client| client.join().expect("a client")).collect()
    }
}

/// Asserts that nothing went wrong, and returns how many tickets there were.
#[track_caller]
pub(crate) fn without_failure(outcomes: &[Outcome]) -> u64 {
    let failures: Vec<&String> = outcomes.iter().flat_map(|outcome| &outcome.failures).collect();
    assert!(failures.is_empty(), "{} requests failed: {:?}", failures.len(), &failures[..failures.len().min(5)]);
    outcomes.iter().map(|outcome| outcome.tickets).sum()
}

fn run(order: &Order, stop: &AtomicBool, answered: &AtomicU64) -> Outcome {
    const MOST_FAILURES: usize = 20;
    let mut outcome = Outcome::default();
    let mut connection = None;
    let mut place = 0;
    while !stop.load(Ordering::Relaxed) && outcome.failures.len() < MOST_FAILURES {
        match request(&mut connection, order.addresses[place], &order.authorization) {
            Ok(answer) => {
                outcome.take(&answer, &order.keys);
                answered.fetch_add(1, Ordering::Relaxed);
                if answer.closes {
                    if order.ends_when_told {
                        break;
                    }
                    connection = None;
                    place = (place + 1) % order.addresses.len();
                }
            }
            Err(error) => {
                outcome.failures.push(format!("{}: {error}", order.addresses[place]));
                connection = None;
            }
        }
    }
    outcome
}

fn request(connection: &mut Option<Connection>, address: SocketAddr, authorization: &str) -> io::Result<Answer> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(Connection::open(address)?),
    };
    let headers = [("Authorization", authorization), ("Content-Type", "application/json")];
    connection.ask("POST", "/v1/usersig", &headers, "{}")
}

impl Outcome {
    fn take(&mut self, answer: &Answer, keys: &[SecretKey]) {
        if answer.status != 200 {
            self.failures.push(format!("{} {}", answer.status, answer.body));
            return;
        }
        let signer = answer.json()["userSig"].as_str().and_then(|ticket| signer_of(ticket, keys));
        match signer {
            None => self.failures.push(format!("signed with no key of ours: {}", answer.body)),
            Some(signer) => {
                self.tickets += 1;
                if self.signers.last() != Some(&signer) {
                    self.signers.push(signer);
                }
            }
        }
    }
}
