//! The configuration blocks of the documents, each unchanged, against the back end that it is for.

use std::fs;
use std::path::PathBuf;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;

use crate::issuer::{CLIENT_SECRET, IM, Issuer, OPAQUE};
use crate::sites::{COOKIE_SECRET, Site, set_cookie};
use crate::support::backend::{Backend, Reply};
use crate::support::client::Client;
use crate::support::clock::eventually;
use crate::support::component::{Component, free_port, program};
use crate::support::documents::texts;
use crate::support::keys::session_with;
use crate::support::redis::Redis;
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::support::{SESSION_SECRET, client::Call};
use crate::tls::{Authority, Nginx};
use crate::verdict::{allowed, ask, denied};

/// The text of a file beside this one.
fn text(file: &str) -> String {
    fs::read_to_string(recipes_folder().join(file)).expect("a file of the suite")
}

fn recipes_folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/sessions/recipes")
}

/// A configuration with one app and a recipe in which a host is where the test has it.
pub(crate) fn recipe(name: &str, host: &str, at: impl std::fmt::Display) -> Setup {
    let block = text(&format!("{name}.toml"));
    assert!(block.contains(host), "{block}");
    Setup::new([parts::ONE_APP, &block.replace(host, &at.to_string())].concat())
}

/// A recipe for Redis, whose user has the rights of the documented line on these keys.
pub(crate) fn redis_recipe(name: &str, redis: &Redis, keys: &str) -> Setup {
    let line = text("redis.acl").replace("PASSWORD", "a-password").replace("~sess:*", keys);
    redis.run::<()>(line.trim_end());
    recipe(name, "redis:6379", redis.address()).env("REDIS_PASSWORD", "a-password")
}

/// Adds the cookie as a page of the same origin does.
pub(crate) fn cookie(name: &str, value: &str) -> impl FnOnce(Call<'_>) -> Call<'_> {
    move |call| call.cookie(name, value).same_origin()
}

/// Asserts that a login counts, that a visit does not, and that a logout ends it.
fn assert_logins(service: &Service, site: &Site, name: &str, user: &str) {
    let session = site.login("alice");
    allowed(&ask(service, cookie(name, &session)), user);
    denied(service, &ask(service, cookie(name, &site.visit())), "user", "no user");
    site.logout(&session);
    denied(service, &ask(service, cookie(name, &session)), "check", "no such session");
}

#[test]
fn the_documents_have_the_recipes_as_tested() {
    let [english, chinese] = texts();
    let mut recipes = 0;
    for entry in fs::read_dir(recipes_folder()).expect("a folder of the suite") {
        let name = entry.expect("an entry").file_name().into_string().expect("UTF-8");
        let language = name.strip_suffix(".toml").map_or("", |_| "toml");
        let fenced = format!("```{language}\n{}```\n", text(&name));
        assert!(english.contains(&fenced) && chinese.contains(&fenced), "{name} is not in both languages unchanged");
        recipes += 1;
    }
    assert_eq!(recipes, 14);
}

#[test]
fn recipe_express() {
    let redis = Redis::start();
    let site = Site::express(&redis);
    let service = redis_recipe("express", &redis, "~sess:*").env("SESSION_SECRET", COOKIE_SECRET).start();
    assert_logins(&service, &site, "connect.sid", "alice");
}

#[test]
fn recipe_flask() {
    let redis = Redis::start();
    let site = Site::flask(&redis);
    let service = redis_recipe("flask", &redis, "~session:*").start();
    assert_logins(&service, &site, "session", "alice");
}

#[test]
fn recipe_django() {
    let redis = Redis::start();
    let site = Site::django(&redis);
    let service = redis_recipe("django", &redis, "~:1:django.contrib.sessions.cache*").start();
    assert_logins(&service, &site, "sessionid", "1");
}

#[test]
fn recipe_spring() {
    let redis = Redis::start();
    let service = redis_recipe("spring", &redis, "~spring:session:sessions:*").start();
    let id = "23b53eb4-a4c3-4b1a-8d3b-7a3f0c0f9a11";
    let key = format!("spring:session:sessions:{id}");
    redis.command::<()>(&[b"HSET", key.as_bytes(), b"sessionAttr:userId", b"\xac\xed\x00\x05t\x00\x05alice"]);
    redis.run::<()>(&format!("EXPIRE {key} 2100"));
    let session = STANDARD.encode(id);
    allowed(&ask(&service, cookie("SESSION", &session)), "alice");
    // After a logout the indexed repository keeps it for five minutes.
    redis.run::<()>(&format!("EXPIRE {key} 300"));
    denied(&service, &ask(&service, cookie("SESSION", &session)), "check", "min_ttl");
    redis.run::<()>(&format!("DEL {key}"));
    denied(&service, &ask(&service, cookie("SESSION", &session)), "check", "no such session");
}

#[test]
fn recipe_satoken() {
    let redis = Redis::start();
    let service = redis_recipe("satoken", &redis, "~satoken:login:*").start();
    let token = "6f0d2a5e-54c2-4a6f-9d27-5f4d8a0c7e33";
    let key = format!("satoken:login:token:{token}");
    let get = || ask(&service, |call| call.header("satoken", token));
    redis.set(&key, "10001");
    allowed(&get(), "10001");
    redis.set("satoken:login:disable:login:10001", "1");
    denied(&service, &get(), "check", "deny_if_exists");
    redis.set(&key, "-5");
    denied(&service, &get(), "user", "deny_users");
    redis.run::<()>(&format!("DEL {key}"));
    denied(&service, &get(), "check", "no such session");
}

#[test]
fn recipe_yudao() {
    let redis = Redis::start();
    let service = redis_recipe("yudao", &redis, "~oauth2_access_token:*").start();
    let token = "0b1c5ae1f4d94b53a5a2c0f3bfb0a9d7";
    let key = format!("oauth2_access_token:{token}");
    let value = |kind: u8| {
        json!({"id": 1, "accessToken": token, "userId": 1_024, "userType": kind, "tenantId": 1, "scopes": null})
            .to_string()
    };
    let get = || ask(&service, |call| call.bearer(token));
    redis.set(&key, value(1));
    allowed(&get(), "1024");
    redis.set(&key, value(2));
    denied(&service, &get(), "check", "require");
    redis.run::<()>(&format!("DEL {key}"));
    denied(&service, &get(), "check", "no such session");
}

/// The lines by which the name of the provider leads to the test's own.
fn reached_at(nginx: &Nginx, authority: &Authority) -> String {
    let (address, ca) = (nginx.address, authority.ca_file());
    format!("ca_file = \"{ca}\"\nresolve = {{ \"idp.example.com\" = \"{address}\" }}\n")
}

#[test]
fn recipe_keycloak() {
    let (issuer, authority) = (Issuer::start(), Authority::new());
    let nginx = Nginx::in_front_of(&issuer, &authority);
    let setup = recipe("keycloak", "[[session]]", "user_id = \"strip-hyphens\"\n[[session]]");
    let service = setup.with(&reached_at(&nginx, &authority)).start();
    let tokens = issuer.login("3f2504e0-4f89-11d3-9a0c-0305e82c3301", IM);
    allowed(&ask(&service, |call| call.bearer(&tokens.access)), "3f2504e04f8911d39a0c0305e82c3301");
    denied(&service, &ask(&service, |call| call.bearer(&tokens.id)), "check", "type");
}

#[test]
fn recipe_introspected() {
    let (issuer, authority) = (Issuer::start(), Authority::new());
    let nginx = Nginx::in_front_of(&issuer, &authority);
    let setup = recipe("introspected", "idp.example.com", "idp.example.com").env("IDP_SECRET", CLIENT_SECRET);
    let service = setup.with(&reached_at(&nginx, &authority)).start();
    let tokens = issuer.login("alice", OPAQUE);
    let get = |token: &str| ask(&service, |call| call.bearer(token));
    allowed(&get(&tokens.access), "alice");
    denied(&service, &get(&tokens.refresh), "check", "require");
    denied(&service, &get("made-up"), "check", "not active");
    issuer.revoke(&tokens.access);
    eventually("the revocation is noticed when the cache has forgotten", || {
        (get(&tokens.access).status == 401).then_some(())
    });
}

#[test]
fn recipe_mini_program() {
    let setup = recipe("mini", "[[session]]", "[[session]]").env("SESSION_SECRET", SESSION_SECRET);
    let service = setup.start();
    let token = session_with(json!({"openid": "oLVPpjqs9BhvzwPj5A-vTYAX3GLc"}));
    allowed(&ask(&service, |call| call.header("x-token", &token)), "oLVPpjqs9BhvzwPj5A-vTYAX3GLc");
    denied(&service, &ask(&service, |call| call.header("x-token", &token[..token.len() - 2])), "check", "signature");
}

#[test]
fn recipe_any_back_end() {
    let redis = Redis::start();
    let site = Site::express_with(&redis, "sid", &[COOKIE_SECRET]);
    let service = recipe("web", "backend:8000", site.client.address).start();
    let session = site.login("alice");
    allowed(&ask(&service, cookie("sid", &session)), "alice");
    denied(&service, &ask(&service, cookie("sid", &site.visit())), "check", "denies");
    site.logout(&session);
    denied(&service, &ask(&service, cookie("sid", &session)), "check", "denies");
}

#[test]
fn recipe_ruoyi() {
    let backend = Backend::start(|request| match request.header("authorization") {
        "Bearer eyJ.of.alice" => Reply::json(json!({
            "msg": "操作成功", "code": 200, "permissions": ["*:*:*"], "roles": ["common"],
            "user": {"userId": 103, "userName": "alice", "dept": null, "admin": false}
        })),
        "Bearer eyJ.of.nobody" => {
            Reply::json(json!({"msg": "请求访问：/getInfo，认证失败，无法访问系统资源", "code": 401}))
        }
        _ => Reply::json(json!({"msg": "服务器错误", "code": 500})),
    });
    let service = recipe("ruoyi", "ruoyi:8080", backend.address).start();
    let get = |token: &str| ask(&service, |call| call.bearer(token));
    allowed(&get("eyJ.of.alice"), "103");
    denied(&service, &get("eyJ.of.nobody"), "check", "denies");
    get("eyJ.of.trouble").refused(503, "session_check_unavailable");
}

#[test]
fn recipe_laravel() {
    let backend = Backend::start(|request| match (request.header("authorization"), request.header("accept")) {
        ("Bearer 1|of-alice", _) => Reply::json(json!({"id": 1, "name": "Alice", "email": "alice@example.com"})),
        (_, "application/json") => Reply::new(401, r#"{"message":"Unauthenticated."}"#),
        // To anything that is not a program it shows the way to the login page.
        _ => Reply::new(302, "").header("location", "/login"),
    });
    let service = recipe("laravel", "laravel:8000", backend.address).start();
    allowed(&ask(&service, |call| call.bearer("1|of-alice")), "1");
    denied(&service, &ask(&service, |call| call.bearer("2|of-nobody")), "check", "denies");
}

#[test]
fn recipe_php() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let me = "<?php session_start(); header('Content-Type: application/json');\n\
              if (!isset($_SESSION['user_id'])) { http_response_code(401); exit; }\n\
              echo json_encode(['id' => $_SESSION['user_id']]);";
    fs::write(dir.path().join("me.php"), me).expect("a file");
    let login = "<?php session_start(); session_regenerate_id(true); $_SESSION['user_id'] = (int) $_GET['user'];";
    fs::write(dir.path().join("login.php"), login).expect("a file");
    let address = format!("127.0.0.1:{}", free_port());
    let mut command = program("php");
    command.arg("-d").arg(format!("session.save_path={}", dir.path().display())).args(["-S", &address, "-t"]);
    let _php = Component::start(command.arg(dir.path()).stderr(std::process::Stdio::null()));
    let site = Client::new(address.parse().expect("an address"));
    eventually("PHP listens", || std::net::TcpStream::connect(site.address).ok());

    let service = recipe("php", "http://php/", format!("http://{address}/")).start();
    let session = set_cookie(&site.get("/login.php?user=42").send(), "PHPSESSID").expect("a session");
    allowed(&ask(&service, cookie("PHPSESSID", &session)), "42");
    denied(&service, &ask(&service, cookie("PHPSESSID", "made-up")), "check", "denies");
    let guest = set_cookie(&site.get("/login.php?user=0").send(), "PHPSESSID").expect("a session");
    denied(&service, &ask(&service, cookie("PHPSESSID", &guest)), "user", "deny_users");
}
