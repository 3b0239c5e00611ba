//! The keys of a `[[session]]` table that say what a credential must pass: `check` and all that goes with it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use reqwest::{Method, Url};
use serde_json::Value;
use tokio::sync::Semaphore;
use zeroize::Zeroizing;

use super::secret::reference;
use super::section::{Section, duration, integer, list, one_of, parsed, shown, text};
use crate::session::{
    AnswerCache, Backend, Check, Decode, Demands, HttpCheck, IntrospectCheck, JwtCheck, KeySet, KeySource, KeyTemplate,
    Keys, Pointer, RedisCheck, RedisServer, Unwrap, VerificationKey, set_algorithms,
};

const SECOND: Duration = Duration::from_secs(1);
const DAY: Duration = Duration::from_secs(86_400);

/// How long a back end over HTTP may take to answer, where nothing is said.
const HTTP_TIMEOUT: Duration = Duration::from_secs(2);

/// The same for Redis, which is close by.
const REDIS_TIMEOUT: Duration = Duration::from_millis(500);

/// Reads `check` and the keys that belong to it.
pub(super) fn check(section: &mut Section<'_>) -> Option<Check> {
    #[derive(Clone, Copy)]
    enum Kind {
        Jwt,
        Redis,
        Introspect,
        Http,
    }
    let kinds = [("http", Kind::Http), ("redis", Kind::Redis), ("jwt", Kind::Jwt), ("introspect", Kind::Introspect)];
    let kind = section.required("check", "\"http\", \"redis\", \"jwt\" or \"introspect\"", one_of(kinds));
    let Some(kind) = kind else {
        section.leave_rest();
        return None;
    };
    match kind {
        Kind::Jwt => jwt(section).map(Check::Jwt),
        Kind::Redis => redis(section).map(Check::Redis),
        Kind::Introspect => introspect(section).map(Check::Introspect),
        Kind::Http => http(section).map(Check::Http),
    }
}

fn http(section: &mut Section<'_>) -> Option<HttpCheck> {
    let url = section.required("url", "the address to ask, such as \"http://backend:8000/me\"", url);
    let is_post = section.optional("method", one_of([("GET", false), ("POST", true)])).unwrap_or(false);
    let user = section.required("user", "where the user's id is in the answer, such as \"/data/id\"", parsed);
    let backend = backend(section);
    Some(HttpCheck {
        method: if is_post { Method::POST } else { Method::GET },
        expires: section.optional("expires", parsed),
        require: section.optional("require", pointers).unwrap_or_default(),
        deny: section.optional("deny", pointers).unwrap_or_default(),
        cache: cache(section),
        url: url?,
        user: user?,
        backend: backend?,
    })
}

fn introspect(section: &mut Section<'_>) -> Option<IntrospectCheck> {
    let url = section.required("url", "the introspection endpoint", url);
    let client_id = section.required("client_id", "our client's id at the authorization server", not_empty);
    let client_secret = section.required("client_secret", "where our client's secret is", reference);
    let auths = [("client_secret_basic", false), ("client_secret_post", true)];
    let secret_in_form = section.optional("client_auth", one_of(auths)).unwrap_or(false);
    let backend = backend(section);
    Some(IntrospectCheck {
        secret_in_form,
        demands: Demands {
            issuer: section.optional("issuer", not_empty),
            audience: section.optional("audience", list(not_empty)).unwrap_or_default(),
            authorized_parties: section.optional("authorized_parties", list(not_empty)).unwrap_or_default(),
            require: section.optional("require", pointers).unwrap_or_default(),
        },
        user: section.optional("user", parsed).unwrap_or_else(|| Pointer::to("sub")),
        cache: cache(section),
        url: url?,
        client_id: client_id?,
        client_secret: client_secret?,
        backend: backend?,
    })
}

fn redis(section: &mut Section<'_>) -> Option<RedisCheck> {
    let unwrap = unwrap(section);
    let key = section.required("key", "the session's key, such as \"sess:{id}\"", template("{id}"));
    let user = section.optional("user", parsed);
    let decode = decode(section, user);
    let max_in_flight = max_in_flight(section);
    let server = redis_server(section);
    let require = section.optional("require", pointers).unwrap_or_default();
    if !require.is_empty() && !matches!(decode, None | Some(Decode::Json(_))) {
        section.reject("require", "looks into JSON; set decode = \"json\", or leave it out");
    }
    Some(RedisCheck {
        field: section.optional("field", not_empty),
        min_ttl: section.optional("min_ttl", duration(Duration::ZERO..=DAY)).unwrap_or_default(),
        deny_if_exists: section.optional("deny_if_exists", template("{user}")),
        slots: Semaphore::new(max_in_flight),
        server: server?,
        require,
        key: key?,
        decode: decode?,
        unwrap: unwrap?,
    })
}

/// What a value is: JSON where `user` points into it, text where it does not, unless it is said.
fn decode(section: &mut Section<'_>, user: Option<Pointer>) -> Option<Decode> {
    let decoders = [("string", "string"), ("json", "json"), ("java-string", "java-string")];
    let said = section.optional("decode", one_of(decoders));
    match (said, user) {
        (None | Some("json"), Some(user)) => Some(Decode::Json(user)),
        (None | Some("string"), None) => Some(Decode::Text),
        (Some("java-string"), None) => Some(Decode::JavaString),
        (Some("json"), None) => {
            section.reject("user", "is missing; give a pointer to the user in the JSON, such as \"/userId\"");
            None
        }
        (Some(_), Some(_)) => {
            section.reject("user", "points into JSON; the whole value is the user of this decode, so leave it out");
            None
        }
        (Some(_), None) => None,
    }
}

fn unwrap(section: &mut Section<'_>) -> Option<Unwrap> {
    let kinds = [("none", "none"), ("express", "express"), ("base64", "base64")];
    let said = section.has("unwrap");
    let kind = section.optional("unwrap", one_of(kinds)).or((!said).then_some("none"));
    let has_secrets = section.has("secrets");
    let secrets = section.optional("secrets", list(reference));
    if has_secrets && secrets.is_none() {
        return None;
    }
    match (kind?, secrets) {
        ("express", Some(secrets)) if secrets.is_empty() => {
            section.reject(
                "secrets",
                "is empty; give the secret of express-session, the old one behind it while it is rotated",
            );
            None
        }
        ("express", Some(secrets)) => Some(Unwrap::Express(secrets)),
        ("express", None) => {
            section.reject("secrets", "is missing; give the secret of express-session, as in [\"env:SESSION_SECRET\"]");
            None
        }
        (_, Some(_)) => {
            section.reject("secrets", "belongs to unwrap = \"express\"");
            None
        }
        ("base64", None) => Some(Unwrap::Base64),
        (_, None) => Some(Unwrap::None),
    }
}

/// The keys that say which Redis.
fn redis_server(section: &mut Section<'_>) -> Option<RedisServer> {
    let url = section.required("url", "\"redis://host:6379/0\", or \"rediss://…\" for TLS", redis_url);
    let password = section.optional("password", reference);
    let ca = section.optional("ca_file", file);
    let timeout = section.optional("timeout", duration(SECOND / 100..=SECOND * 10)).unwrap_or(REDIS_TIMEOUT);
    accept(section, "url", RedisServer::new(&url?, password, ca, timeout))
}

/// A Redis URL without a password.
pub(super) fn redis_url(value: Value) -> Result<String, String> {
    let text = text(value)?;
    match Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "redis" | "rediss") && url.has_host()) {
        None => Err("is not of the form \"redis://user@host:6379/0\"".to_owned()),
        Some(url) if url.password().is_some() => {
            Err("holds a password; put a reference to it under `password`".to_owned())
        }
        Some(_) => Ok(text),
    }
}

fn jwt(section: &mut Section<'_>) -> Option<JwtCheck> {
    let algorithms = section.optional("algs", list(text));
    let names_clients = section.has("audience") || section.has("authorized_parties");
    let audience = section.optional("audience", list(not_empty));
    let authorized_parties = section.optional("authorized_parties", list(not_empty));
    let mut given = ["secret", "public_key", "jwks", "issuer"].into_iter().filter(|key| section.has(key));
    let given = [given.next(), given.next().filter(|second| *second != "issuer")];
    let issuer = section.optional("issuer", not_empty);
    let secret = section.optional("secret", reference);
    let public_key = section.optional("public_key", reference);
    let jwks = section.optional("jwks", key_source);
    let encodings = [("text", Encoding::Text), ("base64", Encoding::Base64), ("hex", Encoding::Hex)];
    let encoding = section.optional("secret_encoding", one_of(encodings));
    let keys = match given {
        [_, Some(second)] => {
            section.reject(second, "is one of several; a rule has one of secret, public_key and jwks");
            None
        }
        [None, None] => {
            let message = "is missing; give one of secret, public_key, jwks, or an issuer to discover its keys";
            section.reject("secret", message);
            None
        }
        [Some("secret"), _] => secret
            .and_then(|secret| shared_secret(section, &secret, encoding))
            .and_then(|key| one_key(section, key, algorithms)),
        [Some("public_key"), _] => public_key
            .and_then(|pem| accept(section, "public_key", VerificationKey::from_pem(pem.as_bytes())))
            .and_then(|key| one_key(section, key, algorithms)),
        [Some(_), _] => {
            let listed = |names: &Option<Vec<String>>| names.as_ref().is_some_and(|names| !names.is_empty());
            // Names that cannot be read have been told of.
            let unreadable = names_clients && audience.is_none() && authorized_parties.is_none();
            if !listed(&audience) && !listed(&authorized_parties) && !unreadable {
                let message = "is missing; without audience or authorized_parties, tokens that the issuer gave to other \
                               clients would be accepted";
                section.reject("audience", message);
            }
            let discover = |issuer: String| {
                accept(section, "issuer", discovery(&issuer)).map(|url| KeySource::Issuer(issuer, url))
            };
            let source = if given[0] == Some("jwks") { jwks } else { issuer.clone().and_then(discover) };
            source.and_then(|source| key_set(section, source, algorithms))
        }
    };
    let leeway = section.optional("leeway", duration(Duration::ZERO..=SECOND * 300));
    let max_lifetime = section.optional("max_lifetime", duration(SECOND..=DAY * 3650));
    let user = section.optional("user", parsed);
    let require = section.optional("require", pointers);
    if keys.is_none() {
        // Which keys belong here depends on what verifies.
        section.leave_rest();
    }
    Some(JwtCheck {
        demands: Demands {
            issuer,
            audience: audience.unwrap_or_default(),
            authorized_parties: authorized_parties.unwrap_or_default(),
            require: require.unwrap_or_default(),
        },
        leeway: leeway.map_or(30, |leeway| leeway.as_secs()),
        max_lifetime: max_lifetime.unwrap_or(DAY * 400).as_secs(),
        user: user.unwrap_or_else(|| Pointer::to("sub")),
        keys: keys?,
    })
}

fn shared_secret(section: &Section<'_>, secret: &str, encoding: Option<Encoding>) -> Option<VerificationKey> {
    let bytes = encoding.unwrap_or(Encoding::Text).decode(secret).ok_or("is not of its secret_encoding");
    let bytes = accept(section, "secret", bytes)?;
    accept(section, "secret", VerificationKey::from_secret(&bytes))
}

fn one_key(section: &Section<'_>, key: VerificationKey, algorithms: Option<Vec<String>>) -> Option<Keys> {
    match algorithms {
        Some(names) => accept(section, "algs", key.with_algorithms(&names)).map(Keys::One),
        None => Some(Keys::One(key)),
    }
}

fn key_set(section: &mut Section<'_>, source: KeySource, algorithms: Option<Vec<String>>) -> Option<Keys> {
    let backend = backend(section);
    let names = algorithms.unwrap_or_else(|| vec!["RS256".to_owned()]);
    let algorithms = accept(section, "algs", set_algorithms(&names))?;
    let set = KeySet::new(source, algorithms, backend?).map_err(|fault| format!("has {fault}"));
    accept(section, "jwks", set).map(|set| Keys::Set(Arc::new(set)))
}

/// What a result holds; an error is a problem with this key.
fn accept<T>(section: &Section<'_>, key: &str, result: Result<T, impl std::fmt::Display>) -> Option<T> {
    result.map_err(|error| section.reject(key, error.to_string())).ok()
}

/// How a back end over HTTP is reached.
fn backend(section: &mut Section<'_>) -> Option<Backend> {
    let timeout = section.optional("timeout", duration(SECOND / 100..=SECOND * 30)).unwrap_or(HTTP_TIMEOUT);
    let max_in_flight = max_in_flight(section);
    let ca = section.optional("ca_file", file);
    let resolve = section.optional("resolve", resolve).unwrap_or_default();
    accept(section, "ca_file", Backend::new(timeout, max_in_flight, ca, resolve))
}

fn max_in_flight(section: &mut Section<'_>) -> usize {
    let bound = section.optional("max_in_flight", integer(1..=10_000)).unwrap_or(256);
    usize::try_from(bound).unwrap_or(usize::MAX)
}

/// Seconds for which a recognised session is remembered. A logout takes effect after that, so it is short.
fn cache(section: &mut Section<'_>) -> AnswerCache {
    AnswerCache::new(section.optional("cache", duration(Duration::ZERO..=SECOND * 30)).unwrap_or_default())
}

/// How a shared secret is written.
#[derive(Debug, Clone, Copy)]
enum Encoding {
    Text,
    Base64,
    Hex,
}

impl Encoding {
    fn decode(self, text: &str) -> Option<Zeroizing<Vec<u8>>> {
        let bytes = match self {
            Self::Text => Some(text.as_bytes().to_vec()),
            Self::Base64 => STANDARD.decode(text).ok(),
            Self::Hex => hex::decode(text).ok(),
        };
        bytes.map(Zeroizing::new)
    }
}

fn not_empty(value: Value) -> Result<String, String> {
    text(value).and_then(|text| if text.is_empty() { Err("is empty".to_owned()) } else { Ok(text) })
}

/// A URL that may be shown: without a user and a password.
pub(super) fn url(value: Value) -> Result<Url, String> {
    let text = text(value)?;
    let url = Url::parse(&text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    match url {
        Some(url) if url.username().is_empty() && url.password().is_none() => Ok(url),
        Some(_) => Err("holds a user or a password, which would be logged".to_owned()),
        None if text.contains('@') => Err("is not of the form \"http://…\" or \"https://…\"".to_owned()),
        None => Err(format!("is \"{text}\"; expected \"http://…\" or \"https://…\"")),
    }
}

fn key_source(value: Value) -> Result<KeySource, String> {
    match value.as_str().and_then(|text| text.strip_prefix("file:")) {
        Some(path) => Ok(KeySource::File(PathBuf::from(path))),
        None => url(value).map(KeySource::Url),
    }
}

/// Where an issuer has its discovery document.
fn discovery(issuer: &str) -> Result<Url, String> {
    let mut url = url(issuer.into())?;
    url.set_path(&format!("{}/.well-known/openid-configuration", url.path().trim_end_matches('/')));
    Ok(url)
}

fn template(variable: &'static str) -> impl FnOnce(Value) -> Result<KeyTemplate, String> {
    move |value| {
        let template = text(value)?;
        KeyTemplate::parse(&template, variable).ok_or_else(|| {
            format!("is \"{template}\"; expected a literal beginning and {variable} once, as in \"family:{variable}\"")
        })
    }
}

/// The content of a file that is not secret.
pub(super) fn file(value: Value) -> Result<Vec<u8>, String> {
    let path = text(value)?;
    std::fs::read(&path).map_err(|error| format!("cannot read {path}: {error}"))
}

/// `{ "host" = "address:port", … }`
fn resolve(value: Value) -> Result<Vec<(String, SocketAddr)>, String> {
    match value {
        Value::Object(table) => {
            let pair = |(host, address): (String, Value)| parsed(address).map(|address| (host, address));
            table.into_iter().map(pair).collect()
        }
        other => {
            Err(format!("is {}; expected a table such as {{ \"idp.example.com\" = \"10.0.0.5:443\" }}", shown(&other)))
        }
    }
}

/// `{ "/pointer" = value, … }`
fn pointers(value: Value) -> Result<Vec<(Pointer, Value)>, String> {
    match value {
        Value::Object(table) => table
            .into_iter()
            .map(|(pointer, wanted)| match pointer.parse() {
                Ok(parsed) => Ok((parsed, wanted)),
                Err(error) => Err(format!("has the key \"{pointer}\"; {error}")),
            })
            .collect(),
        other => {
            Err(format!("is {}; expected a table of pointers and values, such as {{ \"/code\" = 200 }}", shown(&other)))
        }
    }
}
