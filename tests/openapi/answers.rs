//! Every example of an answer in the document is an answer that the running binary gives, headers included.

use std::collections::{BTreeMap, BTreeSet};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::support::client::{Answer, Call, Client};
use super::support::clock::eventually;
use super::support::keys::{session, session_with};
use super::support::raw::Connection;
use super::support::service::Service;
use super::support::ticket::decode;
use super::{DOCUMENT, SUITE, alice, described_service, document, python, succeed};

/// An example, or an answer without a body: the operation, the status and the example's name.
type Place = (String, u16, String);

/// What the document describes of each place; an example's value where there is a body.
fn described(document: &Value) -> BTreeMap<Place, Value> {
    let resolved = |part: &Value| match part["$ref"].as_str() {
        Some(reference) => document.pointer(&reference[1..]).expect("a reference that leads somewhere").clone(),
        None => part.clone(),
    };
    let mut places = BTreeMap::new();
    for operation in operations(document) {
        let id = operation["operationId"].as_str().expect("an id");
        for (status, response) in operation["responses"].as_object().expect("responses") {
            let status: u16 = status.parse().expect("a status");
            let content = resolved(response)["content"].clone();
            for media in content.as_object().into_iter().flatten().map(|(_, media)| media) {
                for (name, example) in media["examples"].as_object().into_iter().flatten() {
                    places.insert((id.to_owned(), status, name.clone()), example["value"].clone());
                }
            }
            if content.is_null() {
                places.insert((id.to_owned(), status, String::new()), Value::Null);
            }
        }
    }
    places
}

fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    let paths = document["paths"].as_object().expect("paths").values();
    paths.flat_map(|path| path.as_object().expect("a path").values()).filter(|part| part.get("operationId").is_some())
}

/// The answers of a running service, each at the place that it is an example for.
struct Provoked {
    service: Service,
    answers: Vec<(Place, &'static str, &'static str, Answer)>,
    slow: Vec<(&'static str, &'static str, Connection)>,
}

/// One operation that is being asked.
struct Asked {
    id: &'static str,
    method: &'static str,
    path: &'static str,
    /// What a right request has in its body or query.
    parameters: Value,
}

impl Asked {
    const fn new(id: &'static str, method: &'static str, path: &'static str) -> Self {
        Self { id, method, path, parameters: Value::Null }
    }

    /// A request with these parameters beside its own.
    #[expect(clippy::needless_pass_by_value, reason = "what stands in the parentheses is json!")]
    fn with<'a>(&self, client: &'a Client, more: Value) -> Call<'a> {
        let mut parameters = self.parameters.as_object().cloned().unwrap_or_default();
        parameters.extend(more.as_object().cloned().unwrap_or_default());
        if self.method == "GET" {
            let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let query: Vec<_> = parameters.iter().map(|(name, value)| format!("{name}={}", text(value))).collect();
            return client.get(format!("{}?{}", self.path, query.join("&")));
        }
        client.call(self.method, self.path).json(parameters.into())
    }
}

impl Provoked {
    fn keep(&mut self, asked: &Asked, status: u16, example: &str, answer: Answer) {
        assert_eq!(answer.status, status, "{} {example}: {}", asked.id, answer.text());
        self.answers.push(((asked.id.to_owned(), status, example.to_owned()), asked.method, asked.path, answer));
    }

    /// A request whose body does not come; its answer is read at the end.
    fn send_slowly(&mut self, asked: &Asked, client: &Client) {
        let mut connection = client.connect();
        let head = format!("POST {} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n", asked.path);
        connection.send(format!("{head}content-length: 2\r\n\r\n{{"));
        self.slow.push((asked.id, asked.path, connection));
    }

    fn bad_bodies(&mut self, asked: &Asked, client: &Client) {
        let call = || client.post(asked.path);
        self.keep(asked, 413, "large", call().body("application/json", vec![b' '; 17_000]).send());
        self.keep(asked, 415, "form", call().body("application/x-www-form-urlencoded", "a=b").send());
    }

    fn tickets(&mut self, asked: &Asked, malformed: (&str, Value)) {
        let public = self.service.public.clone();
        let with = |more| asked.with(&public, more);
        let right = || with(json!({}));
        self.keep(asked, 200, "alice", right().bearer(&alice()).send());
        let bad = Asked { parameters: malformed.1, ..Asked::new(asked.id, asked.method, asked.path) };
        self.keep(asked, 400, malformed.0, bad.with(&public, json!({})).bearer(&alice()).send());
        self.keep(asked, 401, "missing", right().send());
        self.keep(asked, 401, "invalid", right().bearer("x").send());
        self.keep(asked, 403, "mismatch", with(json!({"userId": "bob"})).bearer(&alice()).send());
        self.keep(asked, 403, "user", right().bearer(&session("boss")).send());
        self.keep(asked, 403, "origin", right().cookie("session", &alice()).origin("https://n.example.com").send());
        self.keep(asked, 404, "app", with(json!({"sdkAppId": 1_400_000_001})).bearer(&alice()).send());
        self.keep(asked, 405, "method", public.call("DELETE", asked.path).send());
        let uuid = session("3f2504e0-4f89-11d3-9a0c-0305e82c3301");
        self.keep(asked, 422, "uuid", right().bearer(&uuid).send());
        let eager = session_with(json!({"sub": "eager", "rooms": [7]}));
        let refused = || Some(right().bearer(&eager).send()).filter(|answer| answer.status != 200);
        self.keep(asked, 429, "user", eventually("the limit is reached", refused));
        self.keep(asked, 503, "fault", right().header("x-back-end-token", "x").send());
        if asked.method == "POST" {
            self.bad_bodies(asked, &public);
        }
    }

    fn preflights(&mut self, asked: &Asked) {
        let public = self.service.public.clone();
        let call = |origin| {
            let call = public.call("OPTIONS", asked.path).header("origin", origin);
            call.header("access-control-request-method", "POST")
        };
        self.keep(asked, 204, "", call("https://m.example.com").send());
        self.keep(asked, 403, "origin", call("https://n.example.com").send());
        self.keep(asked, 405, "method", public.call("OPTIONS", asked.path).send());
    }

    fn look(&mut self, get: &Asked, head: &Asked, example: &str) {
        let ops = self.service.ops.clone();
        self.keep(get, 200, example, ops.get(get.path).send());
        self.keep(get, 405, "method", ops.post(get.path).send());
        self.keep(head, 200, "", ops.call("HEAD", head.path).send());
    }

    fn inspections(&mut self, asked: &Asked) {
        let ops = self.service.ops.clone();
        let issued = self.service.public.post("/v1/usersig").bearer(&alice()).send().ok();
        self.keep(asked, 200, "valid", asked.with(&ops, json!({"ticket": issued["userSig"]})).send());
        self.keep(asked, 200, "malformed", asked.with(&ops, json!({"ticket": "x"})).send());
        self.keep(asked, 400, "body", ops.post(asked.path).send());
        self.keep(asked, 405, "method", ops.get(asked.path).send());
        self.bad_bodies(asked, &ops);
    }

    fn slow_bodies(&mut self) {
        for (id, path, mut connection) in std::mem::take(&mut self.slow) {
            let answer = connection.read().expect("an answer");
            self.keep(&Asked::new(id, "POST", path), 408, "slow", answer);
        }
    }

    fn draining(&mut self, get: &Asked, head: &Asked) {
        self.service.signal(Signal::TERM);
        let ops = self.service.ops.clone();
        let draining = || Some(ops.get(get.path).send()).filter(|answer| answer.status != 200);
        self.keep(get, 503, "draining", eventually("the service drains", draining));
        self.keep(head, 503, "", ops.call("HEAD", head.path).send());
    }
}

fn provoke() -> Vec<(Place, &'static str, &'static str, Answer)> {
    // Long enough to be looked at while it drains, also on a busy machine.
    let limits = "[limit]\nper_user = \"1/h\"\nburst = 30\nper_address = \"off\"\n";
    let setup = described_service().limited().with(limits).env("USERSIG__SERVER__LAME_DUCK", "60s");
    let service = setup.env("USERSIG__SERVER__DRAIN", "60s").start();
    let mut provoked = Provoked { service, answers: Vec::new(), slow: Vec::new() };
    let (public, ops) = (provoked.service.public.clone(), provoked.service.ops.clone());

    let get = Asked::new("getUserSig", "GET", "/v1/usersig");
    let post = Asked::new("postUserSig", "POST", "/v1/usersig");
    let mut room = Asked::new("postPrivateMapKey", "POST", "/v1/private-map-key");
    room.parameters = json!({"roomId": 7});
    let inspect = Asked::new("postInspect", "POST", "/v1/inspect");
    provoked.send_slowly(&post, &public);
    provoked.send_slowly(&room, &public);
    provoked.send_slowly(&inspect, &ops);

    let (get_ready, head_ready) =
        (Asked::new("getReadyz", "GET", "/readyz"), Asked::new("headReadyz", "HEAD", "/readyz"));
    provoked.look(&get_ready, &head_ready, "ready");
    provoked.look(&Asked::new("getLivez", "GET", "/livez"), &Asked::new("headLivez", "HEAD", "/livez"), "alive");
    let (metrics, head_metrics) =
        (Asked::new("getMetrics", "GET", "/metrics"), Asked::new("headMetrics", "HEAD", "/metrics"));
    provoked.look(&metrics, &head_metrics, "excerpt");
    let (version, head_version) =
        (Asked::new("getVersion", "GET", "/version"), Asked::new("headVersion", "HEAD", "/version"));
    provoked.look(&version, &head_version, "version");

    provoked.tickets(&get, ("expire", json!({"expire": 0})));
    provoked.tickets(&post, ("expire", json!({"expire": 0})));
    provoked.tickets(&room, ("room", json!({})));
    let other_room = room.with(&public, json!({"roomId": 8})).bearer(&alice()).send();
    provoked.keep(&room, 403, "room", other_room);
    provoked.preflights(&Asked::new("preflightUserSig", "OPTIONS", "/v1/usersig"));
    provoked.preflights(&Asked::new("preflightPrivateMapKey", "OPTIONS", "/v1/private-map-key"));
    let listed = post.with(&public, json!({})).cookie("session", &alice()).origin("https://m.example.com").send();
    assert_eq!(listed.header("access-control-allow-origin"), Some("https://m.example.com"));
    provoked.keep(&post, 200, "alice", listed);
    provoked.keep(&get_ready, 200, "fault", ops.get("/readyz").send());
    provoked.inspections(&inspect);
    provoked.slow_bodies();
    provoked.draining(&get_ready, &head_ready);
    provoked.answers
}

#[test]
fn every_example_is_what_the_service_answers() {
    let document = document();
    let described = described(&document);
    let answers = provoke();

    let places: BTreeSet<_> = answers.iter().map(|(place, ..)| place).collect();
    // A fault of the service's own cannot be provoked, and so has no example.
    let expected: BTreeSet<_> = described.keys().filter(|(_, status, _)| *status != 500).collect();
    assert_eq!(expected.symmetric_difference(&places).collect::<Vec<_>>(), Vec::<&&Place>::new());

    for (place, _, _, answer) in &answers {
        match &described[place] {
            Value::Null => assert_eq!(answer.text(), "", "{place:?}"),
            Value::String(text) => {
                let body = answer.text();
                assert!(text.lines().all(|line| body.lines().any(|known| known == line)), "{place:?}: {body}");
            }
            example => assert_alike(&format!("{place:?}"), example, &answer.json()),
        }
    }

    let answers: Vec<_> = answers
        .iter()
        .map(|(_, method, path, answer)| {
            json!({
                "method": method, "path": path, "status": answer.status,
                "headers": answer.headers, "body": answer.text(),
            })
        })
        .collect();
    let validate = format!("{SUITE}/validate.py");
    succeed(python("python").args([&validate, DOCUMENT]), json!(answers).to_string().as_bytes());
}

/// Asserts that an answer is the example but for times, tickets and ids.
fn assert_alike(place: &str, example: &Value, answer: &Value) {
    match (example, answer) {
        (Value::Object(example), Value::Object(answer)) => {
            let names = |object: &serde_json::Map<String, Value>| object.keys().cloned().collect::<BTreeSet<_>>();
            assert_eq!(names(example), names(answer), "{place}");
            let varies = |name: &str| {
                let varying = ["requestId", "userSig", "privateMapKey", "fault", "version"];
                varying.contains(&name) || name.ends_with("At") || name.ends_with("Seconds")
            };
            for (name, value) in example.iter().filter(|(name, _)| !varies(name)) {
                assert_alike(&format!("{place}/{name}"), value, &answer[name]);
            }
        }
        (Value::Array(example), Value::Array(answer)) => {
            assert_eq!(example.len(), answer.len(), "{place}");
            example.iter().zip(answer).for_each(|(example, answer)| assert_alike(place, example, answer));
        }
        (Value::String(example), Value::String(answer)) if place.ends_with("/detail") => {
            let without_numbers = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
            assert_eq!(without_numbers(example), without_numbers(answer), "{place}");
        }
        _ => assert_eq!(example, answer, "{place}"),
    }
}

#[test]
fn the_tickets_in_the_examples_are_what_the_answers_say() {
    let described = described(&document());
    for (operation, ticket) in [("postUserSig", "userSig"), ("postPrivateMapKey", "privateMapKey")] {
        let answer = &described[&(operation.to_owned(), 200, "alice".to_owned())];
        let fields = decode(answer[ticket].as_str().expect("a ticket"));
        assert_eq!(fields["TLS.identifier"], answer["userId"]);
        assert_eq!(fields["TLS.sdkappid"], answer["sdkAppId"]);
        assert_eq!(fields["TLS.time"], answer["issuedAt"]);
        assert_eq!(fields["TLS.expire"], answer["expire"]);
        let number = |name: &str| answer[name].as_u64().expect("a number");
        assert_eq!(number("expiresAt"), number("issuedAt") + number("expire"));
        assert_eq!(number("renewAt"), number("issuedAt") + number("expire") * 9 / 10);
    }
}
