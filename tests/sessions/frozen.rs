//! A back end that stands still under load: quick refusals, other rules unharmed, memory flat, and back as soon as it is.

use std::time::{Duration, Instant};

use crate::issuer::{CLIENT_SECRET, Issuer, OPAQUE};
use crate::load::{Load, Sample, lateness, summary, within};
use crate::sites::{COOKIE_SECRET, Site};
use crate::support::client::Client;
use crate::support::clock::eventually;
use crate::support::component::Component;
use crate::support::keys::session;
use crate::support::redis::Redis;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::tls::Nginx;
use crate::verdict::{answered, tickets, whole};

/// More than a service that keeps nothing of an outage may grow by, in bytes.
const GROWTH: u64 = 8 << 20;

/// A service with the rule `victim`, and beside it tokens in the header `X-Token`.
fn service(victim: &str) -> Setup {
    let victim = format!("[[session]]\nname = \"victim\"\nshared_users = true\n{victim}");
    Setup::new([parts::ONE_APP, &victim, parts::HEADER, "shared_users = true\n"].concat())
}

/// Freezes the back end of the rule `victim` while its credential is presented 200 times a second, and beside it a token to
/// the other rule. `ask_back_end` returns when the back end itself has answered.
fn freeze_under_load(
    service: &Service,
    back_end: &Component,
    credential: &str,
    deadline: Duration,
    ask_back_end: impl FnOnce(),
) {
    let memory = || whole(service.metrics().of("process_resident_memory_bytes"));
    let files = || whole(service.metrics().of("process_open_fds"));
    let reach = |outcome, count| eventually("the load goes on", || (answered(service, outcome) >= count).then_some(()));
    let before = tickets(service);
    let victims = Load::start(service.public.address, 200, deadline, credential);
    let bystanders = Load::start(service.public.address, 20, deadline, &format!("x-token: {}", session("bob")));
    // Every client has had its turn, so that what connections take is taken.
    reach("allowed", 200 * (deadline.as_secs() + 2));

    // On a busy machine some checks were too slow before.
    let faults = answered(service, "fault");
    back_end.freeze();
    let frozen = Instant::now();
    reach("fault", faults + 200);
    let (memory_before, files_before) = (memory(), files());
    reach("fault", faults + 1400);
    let (growth, more_files) = (memory().saturating_sub(memory_before), files().saturating_sub(files_before));
    assert_eq!(whole(service.metrics().of("usersig_session_backend_up{rule=\"victim\"}")), 0);
    let thawed = Instant::now();
    back_end.thaw();
    ask_back_end();
    let back_end_took = thawed.elapsed();
    reach("allowed", answered(service, "allowed") + 400);
    let (victims, bystanders) = (victims.stop(), bystanders.stop());

    let is_during = |sample: &&Sample| sample.asked > frozen && sample.answered < thawed;
    let during: Vec<_> = victims.iter().filter(is_during).copied().collect();
    let (quiet, beside): (Vec<_>, Vec<_>) =
        bystanders.iter().copied().filter(|sample| sample.asked < thawed).partition(|sample| sample.asked < frozen);
    let is_back = |sample: &&Sample| sample.asked > thawed && sample.status == 200;
    let back = victims.iter().filter(is_back).map(|sample| sample.answered).min().expect("answers after the thaw");
    let last_refused = victims.iter().filter(|sample| sample.status != 200).map(|sample| sample.asked).max();
    let last_refused = last_refused.expect("refusals").saturating_duration_since(thawed);
    println!("frozen: {}", summary(&during));
    println!("beside, before: {}", summary(&quiet));
    println!("beside, frozen: {}, woken {:?} late", summary(&beside), lateness(&beside));
    println!("grown by {} KiB and {more_files} connections", growth / 1024);
    println!(
        "after the thaw: back end {back_end_took:?}, first ticket {:?}, last refusal {last_refused:?}",
        back - thawed
    );

    // What a busy machine adds: as much as before the freeze, and as much as it wakes the clients too late.
    let late = lateness(&beside);
    let slack = Duration::from_secs(1) + within(&quiet, 95) + 4 * late;
    assert!(during.len() > 500, "{}", summary(&during));
    // Who asks while a question from before the freeze is under way shares its answer.
    let shares_one_from_before = |sample: &Sample| {
        let is_one = |other: &&Sample| other.asked < frozen && other.status == 200 && other.answered >= sample.asked;
        victims.iter().any(|other| is_one(&other))
    };
    let is_expected =
        |sample: &Sample| sample.status == 503 || (sample.status == 200 && shares_one_from_before(sample));
    assert!(during.iter().all(is_expected), "{}", summary(&during));
    for share in [50, 95] {
        assert!(within(&during, share) < deadline + slack, "{}", summary(&during));
    }
    assert!(back - thawed < back_end_took + slack, "back after {:?}", back - thawed);
    assert!(last_refused < back_end_took + slack, "refused {last_refused:?} after the thaw");
    let usual = within(&quiet, 95) * 10 + Duration::from_millis(250) + 4 * late;
    assert!(within(&beside, 95) < usual, "{} and before {}", summary(&beside), summary(&quiet));
    assert!(victims.iter().all(|sample| [200, 503].contains(&sample.status)), "{}", summary(&victims));
    assert!(bystanders.iter().all(|sample| sample.status == 200), "{}", summary(&bystanders));
    assert!(growth < GROWTH, "grown by {growth} bytes");
    assert!(more_files < 300, "{more_files} connections more, with 256 checks under way at most");
    let issued = victims.iter().chain(&bystanders).filter(|sample| sample.status == 200).count();
    assert_eq!(usize::try_from(tickets(service) - before), Ok(issued), "no ticket but those that were answered");
}

#[test]
fn redis_frozen_under_load() {
    let redis = Redis::start();
    let site = Site::express(&redis);
    let rule = "from = \"cookie:connect.sid\"\nunwrap = \"express\"\nsecrets = [\"env:SECRET\"]\n\
                check = \"redis\"\nkey = \"sess:{id}\"\nuser = \"/passport/user\"\n";
    let setup = service(&format!("{rule}url = \"{}\"\n", redis.url()));
    let service = setup.env("SECRET", COOKIE_SECRET).start();
    let credential = format!("cookie: connect.sid={}", site.login("alice"));
    let ping = || redis.run::<()>("PING");
    freeze_under_load(&service, redis.component(), &credential, Duration::from_millis(500), ping);
}

#[test]
fn introspection_frozen_under_load() {
    let issuer = Issuer::start();
    let rule = "from = \"bearer\"\ncheck = \"introspect\"\nclient_id = \"usersig\"\nclient_secret = \"env:SECRET\"\naudience = [\"im\"]\n";
    let url = issuer.client.url("/realms/a/protocol/openid-connect/token/introspect");
    let service = service(&format!("{rule}url = \"{url}\"\n")).env("SECRET", CLIENT_SECRET).start();
    let credential = format!("authorization: Bearer {}", issuer.login("alice", OPAQUE).access);
    // On a new connection, since the old one has been idle for too long.
    let ping = || assert_eq!(Client::new(issuer.client.address).get("/test/counts").send().status, 200);
    freeze_under_load(&service, &issuer.component, &credential, Duration::from_secs(2), ping);
}

#[test]
fn http_back_end_frozen_under_load() {
    let nginx = Nginx::start(
        "server { listen 127.0.0.1:PORT; location = /me { if ($http_x_session != alices) { return 401; } \
         default_type application/json; return 200 '{\"id\":\"alice\"}'; } }",
    );
    let rule = "from = \"header:X-Session\"\ncheck = \"http\"\nuser = \"/id\"\n";
    let service = service(&format!("{rule}url = \"http://{}/me\"\n", nginx.address)).start();
    let ping = || assert_eq!(Client::new(nginx.address).get("/me").send().status, 401);
    freeze_under_load(&service, &nginx.component, "x-session: alices", Duration::from_secs(2), ping);
}
