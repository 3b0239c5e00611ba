//! Three times as many session checks as are admitted at once: what that costs those who are served, and those beside them.
//!
//! `cargo bench --bench overload -- [SECONDS | --short]` prints the latencies; nothing is asserted. A back end that takes
//! 50 ms is asked by a rule that admits 32 checks at once, 640 a second. The load is open: a request is sent when its turn
//! comes, and its time counts from then, whether or not the one before has been answered. Three times what is admitted is
//! to leave the accepted a p99 of 100 ms, and the jwt rule beside them the latency that it has alone.

#[path = "../tests/attack/backend.rs"]
#[expect(dead_code, reason = "a part of what the suite has is used")]
mod backend;
#[path = "../tests/support/mod.rs"]
#[expect(dead_code, reason = "a part of what the suites share is used")]
mod support;

use std::thread;
use std::time::{Duration, Instant};

use backend::SlowBackend;
use support::keys::session;
use support::raw::Connection;
use support::service::Service;
use support::setup::{Setup, parts};

/// Checks at once.
const AT_ONCE: u32 = 32;

/// What the back end takes.
const DELAY: Duration = Duration::from_millis(50);

/// Tickets a second by the rule beside.
const BESIDE: u32 = 200;

/// A status, and how long after its turn the answer had come.
type Sample = (u16, Duration);

fn main() {
    let is_short = std::env::args().any(|argument| argument == "--short");
    let usual = if is_short { 3 } else { 10 };
    let seconds = std::env::args().skip(1).find_map(|argument| argument.parse().ok()).unwrap_or(usual);
    let duration = Duration::from_secs(seconds);
    let backend = SlowBackend::start(DELAY);
    let rule = backend.rule(&format!("max_in_flight = {AT_ONCE}\nshared_users = true\n"));
    let service = Setup::new([parts::ONE_APP, &rule, parts::BEARER, "shared_users = true\n"].concat()).start();
    let slow = "X-Token: token-of-bob".to_owned();
    let fast = format!("Authorization: Bearer {}", session("carol"));
    let admitted = AT_ONCE * 1000 / u32::try_from(DELAY.as_millis()).expect("milliseconds");
    println!("{admitted} checks a second are admitted; {seconds} s each");
    let factors: &[u32] = if is_short { &[0, 1, 3] } else { &[0, 1, 2, 3, 6] };
    for &times in factors {
        // At the very bound some are refused: checks do not come one after the other as if drilled.
        let rate = admitted * times * if times == 1 { 9 } else { 10 } / 10;
        let (checks, beside) = thread::scope(|scope| {
            let checks = scope.spawn(|| load(&service, &slow, rate, duration));
            let beside = scope.spawn(|| load(&service, &fast, BESIDE, duration));
            (checks.join().expect("a load"), beside.join().expect("a load"))
        });
        println!("\n{rate} checks a second, {} % of what is admitted", rate * 100 / admitted);
        for (name, status, samples) in
            [("accepted", 200, &checks), ("refused", 503, &checks), ("jwt beside", 200, &beside)]
        {
            let mut times: Vec<_> =
                samples.iter().filter(|(known, _)| *known == status).map(|(_, took)| *took).collect();
            times.sort_unstable();
            let at = |share: usize| times.get((times.len() * share / 1000).min(times.len().saturating_sub(1)));
            let written = |time: Option<&Duration>| {
                time.map_or("-".to_owned(), |time| format!("{:.1} ms", time.as_secs_f64() * 1e3))
            };
            println!(
                "  {name:<10} {:>7}  median {:>9}  p99 {:>9}  p99.9 {:>9}",
                times.len(),
                written(at(500)),
                written(at(990)),
                written(at(999))
            );
        }
        let others = checks.iter().chain(&beside).filter(|(status, _)| ![200, 503].contains(status)).count();
        println!("  others     {others:>7}");
    }
    println!("\nat most {} checks at once were seen by the back end", backend.most_at_once());
}

/// Sends requests with this header line, so many a second, on connections of which none waits for another.
fn load(service: &Service, header: &str, rate: u32, duration: Duration) -> Vec<Sample> {
    if rate == 0 {
        thread::sleep(duration);
        return Vec::new();
    }
    let clients = rate.div_ceil(8).max(8);
    let request = format!("POST /v1/usersig HTTP/1.1\r\nHost: a\r\n{header}\r\n\r\n");
    let start = Instant::now() + Duration::from_millis(500);
    thread::scope(|scope| {
        let client = |number: u32| {
            let (request, address) = (&request, service.public.address);
            scope.spawn(move || {
                let mut connection = Connection::open(address);
                let mut samples = Vec::new();
                let mut turn = start + Duration::from_secs(1) / rate * number;
                while turn < start + duration {
                    thread::sleep(turn.saturating_duration_since(Instant::now()));
                    connection.send(request);
                    let status = connection.read().expect("an answer").status;
                    samples.push((status, turn.elapsed()));
                    turn += Duration::from_secs(1) / rate * clients;
                }
                samples
            })
        };
        let threads: Vec<_> = (0..clients).map(client).collect();
        threads.into_iter().flat_map(|thread| thread.join().expect("a client")).collect()
    })
}
