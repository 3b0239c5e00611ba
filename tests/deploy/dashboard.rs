//! The dashboard and the alerts against a real Prometheus that scrapes the real binary under traffic.

use std::fs;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::rules::all_rules;
use crate::support::backend::{Backend, Reply};
use crate::support::client::Client;
use crate::support::clock::{eventually, now};
use crate::support::command::EndsWithTest;
use crate::support::keys::{P256, session};
use crate::support::raw::Connection;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::tools::{free_port, loopback, read, repository, scratch, stdout_with};

#[test]
fn every_query_returns_data_and_every_rule_finds_its_series() {
    let backend = backend();
    let service = service(&backend);
    let _traffic = Traffic::start(&service);
    let prometheus = Prometheus::start(service.ops.address);
    stdout_with(Command::new("promtool").args(["check", "metrics"]), &service.ops.get("/metrics").send().text());

    let dashboard: Value = serde_json::from_str(&read("deploy/grafana/usersig.json")).expect("JSON");
    let queries = queries(&dashboard);
    assert!(queries.len() > 25, "queries are missing");
    for query in &queries {
        let query = query.replace("$__rate_interval", "10s").replace("$namespace", ".*");
        assert!(!query.contains('$'), "a variable that nothing is put in for: {query}");
        prometheus.wait_for_data(&query);
    }
    for variable in dashboard["templating"]["list"].as_array().expect("variables") {
        if variable["type"] == "query" {
            assert_eq!(variable["definition"], "label_values(usersig_build_info{job=\"usersig\"}, namespace)");
            let values = prometheus.get("/api/v1/label/namespace/values?match[]=usersig_build_info{job=\"usersig\"}");
            assert_eq!(values, json!(["test"]));
        }
    }

    for rule in all_rules() {
        for selector in selectors(rule["expr"].as_str().expect("an expression")) {
            prometheus.wait_for_data(&format!("count({selector})"));
        }
    }
    for group in prometheus.get("/api/v1/rules")["groups"].as_array().expect("groups") {
        for rule in group["rules"].as_array().expect("rules") {
            assert_eq!(rule["health"], "ok", "{rule}");
        }
    }
    assert_eq!(alerts(&prometheus, "UsersigKeyReloadFailed"), 0);
    fs::write(service.setup.path("app.key"), "broken").expect("a secret");
    eventually("the alert is raised", || (alerts(&prometheus, "UsersigKeyReloadFailed") == 1).then_some(()));

    // A default hides a query that never finds anything, so what stands before it is asked alone.
    let defaulted = queries.iter().filter_map(|query| query.split_once(" or vector(")).map(|(query, _)| query);
    let defaulted: Vec<&str> = defaulted.collect();
    assert_eq!(defaulted.len(), 1, "{defaulted:?}");
    // An alert is pending for minutes before it fires.
    let query = defaulted[0].replace("$namespace", ".*").replace("firing", "pending");
    assert!(query.contains("ALERTS{alertstate=\"pending\""), "{query}");
    prometheus.wait_for_data(&query);
}

/// How many alerts of a name are pending or fire.
fn alerts(prometheus: &Prometheus, name: &str) -> usize {
    let alerts = prometheus.get("/api/v1/alerts");
    alerts["alerts"].as_array().expect("alerts").iter().filter(|alert| alert["labels"]["alertname"] == name).count()
}

/// Every query of the dashboard.
fn queries(dashboard: &Value) -> Vec<String> {
    let panels = dashboard["panels"].as_array().expect("panels");
    let targets = panels.iter().filter_map(|panel| panel["targets"].as_array()).flatten();
    targets.map(|target| target["expr"].as_str().expect("an expression").to_owned()).collect()
}

/// Every selector of a `PromQL` expression, with its labels.
fn selectors(expression: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        rest = &rest[start..];
        let name = &rest[..rest.find(|c| !is_name(c)).unwrap_or(rest.len())];
        rest = &rest[name.len()..];
        let labels = if rest.starts_with('{') { &rest[..=rest.find('}').expect("an end of the labels")] } else { "" };
        rest = &rest[labels.len()..];
        if ["usersig_", "usersig:", "process_"].iter().any(|prefix| name.starts_with(prefix)) || name == "up" {
            found.push(format!("{name}{labels}"));
        }
    }
    assert!(!found.is_empty(), "no selector in {expression}");
    found
}

/// A service with one rule of each kind that has metrics of its own.
fn service(backend: &Backend) -> Service {
    let app = "[app.private_map_key]\nmax_privileges = [\"join\"]\nrooms = \"any\"\n";
    let shared = "shared_users = true\n";
    let ask = format!(
        "[[session]]\nname = \"ask\"\nfrom = \"header:X-Access-Token\"\ncheck = \"http\"\nurl = \"http://{}/me\"\n\
         user = \"/id\"\n{shared}",
        backend.address
    );
    let keys = format!(
        "[[session]]\nname = \"idp\"\nfrom = \"header:X-Id-Token\"\ncheck = \"jwt\"\njwks = \"http://{}/jwks\"\n\
         algs = [\"ES256\"]\naudience = [\"im\"]\n{shared}",
        backend.address
    );
    Setup::new([parts::ONE_APP, app, parts::BEARER, shared, &ask, &keys].concat()).start()
}

/// Requests of every kind, for as long as it lives.
struct Traffic {
    stop: Arc<AtomicBool>,
}

impl Traffic {
    fn start(service: &Service) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (address, stopped) = (service.public.address, Arc::clone(&stop));
        let claims = json!({ "sub": "carol", "aud": "im", "exp": now() + 3600 });
        let id_token = P256.token(Algorithm::ES256, claims);
        let requests = [
            ("/v1/usersig", format!("Authorization: Bearer {}", session("alice")), "{}"),
            ("/v1/private-map-key", format!("Authorization: Bearer {}", session("bob")), r#"{"roomId":7}"#),
            ("/v1/usersig", format!("X-Id-Token: {id_token}"), "{}"),
            ("/v1/usersig", "X-Access-Token: good".to_owned(), "{}"),
            ("/v1/usersig", "X-Access-Token: fails".to_owned(), "{}"),
            ("/v1/usersig", "Authorization: Bearer forged".to_owned(), "{}"),
            ("/v1/usersig", "Accept: */*".to_owned(), "{}"),
            ("/elsewhere", "Accept: */*".to_owned(), "{}"),
        ];
        let request = |(path, header, body): &(&str, String, &str)| {
            format!(
                "POST {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\nContent-Type: application/json\r\n\
                 Content-Length: {}\r\n\r\n{body}",
                body.len()
            )
        };
        let requests: Vec<String> = requests.iter().map(request).collect();
        thread::spawn(move || {
            let mut connection = None;
            for request in requests.iter().cycle().take_while(|_| !stopped.load(Ordering::Relaxed)) {
                let open = connection.get_or_insert_with(|| Connection::open(address));
                open.send(request);
                if open.read().is_none_or(|answer| answer.header("connection").is_some()) {
                    connection = None;
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        Self { stop }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
    }
}

/// The customer's side: a back end that knows one token, and an issuer's key set.
fn backend() -> Backend {
    Backend::start(|request| match request.path.as_str() {
        "/jwks" => Reply::json(key_set()),
        _ if request.header("x-access-token") == "good" => Reply::json(json!({ "id": "dave" })),
        _ => Reply::new(500, ""),
    })
}

/// The public half of [`P256`] as a key set.
fn key_set() -> Value {
    let der: String = P256.public_pem.lines().filter(|line| !line.starts_with('-')).collect();
    let der = STANDARD.decode(der).expect("base64");
    // The last 64 bytes of the key's DER are the point.
    let [x, y] = [64, 32].map(|start| URL_SAFE_NO_PAD.encode(&der[der.len() - start..][..32]));
    json!({ "keys": [{ "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "1", "x": x, "y": y }] })
}

/// A Prometheus that scrapes one target each second.
struct Prometheus {
    client: Client,
    _process: EndsWithTest,
}

impl Prometheus {
    fn start(target: SocketAddr) -> Self {
        let directory = scratch("prometheus");
        let configuration = json!({
            "global": { "scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s" },
            "rule_files": [repository("deploy/prometheus/rules.yaml")],
            "scrape_configs": [{
                "job_name": "usersig",
                "static_configs": [{ "targets": [target.to_string()], "labels": { "namespace": "test" } }],
            }],
        });
        fs::write(directory.join("prometheus.json"), configuration.to_string()).expect("a configuration");
        let port = free_port();
        let log = fs::File::create(directory.join("log")).expect("a log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={}", directory.join("prometheus.json").display()))
            .arg(format!("--storage.tsdb.path={}", directory.join("data").display()))
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdin(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus: run tests/install/deploy");
        let prometheus = Self { client: Client::new(loopback(port)), _process: EndsWithTest(child) };
        eventually("prometheus listens", || Connection::try_open(loopback(port)).ok());
        eventually("prometheus is ready", || (prometheus.client.get("/-/ready").send().status == 200).then_some(()));
        prometheus
    }

    /// The data that a path of its API answers with.
    #[track_caller]
    fn get(&self, path: &str) -> Value {
        let answer = self.client.get(path.replace('{', "%7B").replace('}', "%7D").replace('"', "%22")).send().json();
        assert_eq!(answer["status"], "success", "{path}: {answer}");
        answer["data"].clone()
    }

    /// Waits until a query gives at least one series, each of them a number.
    #[track_caller]
    fn wait_for_data(&self, query: &str) {
        let path = format!("/api/v1/query?query={}", utf8_percent_encode(query, NON_ALPHANUMERIC));
        eventually(&format!("there is data for {query}"), || {
            let data = self.get(&path);
            let series = data["result"].as_array().expect("series");
            let is_number = |one: &Value| {
                one["value"][1].as_str().is_some_and(|value| value.parse::<f64>().is_ok_and(f64::is_finite))
            };
            (!series.is_empty() && series.iter().all(is_number)).then_some(())
        });
    }
}
