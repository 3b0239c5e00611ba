//! Replies on the connection to Redis that belong to another question, and values too long to read.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::one_rule::{ID, back, present, redis_rule, remember};
use crate::support::crowd::{Crowd, USERS};
use crate::support::redis::Redis;
use crate::support::setup::{Setup, parts};
use crate::verdict::{allowed, ask, unavailable, whole};

/// A proxy in front of Redis that counts what Redis sends, and may send replies of its own between.
struct Injector {
    address: SocketAddr,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    is_on: AtomicBool,
    /// Injects one reply before the next, and no more.
    once: AtomicBool,
    connections: AtomicUsize,
    replies: AtomicUsize,
    injected: AtomicUsize,
    bytes: AtomicUsize,
}

impl Injector {
    /// Replies between two that are injected; a prime, so that they come before, within and after the pipelines.
    const EVERY: usize = 101;

    fn before(redis: &Redis) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("an address");
        let (shared, port) = (Arc::<Shared>::default(), redis.port);
        let accepting = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&accepting);
                shared.connections.fetch_add(1, Ordering::Relaxed);
                // A side that goes away ends the connection, which is no fault of the proxy's.
                thread::spawn(move || drop(shared.serve(&client, port)));
            }
        });
        Self { address, shared }
    }
}

impl Shared {
    fn serve(self: Arc<Self>, client: &TcpStream, port: u16) -> io::Result<()> {
        let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
        client.set_nodelay(true)?;
        let (mut from, mut to) = (client.try_clone()?, server.try_clone()?);
        let questions = thread::spawn(move || {
            let copied = io::copy(&mut from, &mut to);
            let _ = to.shutdown(std::net::Shutdown::Both);
            copied
        });
        let mut replies = BufReader::new(&server);
        let mut to = client;
        let mut result = Ok(());
        while result.is_ok() {
            let mut reply = Vec::new();
            if read_reply(&mut replies, &mut reply)? == 0 {
                break;
            }
            self.bytes.fetch_add(reply.len(), Ordering::Relaxed);
            let number = self.replies.fetch_add(1, Ordering::Relaxed);
            let is_due = self.is_on.load(Ordering::Relaxed) && number.is_multiple_of(Injector::EVERY);
            if is_due || self.once.swap(false, Ordering::Relaxed) {
                let injected = self.injected.fetch_add(1, Ordering::Relaxed);
                let other = format!("{{\"user\":\"user-{}\"}}", number % USERS);
                // Every other time as much as answers a whole question.
                let rest = if injected.is_multiple_of(2) { "" } else { ":60000\r\n$16\r\nanother question\r\n" };
                reply.splice(0..0, format!("${}\r\n{other}\r\n{rest}", other.len()).into_bytes());
            }
            result = to.write_all(&reply);
        }
        let _ = client.shutdown(std::net::Shutdown::Both);
        drop(questions.join());
        result
    }
}

/// Appends one reply (RESP 2) to `to`; 0 at the end.
fn read_reply(from: &mut impl BufRead, to: &mut Vec<u8>) -> io::Result<usize> {
    let start = to.len();
    let length = from.read_until(b'\n', to)?;
    let line = String::from_utf8_lossy(&to[start..]).into_owned();
    let count = line.get(1..).and_then(|count| count.trim_end().parse().ok()).unwrap_or(-1);
    match (line.as_bytes().first(), u64::try_from(count)) {
        (Some(b'$'), Ok(bytes)) => drop(from.take(bytes + 2).read_to_end(to)?),
        (Some(b'*'), Ok(items)) => {
            for _ in 0..items {
                read_reply(from, to)?;
            }
        }
        _ => {}
    }
    Ok(length)
}

#[test]
fn an_extra_reply_of_redis_reaches_no_other_user() {
    let redis = Redis::start();
    for number in 0..USERS {
        let user = format!("user-{number}");
        redis.set(&format!("sess:session-number-of-{user}"), format!("{{\"user\":\"{user}\"}}"));
        redis.run::<()>(&format!("HSET hash:session-number-of-{user} user {{\"user\":\"{user}\"}}"));
    }
    remember(&redis);
    let injector = Injector::before(&redis);
    let hash = "[[session]]\nname = \"hash\"\nfrom = \"header:x-hash\"\ncheck = \"redis\"\nkey = \"hash:{id}\"\nfield = \"user\"\nuser = \"/user\"\nshared_users = true\n";
    let setup = redis_rule(injector.address).with("shared_users = true\ndeny_if_exists = \"off:{user}\"\n");
    let service = setup.with(hash).with(&format!("url = \"redis://{}/0\"\n", injector.address)).start();
    injector.shared.is_on.store(true, Ordering::Relaxed);
    for header in ["x-session", "x-hash"] {
        let seen = Crowd::of(&service).ask(2000, |user| format!("{header}: session-number-of-{user}"));
        let injected = injector.shared.injected.swap(0, Ordering::Relaxed);
        println!("Redis with {injected} extra replies, {header}: {seen:?}");
        assert_eq!((seen.wrong, seen.denied), (0, 0));
        assert!(injected > 20 && seen.faults > 0 && seen.right > 1000, "{injected} {seen:?}");
    }
    injector.shared.is_on.store(false, Ordering::Relaxed);
    back(&service);
    let seen = Crowd::of(&service).ask(USERS, |user| format!("x-session: session-number-of-{user}"));
    assert_eq!(seen.right, USERS, "{seen:?}");
}

#[test]
fn a_connection_that_has_answered_wrongly_answers_nothing_more() {
    let redis = Redis::start();
    remember(&redis);
    let injector = Injector::before(&redis);
    let service = redis_rule(injector.address).start();
    for times in 1..=10 {
        allowed(&ask(&service, present), "alice");
        injector.shared.once.store(true, Ordering::Relaxed);
        unavailable(&service, &ask(&service, present), "belonged to another question");
        assert_eq!(injector.shared.connections.load(Ordering::Relaxed), times);
    }
    allowed(&ask(&service, present), "alice");
}

#[test]
fn a_value_too_long_is_a_fault_and_is_not_read() {
    let redis = Redis::start();
    let injector = Injector::before(&redis);
    let text = |length: usize| format!("{{\"user\":\"alice\",\"padding\":\"{}\"}}", "x".repeat(length - 29));
    let value = |length: usize| {
        assert_eq!(text(length).len(), length);
        redis.set(&format!("sess:{ID}"), text(length));
        redis.command::<()>(&[b"HSET", format!("hash:{ID}").as_bytes(), b"user", text(length).as_bytes()]);
    };
    let rule = |keys: &str| {
        let rule = format!(
            "[[session]]\nname = \"victim\"\nfrom = \"header:x-session\"\ncheck = \"redis\"\nuser = \"/user\"\n\
             url = \"redis://{}/0\"\n{keys}\n",
            injector.address
        );
        Setup::new([parts::ONE_APP, &rule].concat()).start()
    };
    for (keys, bound) in [("key = \"sess:{id}\"", 70 * 1024), ("key = \"hash:{id}\"\nfield = \"user\"", 1024)] {
        let service = rule(keys);
        value(64 * 1024);
        allowed(&ask(&service, present), "alice");
        value(64 * 1024 + 1);
        unavailable(&service, &ask(&service, present), "longer than 65536 bytes");
        value(16 << 20);
        let memory = || whole(service.metrics().of("process_resident_memory_bytes"));
        let (memory_before, _) = (memory(), injector.shared.bytes.swap(0, Ordering::Relaxed));
        for _ in 0..20 {
            unavailable(&service, &ask(&service, present), "longer than 65536 bytes");
        }
        let sent = injector.shared.bytes.load(Ordering::Relaxed);
        let growth = memory().saturating_sub(memory_before);
        println!("{keys:?}: {sent} bytes sent for 20 questions about 16 MiB, grown by {growth} bytes");
        assert!(sent < 20 * bound, "{sent} bytes");
        assert!(growth < 8 << 20, "grown by {growth} bytes");
    }
}
