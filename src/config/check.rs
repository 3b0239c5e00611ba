//! The keys of a `[[session]]` table that say what a credential must pass: `check` and all that goes with it.

use std::net::SocketAddr;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::keys::keys;
use super::secret::reference;
use super::section::{Section, boolean, duration, expected, integer, list, matching, one_of, parsed, text};
use crate::client::{HttpSettings, RedisSettings, parse_certificates, parse_redis_url};
use crate::session::{
    CheckSettings, ClaimRequirements, Conditions, CookieEncoding, Decode, HttpCheckSettings, IntrospectSettings,
    JwtSettings, KeyTemplate, Pointer, RedisCheckSettings,
};

/// Reads `check` and the keys that belong to it.
pub(super) fn check(section: &mut Section<'_>) -> Option<CheckSettings> {
    type Kind = fn(&mut Section<'_>) -> Option<CheckSettings>;
    let kinds: [(_, Kind); 4] = [("http", http), ("redis", redis), ("jwt", jwt), ("introspect", introspect)];
    let read = section.required("check", "\"http\", \"redis\", \"jwt\" or \"introspect\"", one_of(kinds));
    section.takes_any_key = read.is_none();
    read?(section)
}

fn http(section: &mut Section<'_>) -> Option<CheckSettings> {
    let url = section.required("url", "the address to ask, such as \"http://backend:8000/me\"", url);
    let user = section.required("user", "where the user's id is in the answer, such as \"/data/id\"", parsed);
    let backend = backend(section);
    let methods = [("GET", Method::GET), ("POST", Method::POST)];
    Some(CheckSettings::Http(HttpCheckSettings {
        method: section.optional("method", one_of(methods)).unwrap_or(Method::GET),
        expires: section.optional("expires", parsed),
        require: section.optional("require", conditions).unwrap_or_default(),
        deny: section.optional("deny", conditions).unwrap_or_default(),
        cache: cache(section),
        url: url?,
        user: user?,
        backend,
    }))
}

fn introspect(section: &mut Section<'_>) -> Option<CheckSettings> {
    let url = section.required("url", "the introspection endpoint", url);
    let client_id = section.required("client_id", "our client's id at the authorization server", not_empty);
    let client_secret = section.required("client_secret", "where our client's secret is", reference);
    let auths = [("client_secret_basic", false), ("client_secret_post", true)];
    let backend = backend(section);
    let issuer = section.optional("issuer", not_empty);
    require_recipient(section);
    Some(CheckSettings::Introspect(IntrospectSettings {
        secret_in_form: section.optional("client_auth", one_of(auths)).unwrap_or(false),
        requirements: requirements(section, issuer),
        user: section.optional("user", parsed).unwrap_or_else(|| Pointer::to("sub")),
        cache: cache(section),
        url: url?,
        client_id: client_id?,
        client_secret: client_secret?,
        backend,
    }))
}

fn redis(section: &mut Section<'_>) -> Option<CheckSettings> {
    let encoding = cookie_encoding(section);
    let key = section.required("key", "the session's key, such as \"sess:{id}\"", template("{id}"));
    let url = section.required("url", "\"redis://host:6379/0\", or \"rediss://…\" for TLS", redis_url);
    let (password, ca) = redis_access(section);
    // Redis is close by.
    let timeout = section.optional("timeout", duration("10ms", "10s")).unwrap_or(Duration::from_millis(500));
    let settings = RedisCheckSettings {
        encoding,
        max_in_flight: max_in_flight(section),
        field: section.optional("field", not_empty),
        min_ttl: section.optional("min_ttl", duration("0s", "1d")).unwrap_or_default(),
        deny_if_exists: section.optional("deny_if_exists", template("{user}")),
        require: section.optional("require", conditions).unwrap_or_default(),
        decode: decode(section),
        server: RedisSettings { url: url?, password, ca, timeout },
        key: key?,
    };
    if !settings.require.0.is_empty() && !matches!(settings.decode, Decode::Json(_)) {
        section.reject("require", "looks into JSON; set decode = \"json\", or leave it out");
    }
    Some(CheckSettings::Redis(settings))
}

/// What a value is: JSON where `user` points into it, text where it does not, unless it is said.
fn decode(section: &mut Section<'_>) -> Decode {
    let default = if section.raw("user").is_some() { "json" } else { "string" };
    let words = [("string", "string"), ("json", "json"), ("java-string", "java-string")];
    let word = section.optional("decode", one_of(words)).unwrap_or(default);
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
            let advice = "give express-session's secret, as in [\"env:SESSION_SECRET\"]; an old one may follow it";
            section.reject("secrets", format_args!("is {found}; {advice}"));
        }
    } else if has_secrets {
        section.reject("unwrap", "is not \"express\", and secrets are for that alone");
    }
    unwrap
}

/// What lets us use a Redis: a password, and the authority of its certificate.
pub(super) fn redis_access(section: &mut Section<'_>) -> (Option<Zeroizing<String>>, Option<Vec<u8>>) {
    let ca = section.optional("ca_file", |value| {
        let pem = file(value)?;
        Ok(parse_certificates(&pem).map(|_| pem)?)
    });
    (section.optional("password", reference), ca)
}

/// A Redis URL without a password.
pub(super) fn redis_url(value: &Value) -> Result<Url, String> {
    parse_redis_url(&text(value)?)
}

fn jwt(section: &mut Section<'_>) -> Option<CheckSettings> {
    let issuer = section.optional("issuer", not_empty);
    let keys = keys(section, issuer.as_deref());
    // Which other keys belong here depends on what verifies.
    section.takes_any_key = keys.is_none();
    let default = JwtSettings::default();
    let settings = JwtSettings {
        requirements: requirements(section, issuer),
        leeway: section.optional("leeway", duration("0s", "5m")).map_or(default.leeway, |leeway| leeway.as_secs()),
        max_lifetime: section
            .optional("max_lifetime", duration("1s", "3650d"))
            .map_or(default.max_lifetime, |most| most.as_secs()),
        user: section.optional("user", parsed).unwrap_or(default.user),
    };
    Some(CheckSettings::Jwt(keys?, settings))
}

fn requirements(section: &mut Section<'_>, issuer: Option<String>) -> ClaimRequirements {
    ClaimRequirements {
        issuer,
        audience: section.optional("audience", list(not_empty)).unwrap_or_default(),
        authorized_parties: section.optional("authorized_parties", list(not_empty)).unwrap_or_default(),
        require: section.optional("require", conditions).unwrap_or_default(),
    }
}

/// Rejects a rule that believes an issuer without saying which of its tokens are meant.
pub(super) fn require_recipient(section: &mut Section<'_>) {
    let names_some = |key| section.raw(key).is_some_and(|names| *names != json!([]));
    if !names_some("audience") && !names_some("authorized_parties") {
        let message = "is missing; without audience or authorized_parties, tokens that the issuer gave to other clients \
                       would be accepted";
        section.reject("audience", message);
    }
}

/// How a back end over HTTP that is asked about credentials is reached.
fn backend(section: &mut Section<'_>) -> HttpSettings {
    let reuse_connections = section.optional("reuse_connections", boolean).unwrap_or(false);
    http_settings(section, reuse_connections)
}

/// How a back end over HTTP is reached.
pub(super) fn http_settings(section: &mut Section<'_>, reuse_connections: bool) -> HttpSettings {
    HttpSettings {
        timeout: section.optional("timeout", duration("10ms", "30s")).unwrap_or(Duration::from_secs(2)),
        max_in_flight: max_in_flight(section),
        authorities: section.optional("ca_file", |value| Ok(parse_certificates(&file(value)?)?)).unwrap_or_default(),
        resolve: section.optional("resolve", resolve).unwrap_or_default(),
        reuse_connections,
    }
}

fn max_in_flight(section: &mut Section<'_>) -> usize {
    section.optional("max_in_flight", integer(1..=10_000)).unwrap_or(256)
}

/// How long a recognised session is remembered. A logout takes effect after that, so it is short.
fn cache(section: &mut Section<'_>) -> Duration {
    section.optional("cache", duration("0s", "30s")).unwrap_or_default()
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

fn template(variable: &'static str) -> impl FnOnce(&Value) -> Result<KeyTemplate, String> {
    move |value| {
        let template = value.as_str().and_then(|text| KeyTemplate::parse(text, variable));
        let form = format_args!("a literal beginning and {variable} once, as in \"family:{variable}\"");
        expected(template, value, form)
    }
}

/// The content of a file that is not secret.
fn file(value: &Value) -> Result<Vec<u8>, String> {
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
