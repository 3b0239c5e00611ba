//! So many requests a second for as long as something lasts, each on its own merits.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::raw::Connection;

/// The requests of one kind that are under way.
pub(crate) struct Load {
    clients: Vec<JoinHandle<Vec<Sample>>>,
    over: Arc<AtomicBool>,
}

/// One answer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Its HTTP status.
    pub(crate) status: u16,
    /// When it was asked for.
    pub(crate) asked: Instant,
    /// How much later that was than it should have been, for which only the machine can be at fault.
    pub(crate) late: Duration,
    /// When it had come.
    pub(crate) answered: Instant,
}

impl Sample {
    /// How long it took.
    pub(crate) fn took(&self) -> Duration {
        self.answered - self.asked
    }
}

impl Load {
    /// Starts sending this header line with `POST /v1/usersig`, `rate` times a second, though answers take up to `longest`.
    /// A 503 must be a whole problem.
    pub(crate) fn start(address: SocketAddr, rate: u32, longest: Duration, header: &str) -> Self {
        // Enough of them that none is still waiting when its next turn comes.
        let clients = rate * u32::try_from(longest.as_secs() + 1).expect("seconds");
        let over = Arc::new(AtomicBool::new(false));
        let start = Instant::now();
        let request = format!(
            "POST /v1/usersig HTTP/1.1\r\nhost: im.example.com\r\nsec-fetch-site: same-origin\r\n{header}\r\n\r\n"
        );
        let clients = (0..clients).map(|number| {
            let (over, request) = (Arc::clone(&over), request.clone());
            thread::spawn(move || {
                let mut connection = Connection::open(address);
                let mut samples = Vec::new();
                let mut turn = Duration::from_secs(1) / rate * number;
                while !over.load(Ordering::Relaxed) {
                    thread::sleep((start + turn).saturating_duration_since(Instant::now()));
                    let asked = Instant::now();
                    let late = asked - (start + turn);
                    connection.send(&request);
                    let answer = connection.read().expect("an answer");
                    samples.push(Sample { status: answer.status, asked, late, answered: Instant::now() });
                    if answer.status == 503 {
                        answer.refused(503, "session_check_unavailable");
                    }
                    turn += Duration::from_secs(1) / rate * clients;
                }
                samples
            })
        });
        Self { clients: clients.collect(), over }
    }

    /// Stops sending, and returns every answer in the order in which they were asked for.
    pub(crate) fn stop(self) -> Vec<Sample> {
        self.over.store(true, Ordering::Relaxed);
        let samples = self.clients.into_iter().flat_map(|client| client.join().expect("every request is answered"));
        let mut samples: Vec<_> = samples.collect();
        samples.sort_by_key(|sample| sample.asked);
        samples
    }
}

/// The time within which so many of a hundred answers came.
pub(crate) fn within(samples: &[Sample], share: usize) -> Duration {
    percentile(samples.iter().map(Sample::took), share)
}

/// How late 95 of a hundred were asked for at most.
pub(crate) fn lateness(samples: &[Sample]) -> Duration {
    percentile(samples.iter().map(|sample| sample.late), 95)
}

fn percentile(times: impl Iterator<Item = Duration>, share: usize) -> Duration {
    let mut times: Vec<_> = times.collect();
    times.sort_unstable();
    times.get((times.len() * share / 100).min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// What the answers were like, for people.
pub(crate) fn summary(samples: &[Sample]) -> String {
    let status = |status| samples.iter().filter(|sample| sample.status == status).count();
    format!(
        "{} answers, {} of 200, {} of 503, median {:?}, 95 of 100 within {:?}, slowest {:?}",
        samples.len(),
        status(200),
        status(503),
        within(samples, 50),
        within(samples, 95),
        within(samples, 100)
    )
}
