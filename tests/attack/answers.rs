//! Back ends and caches that answer for somebody else: no user gets another's ticket.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use rustix::net::sockopt::set_socket_linger;
use serde_json::json;

use crate::support::backend::{Backend, Reply, Seen};
use crate::support::clock::DEADLINE;
use crate::support::crowd::{Crowd, USERS};
use crate::support::setup::{Setup, parts};

/// A service that asks here who has the cookie `sid`.
fn service(address: SocketAddr, more: &str) -> Setup {
    let rule = "[[session]]\nname = \"victim\"\nfrom = \"cookie:sid\"\ncheck = \"http\"\nuser = \"/user\"\n";
    Setup::new([parts::ONE_APP, rule, &format!("url = \"http://{address}/me\"\n{more}")].concat())
}

/// The user of a session, whose cookie is `sid=session-of-NAME`.
fn user_of(cookie: &str) -> &str {
    cookie.strip_prefix("sid=session-of-").unwrap_or_default()
}

/// A back end that sends an answer too many on each connection: on every other a 408 before it has read anything, as servers
/// do whose patience ends, and on the rest each answer twice. It leaves it to the client to close.
fn start_generous_back_end() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for (number, client) in listener.incoming().map_while(Result::ok).enumerate() {
            // A client that goes away in the middle is no fault of the server's.
            thread::spawn(move || drop(answer_too_often(&client, number % 2 == 0)));
        }
    });
    address
}

fn answer_too_often(mut client: &TcpStream, is_early: bool) -> io::Result<()> {
    if is_early {
        client.write_all(b"HTTP/1.1 408 Request Timeout\r\ncontent-length: 0\r\n\r\n")?;
    }
    let mut lines = BufReader::new(client).lines();
    let mut cookie = String::new();
    while let Some(line) = lines.next().transpose()? {
        if let Some(value) = line.strip_prefix("cookie: ") {
            value.clone_into(&mut cookie);
        }
        if line.is_empty() {
            let body = json!({"user": user_of(&cookie)}).to_string();
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
            client.write_all(answer.as_bytes())?;
            if !is_early {
                client.write_all(answer.as_bytes())?;
            }
        }
    }
    Ok(())
}

#[test]
fn an_unasked_answer_of_a_back_end_reaches_no_other_user() {
    let service = service(start_generous_back_end(), "").start();
    let seen = Crowd::of(&service).ask(4000, |user| format!("cookie: sid=session-of-{user}"));
    println!("a back end that answers too often: {seen:?}");
    assert_eq!(seen.wrong, 0);
    assert!(seen.right > 1500, "{seen:?}");
}

/// Its key is the path alone, and what it keeps it keeps for 20 ms.
#[test]
fn an_answer_from_a_shared_cache_reaches_no_other_user() {
    let kept: Mutex<Option<(Instant, Reply)>> = Mutex::default();
    let cache = Backend::start(move |question| {
        let mut kept = kept.lock().expect("nothing panicked");
        match &*kept {
            Some((since, reply)) if since.elapsed() < Duration::from_millis(20) => {
                reply.clone().header("age", (since.elapsed().as_secs() + 1).to_string())
            }
            _ => {
                let reply = Reply::json(json!({"user": user_of(question.header("cookie"))}));
                *kept = Some((Instant::now(), reply.clone()));
                reply
            }
        }
    });
    let service = service(cache.address, "").start();
    let seen = Crowd::of(&service).ask(2000, |user| format!("cookie: sid=session-of-{user}"));
    println!("a cache that knows paths only: {seen:?}");
    assert_eq!(seen.wrong, 0);
    assert!(seen.right > 0 && seen.faults > USERS, "{seen:?}");
}

#[test]
fn what_a_cache_says_is_neither_a_user_nor_a_denial() {
    let backend = Backend::always(Reply::new(500, ""));
    let introspect = format!(
        "[[session]]\nname = \"idp\"\nfrom = \"bearer\"\ncheck = \"introspect\"\nurl = \"{}/introspect\"\n\
         client_id = \"usersig\"\nclient_secret = \"env:SECRET\"\naudience = [\"im\"]\nshared_users = true\n",
        backend.url()
    );
    let service = service(backend.address, "shared_users = true\n").with(&introspect).env("SECRET", "a secret").start();
    let ask = |age: Option<&'static str>, reply: Reply| {
        let reply = age.into_iter().fold(reply, |reply, age| reply.header("age", age));
        backend.set(move |_: &Seen| reply.clone());
        let http = service.public.post("/v1/usersig").same_origin().cookie("sid", "session-of-alice").send();
        let introspected = service.public.post("/v1/usersig").bearer("token-of-alice").send();
        [http, introspected]
    };
    let alice = || Reply::json(json!({"user": "alice", "active": true, "sub": "alice", "aud": "im"}));
    let nobody = || Reply::json(json!({"active": false}));
    for age in [None, Some("0")] {
        for answer in ask(age, alice()) {
            assert_eq!(answer.ok()["userId"], "alice");
        }
        for answer in ask(age, nobody()) {
            answer.refused(401, "invalid_session");
        }
    }
    for age in ["1", "86400", "soon", ""] {
        for reply in [alice(), nobody(), Reply::new(401, "")] {
            for answer in ask(Some(age), reply) {
                answer.refused(503, "session_check_unavailable");
                let event = service.audit(answer.request_id());
                assert!(event["cause"].as_str().is_some_and(|cause| cause.contains("from a cache")), "{event}");
            }
        }
    }
    assert!(backend.seen().iter().all(|question| question.header("cache-control") == "no-store"));
}

/// A client that closes first keeps the port for a minute, and one that resets may take what the back end has not yet sent.
#[test]
fn the_back_end_closes_first_and_sees_an_orderly_end() {
    let (listener, ends) = (TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port"), mpsc::channel());
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            let mut reader = BufReader::new(&client);
            let mut line = String::new();
            while reader.read_line(&mut line).is_ok_and(|length| length > 2) {
                line.clear();
            }
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 16\r\n\r\n{\"user\":\"alice\"}";
            (&client).write_all(answer).expect("a client that listens");
            // Nothing comes, and the client does not close, until this side does.
            client.set_read_timeout(Some(Duration::from_millis(100))).expect("a socket");
            let before = reader.read(&mut [0]).map_err(|error| error.kind());
            client.shutdown(Shutdown::Write).expect("a client that is there");
            client.set_read_timeout(Some(DEADLINE)).expect("a socket");
            let after = reader.read(&mut [0]).map_err(|error| error.kind());
            ends.0.send((before, after)).expect("a test that waits");
        }
    });
    let service = service(address, "").start();
    for _ in 0..5 {
        let answer = service.public.post("/v1/usersig").same_origin().cookie("sid", "session-of-alice").send();
        assert_eq!(answer.ok()["userId"], "alice");
        let seen = ends.1.recv_timeout(DEADLINE).expect("the connection ends");
        assert_eq!(seen, (Err(io::ErrorKind::WouldBlock), Ok(0)));
    }
}

#[test]
fn a_caller_who_leaves_ends_the_question_too() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let service = service(listener.local_addr().expect("an address"), "timeout = \"30s\"\n").start();
    let mut caller = TcpStream::connect(service.public.address).expect("a listener");
    let head = "host: h\r\nsec-fetch-site: same-origin\r\ncookie: sid=session-of-alice";
    write!(caller, "POST /v1/usersig HTTP/1.1\r\n{head}\r\n\r\n").expect("sent");
    let (mut question, _) = listener.accept().expect("a question");
    question.set_read_timeout(Some(DEADLINE)).expect("a socket");
    let mut bytes = [0; 4096];
    assert!(question.read(&mut bytes).expect("a question") > 0);
    let since = Instant::now();
    set_socket_linger(&caller, Some(Duration::ZERO)).expect("a socket");
    drop(caller);
    // It ends, in whatever way, long before the rule's deadline.
    while question.read(&mut bytes).is_ok_and(|length| length > 0) {}
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
}

/// Only a connection that has served before may have been closed for reasons of its own.
#[test]
fn a_question_that_breaks_a_fresh_connection_is_not_asked_again() {
    for more in ["", "reuse_connections = true\n"] {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let service = service(listener.local_addr().expect("an address"), more).start();
        let (sender, asked) = mpsc::channel();
        thread::spawn(move || {
            for mut client in listener.incoming().map_while(Result::ok) {
                // Closed with the answer owing.
                sender.send(client.read(&mut [0; 4096]).is_ok()).expect("a test that waits");
            }
        });
        for _ in 0..3 {
            let answer = service.public.post("/v1/usersig").same_origin().cookie("sid", "session-of-alice").send();
            answer.refused(503, "session_check_unavailable");
        }
        assert_eq!(asked.try_iter().count(), 3, "{more}");
    }
}

/// The status decides first: what comes behind a denial is not waited for.
#[test]
fn a_denial_with_an_endless_body_is_a_denial_at_once() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for client in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut lines = BufReader::new(&client).lines().map_while(Result::ok);
                if lines.any(|line| line.is_empty()) {
                    let head = "HTTP/1.1 401 Unauthorized\r\ntransfer-encoding: chunked\r\n\r\n";
                    let mut sent = (&client).write_all(head.as_bytes());
                    while sent.is_ok() {
                        sent = (&client).write_all(b"10\r\nmore and more ...\r\n");
                    }
                }
            });
        }
    });
    let service = service(address, "timeout = \"30s\"\n").start();
    for _ in 0..5 {
        let since = Instant::now();
        let answer = service.public.post("/v1/usersig").same_origin().cookie("sid", "session-of-alice").send();
        answer.refused(401, "invalid_session");
        assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
    }
}
