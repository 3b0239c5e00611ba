//! The keys of a `[[session]]` table that say what a credential must pass: `check` and all that goes with it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Method;
use serde_json::{Value, json};
use tokio::sync::Semaphore;
use url::Url;
use zeroize::Zeroizing;

use super::secret::reference;
use super::section::{Section, boolean, duration, expected, integer, list, matching, one_of, parsed, text};
use crate::client::{HttpClient, HttpSettings, RedisServer};
use crate::session::{
    AnswerCache, Check, ClaimRequirements, Conditions, CookieEncoding, Decode, HttpCheck, IntrospectCheck, JwtCheck,
    KeySet, KeySource, KeyTemplate, Keys, Pointer, RedisCheck, VerificationKey, parse_algorithms,
};

/// Reads `check` and the keys that belong to it.
pub(super) fn check(section: &mut Section<'_>) -> Option<Check> {
    type Kind = fn(&mut Section<'_>) -> Option<Check>;
    let kinds: [(_, Kind); 4] = [("http", http), ("redis", redis), ("jwt", jwt), ("introspect", introspect)];
    let read = section.required("check", "\"http\", \"redis\", \"jwt\" or \"introspect\"", one_of(kinds));
    section.takes_any_key = read.is_none();
    read?(section)
}

fn http(section: &mut Section<'_>) -> Option<Check> {
    let url = section.required("url", "the address to ask, such as \"http://backend:8000/me\"", url);
    let user = section.required("user", "where the user's id is in the answer, such as \"/data/id\"", parsed);
    let backend = backend(section);
    let methods = [("GET", Method::GET), ("POST", Method::POST)];
    Some(Check::Http(HttpCheck {
        method: section.optional("method", one_of(methods)).unwrap_or(Method::GET),
        expires: section.optional("expires", parsed),
        require: section.optional("require", conditions).unwrap_or_default(),
        deny: section.optional("deny", conditions).unwrap_or_default(),
        cache: cache(section),
        url: url?,
        user: user?,
        backend: backend?,
    }))
}

fn introspect(section: &mut Section<'_>) -> Option<Check> {
    let url = section.required("url", "the introspection endpoint", url);
    let client_id = section.required("client_id", "our client's id at the authorization server", not_empty);
    let client_secret = section.required("client_secret", "where our client's secret is", reference);
    let auths = [("client_secret_basic", false), ("client_secret_post", true)];
    let backend = backend(section);
    let issuer = section.optional("issuer", not_empty);
    require_recipient(section);
    Some(Check::Introspect(IntrospectCheck {
        secret_in_form: section.optional("client_auth", one_of(auths)).unwrap_or(false),
        requirements: requirements(section, issuer),
        user: section.optional("user", parsed).unwrap_or_else(|| Pointer::to("sub")),
        cache: cache(section),
        url: url?,
        client_id: client_id?,
        client_secret: client_secret?,
        backend: backend?,
    }))
}

fn redis(section: &mut Section<'_>) -> Option<Check> {
    let encoding = cookie_encoding(section);
    let key = section.required("key", "the session's key, such as \"sess:{id}\"", template("{id}"));
    let max_in_flight = max_in_flight(section);
    let server = redis_server(section);
    let check = RedisCheck {
        encoding,
        field: section.optional("field", not_empty),
        min_ttl: section.optional("min_ttl", duration("0s", "1d")).unwrap_or_default(),
        deny_if_exists: section.optional("deny_if_exists", template("{user}")),
        require: section.optional("require", conditions).unwrap_or_default(),
        decode: decode(section),
        slots: Semaphore::new(max_in_flight),
        server: server?,
        key: key?,
    };
    if !check.require.0.is_empty() && !matches!(check.decode, Decode::Json(_)) {
        section.reject("require", "looks into JSON; set decode = \"json\", or leave it out");
    }
    Some(Check::Redis(check))
}

/// What a value is: JSON where `user` points into it, text where it does not, unless it is said.
fn decode(section: &mut Section<'_>) -> Decode {
    let usual = if section.raw("user").is_some() { "json" } else { "string" };
    let words = [("string", "string"), ("json", "json"), ("java-string", "java-string")];
    let word = section.optional("decode", one_of(words)).unwrap_or(usual);
    if word == "json" {
        let meaning = "a pointer to the user in the JSON, such as \"/userId\"";
        return Decode::Json(section.required("user", meaning, parsed).unwrap_or_else(|| Pointer::to("sub")));
    }
    if section.optional("user", |_| Ok(())).is_some() {
        section.reject("user", "points into JSON; the whole value is the user of this decode, so leave it out");
    }
    if word == "string" { Decode::Text } else { Decode::JavaString }
}

fn cookie_encoding(section: &mut Section<'_>) -> CookieEncoding {
    let secrets = section.optional("secrets", list(reference));
    let has_secrets = secrets.is_some();
    let express = CookieEncoding::Express(secrets.unwrap_or_default());
    let kinds = [("none", CookieEncoding::None), ("express", express), ("base64", CookieEncoding::Base64)];
    let unwrap = section.optional("unwrap", one_of(kinds)).unwrap_or(CookieEncoding::None);
    if let CookieEncoding::Express(secrets) = &unwrap {
        if secrets.is_empty() {
            let found = if has_secrets { "empty" } else { "missing" };
            let advice =
                "give express-session's secret, as in [\"env:SESSION_SECRET\"]; an old one may stand behind it";
            section.reject("secrets", format_args!("is {found}; {advice}"));
        }
    } else if has_secrets {
        section.reject("unwrap", "is not \"express\", and secrets are for that alone");
    }
    unwrap
}

/// The keys that say which Redis.
fn redis_server(section: &mut Section<'_>) -> Option<RedisServer> {
    let url = section.required("url", "\"redis://host:6379/0\", or \"rediss://…\" for TLS", redis_url);
    // Redis is close by.
    let timeout = section.optional("timeout", duration("10ms", "10s")).unwrap_or(Duration::from_millis(500));
    let password = section.optional("password", reference);
    let ca = section.optional("ca_file", file);
    section.accept("url", RedisServer::new(&url?, password, ca, timeout))
}

/// A Redis URL without a password.
pub(super) fn redis_url(value: &Value) -> Result<String, String> {
    let text = text(value)?;
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "redis" | "rediss") && url.has_host());
    match url.ok_or("is not of the form \"redis://user@host:6379/0\"")?.password() {
        Some(_) => Err("holds a password; put a reference to it under `password`".to_owned()),
        None => Ok(text),
    }
}

fn jwt(section: &mut Section<'_>) -> Option<Check> {
    let issuer = section.optional("issuer", not_empty);
    let keys = keys(section, issuer.as_deref());
    // Which other keys belong here depends on what verifies.
    section.takes_any_key = keys.is_none();
    Some(Check::Jwt(JwtCheck {
        requirements: requirements(section, issuer),
        leeway: section.optional("leeway", duration("0s", "5m")).map_or(30, |leeway| leeway.as_secs()),
        max_lifetime: section
            .optional("max_lifetime", duration("1s", "3650d"))
            .map_or(400 * 86_400, |most| most.as_secs()),
        user: section.optional("user", parsed).unwrap_or_else(|| Pointer::to("sub")),
        keys: keys?,
    }))
}

fn requirements(section: &mut Section<'_>, issuer: Option<String>) -> ClaimRequirements {
    ClaimRequirements {
        issuer,
        audience: section.optional("audience", list(not_empty)).unwrap_or_default(),
        authorized_parties: section.optional("authorized_parties", list(not_empty)).unwrap_or_default(),
        require: section.optional("require", conditions).unwrap_or_default(),
    }
}

/// What verifies: one key, or a set of them.
fn keys(section: &mut Section<'_>, issuer: Option<&str>) -> Option<Keys> {
    type Decoder = fn(&str) -> Option<Vec<u8>>;
    let encodings: [(_, Decoder); 3] = [
        ("text", |text| Some(text.into())),
        ("base64", |text| STANDARD.decode(text).ok()),
        ("hex", |text| hex::decode(text).ok()),
    ];
    let decode = section.optional("secret_encoding", one_of(encodings)).unwrap_or(encodings[0].1);
    let secret = section.optional("secret", |value| {
        let secret = decode(&reference(value)?).map(Zeroizing::new);
        secret.ok_or_else(|| "is not of its secret_encoding".to_owned())
    });
    let public_key = section.optional("public_key", reference);
    let jwks = section.optional("jwks", key_source);
    let algorithms = section.optional("algs", list(text));
    let algorithms = algorithms.as_deref();
    let given: Vec<_> = ["secret", "public_key", "jwks"].into_iter().filter(|key| section.raw(key).is_some()).collect();
    let key = match given[..] {
        ["secret"] => section.accept("secret", VerificationKey::from_secret(&secret?)),
        ["public_key"] => section.accept("public_key", VerificationKey::from_pem(public_key?.as_bytes())),
        [] if section.raw("issuer").is_some() => {
            let source = issuer.and_then(|issuer| section.accept("issuer", discovery(issuer)));
            return key_set(section, source, algorithms);
        }
        [] => {
            let message = "is missing; give one of secret, public_key, jwks, or an issuer to discover its keys";
            section.reject("secret", message);
            None
        }
        [_, second, ..] => {
            section.reject(second, "is one of several; a rule has one of secret, public_key and jwks");
            None
        }
        [_jwks] => return key_set(section, jwks, algorithms),
    }?;
    match algorithms {
        Some(names) => section.accept("algs", key.with_algorithms(names)).map(Keys::One),
        None => Some(Keys::One(key)),
    }
}

/// Rejects a rule that believes an issuer without saying which of its tokens are meant.
fn require_recipient(section: &Section<'_>) {
    let names_some = |key| section.raw(key).is_some_and(|names| *names != json!([]));
    if !names_some("audience") && !names_some("authorized_parties") {
        let message = "is missing; without audience or authorized_parties, tokens that the issuer gave to other clients \
                       would be accepted";
        section.reject("audience", message);
    }
}

fn key_set(section: &mut Section<'_>, source: Option<KeySource>, algorithms: Option<&[String]>) -> Option<Keys> {
    require_recipient(section);
    let max_stale = section.optional("max_stale", duration("1m", "7d")).unwrap_or(Duration::from_secs(86_400));
    let backend = http_client(section, false);
    let usual = ["RS256".to_owned()];
    let algorithms = section.accept("algs", parse_algorithms(algorithms.unwrap_or(&usual)))?;
    let set = KeySet::new(source?, algorithms, max_stale, backend?).map_err(|fault| format!("has {fault}"));
    section.accept("jwks", set).map(|set| Keys::Set(Arc::new(set)))
}

/// A back end over HTTP that is asked about credentials.
fn backend(section: &mut Section<'_>) -> Option<HttpClient> {
    let reuse_connections = section.optional("reuse_connections", boolean).unwrap_or(false);
    http_client(section, reuse_connections)
}

/// How a back end over HTTP is reached.
fn http_client(section: &mut Section<'_>, reuse_connections: bool) -> Option<HttpClient> {
    let settings = HttpSettings {
        timeout: section.optional("timeout", duration("10ms", "30s")).unwrap_or(Duration::from_secs(2)),
        max_in_flight: max_in_flight(section),
        ca: section.optional("ca_file", file),
        resolve: section.optional("resolve", resolve).unwrap_or_default(),
        reuse_connections,
    };
    section.accept("ca_file", HttpClient::new(settings))
}

fn max_in_flight(section: &mut Section<'_>) -> usize {
    section.optional("max_in_flight", integer(1..=10_000)).unwrap_or(256)
}

/// How long a recognised session is remembered. A logout takes effect after that, so it is short.
fn cache(section: &mut Section<'_>) -> AnswerCache {
    AnswerCache::new(section.optional("cache", duration("0s", "30s")).unwrap_or_default())
}

fn not_empty(value: &Value) -> Result<String, String> {
    matching(value, "text in quotes that is not empty", |text| !text.is_empty())
}

/// A URL that may be shown: without a user and a password.
pub(super) fn url(value: &Value) -> Result<Url, String> {
    let text = text(value)?;
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match url {
        Some(url) if url.username().is_empty() && url.password().is_none() => Ok(url),
        Some(_) => Err("holds a user or a password, which would be logged".to_owned()),
        None if text.contains('@') => Err("is not of the form \"http://…\" or \"https://…\"".to_owned()),
        None => Err(format!("is \"{text}\"; expected \"http://…\" or \"https://…\"")),
    }
}

fn key_source(value: &Value) -> Result<KeySource, String> {
    match value.as_str().and_then(|text| text.strip_prefix("file:")) {
        Some(path) => Ok(KeySource::File(path.into())),
        None => url(value).map(KeySource::Url),
    }
}

/// The keys that an issuer's discovery document leads to.
fn discovery(issuer: &str) -> Result<KeySource, String> {
    let mut url = url(&issuer.into())?;
    url.set_path(&format!("{}/.well-known/openid-configuration", url.path().trim_end_matches('/')));
    Ok(KeySource::Issuer(issuer.to_owned(), url))
}

fn template(variable: &'static str) -> impl FnOnce(&Value) -> Result<KeyTemplate, String> {
    move |value| {
        let template = value.as_str().and_then(|text| KeyTemplate::parse(text, variable));
        let form = format_args!("a literal beginning and {variable} once, as in \"family:{variable}\"");
        expected(template, value, form)
    }
}

/// The content of a file that is not secret.
pub(super) fn file(value: &Value) -> Result<Vec<u8>, String> {
    let path = text(value)?;
    std::fs::read(&path).map_err(|error| format!("cannot read {path}: {error}"))
}

/// `{ "host" = "address:port", … }`
fn resolve(value: &Value) -> Result<Vec<(String, SocketAddr)>, String> {
    let table = expected(value.as_object(), value, "a table such as { \"idp.example.com\" = \"10.0.0.5:443\" }")?;
    table.iter().map(|(host, address)| Ok((host.clone(), parsed(address)?))).collect()
}

/// `{ "/pointer" = value, … }`, where a list holds the values of which one must be there.
pub(super) fn conditions(value: &Value) -> Result<Conditions, String> {
    let table = expected(value.as_object(), value, "a table of pointers and values, such as { \"/code\" = 200 }")?;
    let condition = |(pointer, wanted): (&String, &Value)| {
        let values = wanted.as_array().cloned().unwrap_or_else(|| vec![wanted.clone()]);
        match pointer.parse() {
            Ok(parsed) => Ok((parsed, values)),
            Err(error) => Err(format!("has the key \"{pointer}\"; {error}")),
        }
    };
    table.iter().map(condition).collect::<Result<_, _>>().map(Conditions)
}
