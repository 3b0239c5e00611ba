//! `/metrics`: which families there are, what counts where, and that nobody outside decides how many series there are.

use serde_json::json;

use crate::support::keys::session;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::support::{OTHER_SECRET, SECRET};

fn start() -> Service {
    let policy = "[app.private_map_key]\nmax_privileges = [\"join\"]\nrooms = \"any\"\n";
    Setup::new([parts::ONE_APP, policy, parts::SECOND_APP, parts::BEARER].concat()).start()
}

#[test]
fn every_family_of_the_contract_is_there_from_the_start() {
    let service = start();
    let text = service.ops.get("/metrics").send().text();
    for (family, kind) in [
        ("usersig_http_requests_total", "counter"),
        ("usersig_http_request_duration_seconds", "histogram"),
        ("usersig_http_in_flight", "gauge"),
        ("usersig_http_connections_stalled_total", "counter"),
        ("usersig_tickets_total", "counter"),
        ("usersig_refusals_total", "counter"),
        ("usersig_session_checks_total", "counter"),
        ("usersig_session_check_duration_seconds", "histogram"),
        ("usersig_key_info", "gauge"),
        ("usersig_key_reload_failures_total", "counter"),
        ("usersig_log_dropped_total", "counter"),
        ("usersig_build_info", "gauge"),
        ("process_cpu_seconds_total", "counter"),
        ("process_resident_memory_bytes", "gauge"),
        ("process_open_fds", "gauge"),
        ("process_start_time_seconds", "gauge"),
    ] {
        assert!(text.contains(&format!("# TYPE {family} {kind}\n")), "{family}");
        assert!(text.contains(&format!("# HELP {family} ")), "{family}");
    }
    // Every series that can be asked for is there with a zero, so that a rate over it has a beginning.
    for series in [
        "usersig_tickets_total{app=\"1400000000\",kind=\"usersig\"} 0",
        "usersig_tickets_total{app=\"1400000000\",kind=\"private_map_key\"} 0",
        "usersig_refusals_total{reason=\"invalid_session\"} 0",
        "usersig_refusals_total{reason=\"rate_limited\"} 0",
        "usersig_session_checks_total{outcome=\"fault\",rule=\"token\"} 0",
        "usersig_key_reload_failures_total{app=\"1400000000\"} 0",
        "usersig_http_requests_total{code=\"ok\",route=\"usersig\",status=\"200\"} 0",
        "usersig_http_in_flight 0",
        "usersig_log_dropped_total 0",
    ] {
        assert!(text.lines().any(|line| line == series), "{series}");
    }
    assert!(text.contains(&format!("usersig_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"))));
}

#[test]
fn keys_are_shown_by_their_fingerprints() {
    let metrics = start().metrics();
    for (app, secret) in [(1_400_000_000_u32, SECRET), (1_600_000_001, OTHER_SECRET)] {
        let fingerprint = fingerprint(secret);
        assert_eq!(metrics.count(&format!("usersig_key_info{{app=\"{app}\",fingerprint=\"{fingerprint}\"}}")), 1);
    }
}

fn fingerprint(secret: &str) -> String {
    use sha2::Digest;
    hex::encode(sha2::Sha256::digest(secret))[..8].to_owned()
}

#[test]
fn answers_tickets_checks_and_refusals_are_counted() {
    let service = start();
    let token = session("alice");
    let app = json!({"sdkAppId": 1_400_000_000});
    for _ in 0..3 {
        service.public.post("/v1/usersig").json(app.clone()).bearer(&token).send().ok();
    }
    let room = json!({"sdkAppId": 1_400_000_000, "roomId": 7});
    service.public.post("/v1/private-map-key").json(room).bearer(&token).send().ok();
    service.public.get("/v1/usersig?sdkAppId=1600000001").bearer(&token).send().ok();
    for _ in 0..2 {
        service.public.post("/v1/usersig").json(app.clone()).bearer("broken").send().refused(401, "invalid_session");
    }
    service.public.post("/v1/usersig").json(app.clone()).send().refused(401, "missing_credential");
    let asserted = json!({"sdkAppId": 1_400_000_000, "userId": "bob"});
    service.public.post("/v1/usersig").json(asserted).bearer(&token).send().refused(403, "user_mismatch");
    service.public.get("/nowhere").send().refused(404, "not_found");
    service.public.call("PUT", "/v1/usersig").send().refused(405, "method_not_allowed");
    let metrics = service.metrics();
    let requests = |route: &str, status: u16, code: &str| {
        metrics.count(&format!("usersig_http_requests_total{{code=\"{code}\",route=\"{route}\",status=\"{status}\"}}"))
    };
    assert_eq!(requests("usersig", 200, "ok"), 4);
    assert_eq!(requests("private_map_key", 200, "ok"), 1);
    assert_eq!(requests("usersig", 401, "invalid_session"), 2);
    assert_eq!(requests("usersig", 401, "missing_credential"), 1);
    assert_eq!(requests("usersig", 403, "user_mismatch"), 1);
    assert_eq!(requests("usersig", 405, "method_not_allowed"), 1);
    assert_eq!(requests("other", 404, "not_found"), 1);
    assert_eq!(metrics.count("usersig_tickets_total{app=\"1400000000\",kind=\"usersig\"}"), 3);
    assert_eq!(metrics.count("usersig_tickets_total{app=\"1400000000\",kind=\"private_map_key\"}"), 1);
    assert_eq!(metrics.count("usersig_tickets_total{app=\"1600000001\",kind=\"usersig\"}"), 1);
    assert_eq!(metrics.count("usersig_session_checks_total{outcome=\"allowed\",rule=\"token\"}"), 6);
    assert_eq!(metrics.count("usersig_session_checks_total{outcome=\"denied\",rule=\"token\"}"), 2);
    assert_eq!(metrics.count("usersig_session_check_duration_seconds_count{rule=\"token\"}"), 8);
    assert_eq!(metrics.count("usersig_refusals_total{reason=\"invalid_session\"}"), 2);
    assert_eq!(metrics.count("usersig_refusals_total{reason=\"missing_credential\"}"), 1);
    assert_eq!(metrics.count("usersig_refusals_total{reason=\"user_mismatch\"}"), 1);
    assert_eq!(metrics.count("usersig_refusals_total{reason=\"not_found\"}"), 0, "nobody asked for a ticket");
    assert_eq!(metrics.count("usersig_http_request_duration_seconds_count{route=\"usersig\"}"), 9);
    assert_eq!(metrics.count("usersig_http_request_duration_seconds_count{route=\"other\"}"), 1);
    assert_eq!(metrics.count("usersig_http_in_flight"), 0);
}

#[test]
fn histograms_reach_from_fifty_microseconds_to_five_seconds() {
    let metrics = start().metrics();
    for family in [
        "usersig_http_request_duration_seconds_bucket{route=\"usersig\"",
        "usersig_session_check_duration_seconds_bucket{rule=\"token\"",
    ] {
        let buckets = metrics.beginning(family);
        let bounds: Vec<_> = buckets.iter().filter_map(|(name, _)| name.split(",le=\"").nth(1)).collect();
        assert!(
            bounds.contains(&"0.00005\"}") && bounds.contains(&"5\"}") && bounds.contains(&"+Inf\"}"),
            "{bounds:?}"
        );
        assert!(bounds.len() <= 20, "{bounds:?}");
    }
}

#[test]
fn callers_make_no_series() {
    let service = start();
    let token = session("alice");
    let count = || service.ops.get("/metrics").send().text().lines().count();
    let warm_up = || {
        service.public.get("/first").send();
        service.public.post("/v1/usersig").json(json!({"sdkAppId": 1_400_000_000})).bearer(&token).send().ok();
    };
    warm_up();
    let before = count();
    for number in 0..50 {
        service.public.get(format!("/path/{number}")).send();
        service.public.get(format!("/v1/usersig?name{number}=1")).bearer(&token).send();
        service.public.get(format!("/v1/usersig?sdkAppId={}", number + 1)).bearer(&token).send();
        service.public.call(&format!("METHOD{number}"), "/v1/usersig").send();
        let user = session(&format!("user{number}"));
        service.public.get("/v1/usersig?sdkAppId=1400000000").bearer(&user).send().ok();
        service.public.post("/v1/usersig").bearer(&format!("broken{number}")).send();
        service.public.get("/v1/usersig").header("x-request-id", &format!("id-{number}")).send();
    }
    assert_eq!(count(), before);
}
