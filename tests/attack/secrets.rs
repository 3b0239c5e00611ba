//! Nothing secret leaves the process but where it belongs: every route and fault at the most verbose level, with secrets,
//! tokens and cookies that can be recognised wherever they turn up.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::panic::catch_unwind;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::Algorithm;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};
use sha2::Sha256;
use tracing::level_filters::LevelFilter;
use usersig::telemetry::log::{Log, LogFormat, LogSettings};

use crate::support::client::Answer;
use crate::support::clock::{eventually, now};
use crate::support::command::EndsWithTest;
use crate::support::keys::TokenKey;
use crate::support::service::Service;
use crate::support::setup::Setup;
use crate::support::ticket::decode;

/// The app's secret must be 64 hex digits.
pub(crate) const APP_SECRET: &str = "c0ffee00c0ffee11c0ffee22c0ffee33c0ffee44c0ffee55c0ffee66c0ffee77";
pub(crate) const NEW_APP_SECRET: &str = "decade00decade11decade22decade33decade44decade55decade66decade77";
pub(crate) const JWT_SECRET: &str = "canary-jwt-secret-0123456789abcdef0123456789";
pub(crate) const COOKIE_SECRET: &str = "canary-cookie-secret-0123456789";
pub(crate) const OLD_COOKIE_SECRET: &str = "canary-old-cookie-secret-0123456789";
pub(crate) const REDIS_PASSWORD: &str = "canary-redis-password-0123456789";
pub(crate) const LIMIT_PASSWORD: &str = "canary-limit-password-0123456789";
pub(crate) const CLIENT_SECRET: &str = "canary-client-secret-0123456789";
const OPAQUE_TOKEN: &str = "canary-opaque-token-0123456789";
pub(crate) const HEADER_TOKEN: &str = "canary-header-token-0123456789";
const SESSION_ID: &str = "canary-session-id-0123456789";

/// One rule of each kind, all of whose back ends repeat what they hear in whatever they answer.
const CONFIG: &str = r#"
[log]
level = "trace"
[limit]
per_user = "30/m"
per_address = "off"
store = "redis://limiter@{parrot}/0"
password = "env:LIMIT_PASSWORD"
[[app]]
sdk_app_id = 1400000000
secret = "file:{dir}/canary.key"
[app.private_map_key]
max_privileges = ["join"]
rooms = "any"
[[session]]
name = "jwt"
from = "bearer"
check = "jwt"
secret = "env:JWT_SECRET"
shared_users = true
[[session]]
name = "keys"
from = "header:X-Keys"
check = "jwt"
jwks = "http://{parrot}/jwks"
audience = ["im"]
shared_users = true
[[session]]
name = "redis"
from = "cookie:connect.sid"
unwrap = "express"
secrets = ["env:COOKIE_SECRET", "env:OLD_COOKIE_SECRET"]
check = "redis"
url = "redis://reader@{parrot}/0"
password = "env:REDIS_PASSWORD"
key = "sess:{id}"
user = "/user"
shared_users = true
[[session]]
name = "introspect"
from = "header:X-Opaque"
check = "introspect"
url = "http://{parrot}/introspect"
client_id = "usersig"
client_secret = "env:CLIENT_SECRET"
audience = ["im"]
shared_users = true
[[session]]
name = "http"
from = "header:X-Token"
check = "http"
url = "http://{parrot}/me"
user = "/id"
shared_users = true
"#;

/// A back end for everything. It answers each connection in another wrong way, with all that it was sent in it.
fn parrot() -> SocketAddr {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.expect("a connection");
            let mut heard = [0; 16 * 1024];
            let Ok(count) = stream.read(&mut heard) else { continue };
            let words = String::from_utf8_lossy(&heard[..count]).replace(['\r', '\n'], " ");
            let http = |status: &str, header: &str, body: &str| {
                format!(
                    "HTTP/1.1 {status}\r\n{header}content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                )
            };
            let turn = TURN.fetch_add(1, Ordering::Relaxed);
            let answer = if heard.starts_with(b"*") {
                [
                    format!("-ERR {words}\r\n"),
                    format!("-{words}\r\n"),
                    format!("-MOVED 1 {words}:1\r\n"),
                    format!("+{words}\r\n"),
                    words.clone(),
                ][turn % 5]
                    .clone()
            } else {
                match turn % 9 {
                    0 => http("500 Internal Server Error", "", &words),
                    1 => {
                        http("302 Found", &format!("location: http://127.0.0.1:1/{}\r\n", words.replace(' ', "+")), "")
                    }
                    2 => http("200 OK", "", &words),
                    3 => http("200 OK", "", &json!({"error": words, "active": words, "id": {"x": words}}).to_string()),
                    4 => http("401 Unauthorized", &format!("www-authenticate: {words}\r\n"), &words),
                    5 => http("403 Forbidden", "", &words),
                    6 => format!("HTTP/1.1 {words}\r\n\r\n"),
                    7 => format!("{words}\r\n\r\n"),
                    _ => String::new(),
                }
            };
            // A peer that has gone away has heard enough.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    address
}

pub(crate) fn setup() -> Setup {
    Setup::new(CONFIG.replace("{parrot}", &parrot().to_string()))
        .limited()
        .file("canary.key", APP_SECRET)
        .env("JWT_SECRET", JWT_SECRET)
        .env("COOKIE_SECRET", COOKIE_SECRET)
        .env("OLD_COOKIE_SECRET", OLD_COOKIE_SECRET)
        .env("REDIS_PASSWORD", REDIS_PASSWORD)
        .env("LIMIT_PASSWORD", LIMIT_PASSWORD)
        .env("CLIENT_SECRET", CLIENT_SECRET)
}

/// What must not be found, in each form that it could take.
pub(crate) struct Canaries(Vec<(String, String)>);

impl Canaries {
    pub(crate) fn new(secrets: impl IntoIterator<Item = String>) -> Self {
        let forms = |secret: String| {
            let bytes = secret.as_bytes();
            let encoded = [
                STANDARD.encode(bytes),
                URL_SAFE_NO_PAD.encode(bytes),
                hex::encode(bytes),
                format!("{bytes:?}"),
                secret.clone(),
            ];
            encoded.into_iter().map(move |form| (secret.clone(), form))
        };
        Self(secrets.into_iter().flat_map(forms).collect())
    }

    #[track_caller]
    pub(crate) fn are_not_in(&self, place: &str, text: &str) {
        for (secret, form) in &self.0 {
            assert!(!text.contains(form.as_str()), "{secret} is in {place}, as {form}: {text}");
        }
    }
}

/// The secrets of the configuration.
pub(crate) fn configured() -> Vec<String> {
    let all = [
        APP_SECRET,
        NEW_APP_SECRET,
        JWT_SECRET,
        COOKIE_SECRET,
        OLD_COOKIE_SECRET,
        REDIS_PASSWORD,
        LIMIT_PASSWORD,
        CLIENT_SECRET,
    ];
    all.map(str::to_owned).to_vec()
}

/// The parts of a token by which it could be used or told.
fn parts_of(token: &str) -> impl Iterator<Item = String> {
    token.split('.').skip(1).filter(|part| part.len() > 16).map(str::to_owned)
}

fn signed_cookie(secret: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key").chain_update(SESSION_ID);
    let signature = STANDARD.encode(mac.finalize().into_bytes());
    format!("s%3A{SESSION_ID}.{}", signature.trim_end_matches('=').replace('+', "%2B").replace('/', "%2F"))
}

/// Every credential that is presented.
struct Credentials {
    valid: String,
    expired: String,
    forged: String,
    strange: String,
    cookies: [String; 3],
}

impl Credentials {
    const OTHERS: [&str; 6] = [
        OPAQUE_TOKEN,
        HEADER_TOKEN,
        SESSION_ID,
        "canary-claim-0123456789",
        "canary-strange-subject",
        "canary-forged-subject",
    ];

    fn new() -> Self {
        let sign = |key: &TokenKey, claims| key.token(Algorithm::HS256, claims);
        let key = TokenKey::secret(JWT_SECRET.as_bytes());
        let other_key = TokenKey::secret(b"a secret of somebody else's, long enough");
        let exp = now() + 3600;
        Self {
            valid: sign(&key, json!({"sub": "alice", "exp": exp, "note": "canary-claim-0123456789"})),
            expired: sign(&key, json!({"sub": "alice", "exp": 1, "note": "canary-claim-0123456789"})),
            forged: sign(&other_key, json!({"sub": "canary-forged-subject", "exp": exp})),
            strange: sign(&key, json!({"sub": ["canary-strange-subject"], "exp": exp})),
            cookies: [COOKIE_SECRET, OLD_COOKIE_SECRET, "canary-wrong-cookie-secret"].map(signed_cookie),
        }
    }

    fn tokens(&self) -> [&String; 4] {
        [&self.valid, &self.expired, &self.forged, &self.strange]
    }

    /// All of them, by the parts that could be used or told.
    fn secrets(&self) -> impl Iterator<Item = String> {
        let parts = self.tokens().into_iter().flat_map(|token| parts_of(token));
        let signatures = self.cookies.iter().map(|cookie| cookie.rsplit('.').next().expect("a signature").to_owned());
        parts.chain(signatures).chain(Self::OTHERS.map(str::to_owned))
    }
}

/// Every way to ask the public listener, and what is answered.
fn ask_in_every_way(service: &Service, with: &Credentials) -> Vec<(String, Answer)> {
    let valid = &with.valid;
    let mut answers = Vec::new();
    for path in ["/v1/usersig", "/v1/private-map-key", "/v1/nothing", "/"] {
        let mut note = |what: &str, answer| answers.push((format!("{path} {what}"), answer));
        for method in ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"] {
            for token in with.tokens() {
                note(method, service.public.call(method, path).bearer(token).send());
            }
        }
        let post = || service.public.post(path);
        for cookie in &with.cookies {
            note("cookie", post().cookie("connect.sid", cookie).same_origin().send());
            note("foreign cookie", post().cookie("connect.sid", cookie).origin("https://evil.example").send());
        }
        for (header, token) in [("x-opaque", OPAQUE_TOKEN), ("x-token", HEADER_TOKEN), ("x-keys", valid.as_str())] {
            // As often as the back end has ways to answer.
            for _ in 0..12 {
                note(header, post().header(header, token).send());
            }
            note("two", post().header(header, token).header(header, "another").send());
            note("long", post().header(header, &token.repeat(300)).send());
        }
        let ask = || post().bearer(valid);
        note("room", ask().json(json!({"roomId": 5, "privileges": ["join"]})).send());
        note("refused room", ask().json(json!({"roomId": 5, "privileges": 255})).send());
        note("other user", ask().json(json!({"userId": "bob"})).send());
        note("other app", ask().json(json!({"sdkAppId": 1})).send());
        note(MISSPELT, ask().json(json!({HEADER_TOKEN: 1})).send());
        note("no JSON", ask().body("application/json", format!("{{\"x\": {HEADER_TOKEN}")).send());
        note("no JSON type", ask().body("text/plain", HEADER_TOKEN).send());
        note("too much", ask().body("application/json", HEADER_TOKEN.repeat(1000)).send());
        note("two tokens", ask().bearer(&with.expired).send());
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nX-Token: {HEADER_TOKEN}");
        note("bytes", service.public.raw([head.as_bytes(), b"\xff\x01\r\n\r\n"].concat()));
        note("no HTTP", service.public.raw(format!("{path} {valid}\r\nAuthorization: Bearer {valid}\r\n\r\n")));
    }
    for path in ["/livez", "/readyz", "/metrics", "/version", "/v1/inspect", "/nothing"] {
        for method in ["GET", "POST", "DELETE"] {
            let answer = service.ops.call(method, path).bearer(valid).header("x-token", HEADER_TOKEN).send();
            answers.push((format!("ops {method} {path}"), answer));
        }
    }
    answers
}

/// What was misspelt is named to the one who misspelt it.
const MISSPELT: &str = "a token in the place of a name";

/// The ticket in an answer.
fn ticket_of(answer: &Answer) -> Option<String> {
    let json: Value = serde_json::from_slice(&answer.body).ok()?;
    json["userSig"].as_str().or(json["privateMapKey"].as_str()).map(str::to_owned)
}

#[test]
fn no_secret_is_in_any_log_metric_answer_or_command_line() {
    let service = setup().start();
    let credentials = Credentials::new();
    let mut answers = ask_in_every_way(&service, &credentials);
    // A new secret, two that are none, and the old one again.
    for content in
        [NEW_APP_SECRET.to_owned(), format!("x{APP_SECRET}"), format!("-----BEGIN{APP_SECRET}"), APP_SECRET.to_owned()]
    {
        fs::write(service.setup.path("canary.key"), content).expect("a file");
        let log_before = service.log().len();
        eventually("the file is read again", || (service.log().len() > log_before).then_some(()));
    }
    answers.extend(ask_in_every_way(&service, &credentials));
    let tickets: Vec<_> = answers.iter().filter_map(|(_, answer)| ticket_of(answer)).collect();
    assert!(tickets.len() > 5, "{} tickets", tickets.len());
    answers.retain(|(what, answer)| ticket_of(answer).is_none() && !what.ends_with(MISSPELT));
    for ticket in &tickets {
        for text in [ticket.clone(), format!("{}~", &ticket[..ticket.len() / 2])] {
            let answer = service.ops.post("/v1/inspect").json(json!({"ticket": text})).send();
            answer.ok();
            answers.push(("inspect".to_owned(), answer));
        }
    }
    let mac = |ticket: &String| decode(ticket)["TLS.sig"].as_str().expect("text").to_owned();
    let of_tickets = tickets.iter().map(mac).chain(tickets.iter().cloned());
    let canaries = Canaries::new(configured().into_iter().chain(credentials.secrets()).chain(of_tickets));
    for (what, answer) in &answers {
        canaries.are_not_in(&format!("the answer to {what}"), &format!("{:?}\n{}", answer.headers, answer.text()));
    }
    for status in [400, 401, 403, 404, 405, 413, 415, 503] {
        let seen = answers.iter().any(|(_, answer)| answer.status == status);
        assert!(seen, "{status} was not among the answers");
    }
    canaries.are_not_in("the metrics", &service.ops.get("/metrics").send().text());
    let command_line = fs::read_to_string(format!("/proc/{}/cmdline", service.pid())).expect("a process of ours");
    canaries.are_not_in("the command line", &command_line);
    canaries.are_not_in("stderr", &service.stderr());
    canaries.are_not_in("the log", &service.log_text());
    let log = service.stop();
    for line in &log {
        canaries.are_not_in("the log", &line.to_string());
    }
    assert!(log.len() > 200, "{} lines", log.len());
    println!(
        "{} answers, {} tickets and {} log lines hold none of {} forms of secrets",
        answers.len(),
        tickets.len(),
        log.len(),
        canaries.0.len()
    );
}

#[test]
fn no_secret_is_in_what_check_says() {
    let canaries = Canaries::new(configured());
    let whole = setup();
    for command in [&["check"][..], &["check", "--probe"]] {
        let finished = whole.run(command).finish();
        canaries.are_not_in("check", &format!("{}{}", finished.stdout, finished.stderr));
        assert!(finished.stdout.contains("ok, 1 app(s), 5 session rule(s)"), "{finished:?}");
    }
    // Each secret where it does not belong, and each that is not what it should be.
    for (key, value) in [
        ("secret = \"env:JWT_SECRET\"", format!("secret = \"{JWT_SECRET}\"")),
        ("secret = \"env:JWT_SECRET\"", "secret = \"env:JWT_SECRET\"\nsecret_encoding = \"hex\"".to_owned()),
        ("secret = \"env:JWT_SECRET\"", "public_key = \"env:JWT_SECRET\"".to_owned()),
        ("secret = \"file:{dir}/canary.key\"", format!("secret = \"{APP_SECRET}\"")),
        ("secret = \"file:{dir}/canary.key\"", "secret = \"env:JWT_SECRET\"".to_owned()),
        ("password = \"env:REDIS_PASSWORD\"", format!("password = \"{REDIS_PASSWORD}\"")),
        ("redis://reader@", format!("redis://reader:{REDIS_PASSWORD}@")),
        ("redis://limiter@", format!("redis://limiter:{LIMIT_PASSWORD}@")),
        ("client_secret = \"env:CLIENT_SECRET\"", format!("client_secret = \"{CLIENT_SECRET}\"")),
        ("\"env:COOKIE_SECRET\"", format!("\"{COOKIE_SECRET}\"")),
        ("url = \"http://{parrot}/me\"", format!("url = \"http://me:{CLIENT_SECRET}@127.0.0.1:1/\"")),
        ("client_id = \"usersig\"", format!("client_id = \"usersig\nclient_secret = \"{CLIENT_SECRET}\"")),
    ] {
        let config = CONFIG.replacen(key, &value, 1).replace("{parrot}", "127.0.0.1:1");
        assert_ne!(config, CONFIG.replace("{parrot}", "127.0.0.1:1"), "{key}");
        let mut setup = Setup::new(config).limited().file("canary.key", APP_SECRET);
        for (name, secret) in [
            ("JWT_SECRET", JWT_SECRET),
            ("COOKIE_SECRET", COOKIE_SECRET),
            ("OLD_COOKIE_SECRET", OLD_COOKIE_SECRET),
            ("REDIS_PASSWORD", REDIS_PASSWORD),
            ("LIMIT_PASSWORD", LIMIT_PASSWORD),
            ("CLIENT_SECRET", CLIENT_SECRET),
        ] {
            setup = setup.env(name, secret);
        }
        for finished in [setup.check(), setup.refuse()] {
            assert_eq!(finished.code, Some(1), "{value}: {finished:?}");
            canaries.are_not_in(&value, &format!("{}{}", finished.stdout, finished.stderr));
        }
    }
}

/// The test runs itself as a child, which logs as the service does and panics with a secret in its message.
#[test]
fn a_panic_tells_its_place_and_not_a_message_that_was_put_together() {
    const CHILD: &str = "USERSIG_TEST_PANICS";
    if std::env::var_os(CHILD).is_some() {
        let log = Log::start(&LogSettings { level: LevelFilter::TRACE, format: LogFormat::Json }, None).expect("a log");
        let panics: [fn(); 3] = [
            || panic!("a constant"),
            || panic!("with {HEADER_TOKEN}"),
            || {
                let failed: Result<(), _> = HEADER_TOKEN.parse::<u8>().map(drop).map_err(|_| HEADER_TOKEN);
                failed.expect("put together by expect");
            },
        ];
        for panic in panics {
            assert!(catch_unwind(panic).is_err());
        }
        log.end();
        return;
    }
    let child = Command::new(std::env::current_exe().expect("a binary"))
        .args(["--exact", "secrets::a_panic_tells_its_place_and_not_a_message_that_was_put_together", "--nocapture"])
        .env(CHILD, "1")
        .output()
        .expect("it ends");
    assert!(child.status.success(), "{child:?}");
    let (stdout, stderr) = (String::from_utf8_lossy(&child.stdout), String::from_utf8_lossy(&child.stderr));
    Canaries::new([HEADER_TOKEN.to_owned()]).are_not_in("a panic", &format!("{stdout}{stderr}"));
    let lines = stdout.lines().filter(|line| line.contains(r#""message":"panic""#)).collect::<Vec<_>>();
    assert_eq!(lines.len(), 3, "{stdout}");
    assert!(lines.iter().all(|line| line.contains("secrets.rs:")), "{stdout}");
    assert!(lines[0].contains("a constant"), "{stdout}");
}

/// Started with as much leave to dump as the system gives, and as a user that is not root where it can be one.
#[test]
fn a_violent_death_leaves_no_core_and_nobody_may_look_inside() {
    let setup = Setup::simple();
    let dir = setup.path("");
    let binary = setup.path("usersig");
    fs::copy(env!("CARGO_BIN_EXE_usersig"), &binary).expect("a copy");
    let (setup, public, ops) = setup.on_known_ports();
    let command = setup.run(&["serve"]).into_command();
    for entry in fs::read_dir(&dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let mode = if path == binary { 0o755 } else { 0o644 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a file of ours");
    }
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).expect("a directory of ours");
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg("ulimit -c unlimited 2>/dev/null; exec \"$@\"").arg("sh").arg(&binary).args(command.get_args());
    shell.env_clear().current_dir(&dir).stdin(Stdio::null()).stdout(Stdio::null());
    for (name, value) in command.get_envs() {
        shell.env(name, value.expect("a variable that is set"));
    }
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        shell.uid(65_534).gid(65_534);
    }
    let mut child = EndsWithTest(shell.spawn().expect("a shell"));
    eventually("the service is ready", || {
        assert_eq!(child.0.try_wait().expect("a child of ours"), None, "the service ended");
        crate::support::raw::Connection::try_open(ops.address).ok()?;
        (ops.get("/readyz").send().status == 200).then_some(())
    });
    drop(public);
    let process = format!("/proc/{}", child.0.id());
    let owner = fs::metadata(format!("{process}/environ")).expect("a process of ours").uid();
    assert_eq!(owner, 0, "what may be dumped belongs to the process's own user, what may not to root");
    kill_process(Pid::from_child(&child.0), Signal::ABORT).expect("a process of ours");
    let status = eventually("the service is dead", || child.0.try_wait().expect("a child of ours"));
    assert_eq!((status.signal(), status.core_dumped()), (Some(6), false));
}
