//! The keys of a `[[session]]` table that say what verifies a token's signature.

use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use zeroize::Zeroizing;

use super::check::{http_settings, require_recipient, url};
use super::secret::reference;
use super::section::{Section, duration, list, one_of, text};
use crate::session::{KeySetSettings, KeySource, Keys, VerificationKey, parse_algorithms};

/// Reads what verifies: one key, or a set of them.
pub(super) fn keys(section: &mut Section<'_>, issuer: Option<&str>) -> Option<Keys<KeySetSettings>> {
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

fn key_set(
    section: &mut Section<'_>,
    source: Option<KeySource>,
    algorithms: Option<&[String]>,
) -> Option<Keys<KeySetSettings>> {
    require_recipient(section);
    let max_stale = section.optional("max_stale", duration("1m", "7d")).unwrap_or(Duration::from_secs(86_400));
    let backend = http_settings(section, false);
    let default = ["RS256".to_owned()];
    let algorithms = section.accept("algs", parse_algorithms(algorithms.unwrap_or(&default)))?;
    let settings = KeySetSettings { source: source?, algorithms, max_stale, backend };
    section.accept("jwks", settings.read_file().map_err(|fault| format!("has {fault}")))?;
    Some(Keys::Set(settings))
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
