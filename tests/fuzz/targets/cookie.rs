//! Any bytes as headers, and any credential as a wrapped one: what comes out was there, and was signed.

#![no_main]

use actix_web::http::header::{HeaderMap, HeaderName, HeaderValue};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use libfuzzer_sys::fuzz_target;
use percent_encoding::percent_decode_str;
use sha2::Sha256;
use std::sync::{Arc, LazyLock};
use usersig::session::InstrumentedRule;
use usersig::http::extract::credential::find;
use usersig::telemetry::metrics::Metrics;
use usersig::session::{CheckSettings, CookieEncoding, CredentialSource, JwtSettings, Keys, Rule, VerificationKey};

const SECRETS: [&str; 2] = ["the secret of now", "the secret of before"];

static RULES: LazyLock<Vec<Arc<InstrumentedRule>>> = LazyLock::new(|| {
    let metrics = Metrics::default();
    let sources = [
        ("bearer", CredentialSource::Bearer),
        ("cookie", CredentialSource::Cookie("connect.sid".to_owned())),
        ("header", CredentialSource::Header("x-token".to_owned())),
    ];
    let rule = |(name, source): (&str, CredentialSource)| {
        let key = VerificationKey::from_secret(&[7; 32]).expect("a secret");
        let settings = Rule {
            name: name.to_owned(),
            source,
            check: CheckSettings::Jwt(Keys::One(key), JwtSettings::default()),
            user_prefix: String::new(),
            deny_users: Vec::new(),
        };
        Arc::new(InstrumentedRule::new(Rule::new(settings).expect("a key needs no client"), &metrics))
    };
    sources.into_iter().map(rule).collect()
});

// A line for the cookie, one for the id, and each further line is a header: `c`, `a` or `t` for its name, and its value.
fuzz_target!(|input: &[u8]| {
    let mut lines = input.split(|byte| *byte == b'\n');
    let mut text = || std::str::from_utf8(lines.next().unwrap_or_default()).unwrap_or_default();
    let (wrapped, id) = (text(), text());
    let mut headers = HeaderMap::new();
    for line in lines {
        let Some((name, value)) = line.split_first() else { continue };
        let name = HeaderName::from_static(match name {
            b'c' => "cookie",
            b'a' => "authorization",
            b't' => "x-token",
            _ => "x-other",
        });
        if let Ok(value) = HeaderValue::from_bytes(value) {
            headers.append(name, value);
        }
    }
    if let Some((watched, Ok(credential))) = find(RULES.iter(), &headers) {
        let text = credential.as_str();
        assert!(!text.is_empty() && text.len() <= 8192 && text.bytes().all(|byte| (b' '..=b'~').contains(&byte)));
        let is_cookie = matches!(watched.rule.source, CredentialSource::Cookie(_));
        assert!(!is_cookie || !text.contains([' ', '"', ',', ';', '\\']), "{text:?}");
        let is_in = |value: &HeaderValue| value.as_bytes().windows(text.len()).any(|part| part == text.as_bytes());
        assert!(headers.iter().any(|(_, value)| is_in(value)));
    }

    let encoding = CookieEncoding::Express(SECRETS.map(|secret| secret.to_owned().into()).to_vec());
    // The id that is believed is one whose signature this target can make.
    if let Ok(id) = encoding.decode(wrapped) {
        let decoded = percent_decode_str(wrapped).decode_utf8().expect("text");
        let signature = decoded.rsplit_once('.').expect("a signature").1;
        let signed = SECRETS.iter().any(|secret| sign(&id, secret) == signature.trim_end_matches('='));
        assert!(signed, "{:?}", wrapped);
    }
    let secret = SECRETS[id.len() % 2];
    let cookie = format!("s:{}.{}", id, sign(id, secret)).replace('%', "%25");
    assert_eq!(encoding.decode(&cookie).as_deref(), Ok(id));
    let foreign = format!("s:{}.{}", id, sign(id, "another")).replace('%', "%25");
    assert!(encoding.decode(&foreign).is_err());
    if let Ok(id) = CookieEncoding::Base64.decode(wrapped) {
        assert_eq!(STANDARD.encode(id.as_bytes()).trim_end_matches('='), wrapped.trim_end_matches('='));
    }
});

fn sign(id: &str, secret: &str) -> String {
    let mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).expect("any key").chain_update(id);
    STANDARD.encode(mac.finalize().into_bytes()).trim_end_matches('=').to_owned()
}
