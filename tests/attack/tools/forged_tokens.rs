//! Hundreds of tokens that nobody may be let in with, made by `PyJWT` and `jwcrypto`, each presented to every rule.

use std::collections::BTreeMap;
use std::io::Write;
use std::net::TcpListener;
use std::process::Stdio;

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::jwks::rsa_jwk;
use crate::support::SESSION_SECRET;
use crate::support::clock::now;
use crate::support::component::python;
use crate::support::keys::{ED25519, P256, RSA, SHARED};
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};

const ISSUER: &str = "https://idp.example.com/realms/a";

/// The rules, and the header that each looks into.
const RULES: [(&str, &str); 5] =
    [("hs", "authorization"), ("rsa", "x-rsa"), ("ec", "x-ec"), ("ed", "x-ed"), ("jwks", "x-jwks")];

fn start() -> Service {
    let rule = |name: &str, from: &str, keys: &str| {
        format!(
            "[[session]]\nname = \"{name}\"\nfrom = \"{from}\"\ncheck = \"jwt\"\nshared_users = true\n{keys}\n\
             issuer = \"{ISSUER}\"\naudience = [\"im\"]\n"
        )
    };
    let config = [
        parts::ONE_APP.to_owned(),
        rule("hs", "bearer", "secret = \"file:{dir}/session.key\""),
        rule("rsa", "header:X-Rsa", "public_key = \"file:{dir}/rsa.pem\""),
        rule("ec", "header:X-Ec", "public_key = \"file:{dir}/ec.pem\""),
        rule("ed", "header:X-Ed", "public_key = \"file:{dir}/ed.pem\""),
        rule("jwks", "header:X-Jwks", "jwks = \"file:{dir}/jwks.json\""),
    ];
    Setup::new(config.concat())
        .file("rsa.pem", &RSA.public_pem)
        .file("ec.pem", &P256.public_pem)
        .file("ed.pem", &ED25519.public_pem)
        .file("jwks.json", json!({"keys": [rsa_jwk(&RSA, "known")]}).to_string())
        .start()
}

/// A token that each rule accepts.
fn right_tokens() -> BTreeMap<&'static str, String> {
    let claims = json!({"sub": "alice", "iss": ISSUER, "aud": "im", "exp": now() + 3600});
    let of = |key: &crate::support::keys::TokenKey, algorithm| key.token(algorithm, claims.clone());
    BTreeMap::from([
        ("hs", of(&SHARED, Algorithm::HS256)),
        ("rsa", of(&RSA, Algorithm::RS256)),
        ("ec", of(&P256, Algorithm::ES256)),
        ("ed", of(&ED25519, Algorithm::EdDSA)),
        ("jwks", RSA.token_of(Algorithm::RS256, r#"{"alg":"RS256","kid":"known"}"#, &claims.to_string())),
    ])
}

/// What the generator makes of our public keys and of tokens that it has overheard.
fn generate(trap: &str) -> Vec<Value> {
    let given = json!({
        "now": now(),
        "issuer": ISSUER,
        "secret": SESSION_SECRET,
        "public": {"rsa": RSA.public_pem, "ec": P256.public_pem, "ed": ED25519.public_pem},
        "signed": right_tokens(),
        "kids": ["known"],
        "trap": trap,
    });
    let mut child = python("attack_tokens.py").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("Python");
    child.stdin.take().expect("a pipe").write_all(given.to_string().as_bytes()).expect("Python reads");
    let output = child.wait_with_output().expect("Python ends");
    assert!(output.status.success(), "the generator failed");
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn no_forged_token_is_accepted_by_any_rule() {
    let trap = TcpListener::bind("127.0.0.1:0").expect("a port");
    trap.set_nonblocking(true).expect("a socket");
    let service = start();
    let tokens = generate(&format!("http://{}", trap.local_addr().expect("an address")));
    let ask = |header: &str, token: &str| {
        let call = service.public.post("/v1/usersig");
        if header == "authorization" { call.bearer(token).send() } else { call.header(header, token).send() }
    };
    let (mut attacks, mut presented, mut families) = (0, 0, BTreeMap::<&str, usize>::new());
    let mut right = Vec::new();
    for made in &tokens {
        let (name, token) = (made["name"].as_str().expect("a name"), made["token"].as_str().expect("a token"));
        if let Some(rule) = made["valid"].as_str() {
            let header = RULES.iter().find(|(known, _)| *known == rule).expect("a rule").1;
            assert_eq!(ask(header, token).ok()["userId"], "alice", "{name}");
            right.push(rule);
            continue;
        }
        attacks += 1;
        *families.entry(name.split(':').next().unwrap_or_default()).or_default() += 1;
        for (rule, header) in RULES {
            let answer = ask(header, token);
            // A rightly signed subject may be no user, or one who gets no ticket; anything else is no session.
            let is_signed = rule == "hs" && name.starts_with("claims: sub ");
            let wanted: &[u16] = if is_signed { &[401, 403, 422] } else { &[401] };
            assert!(wanted.contains(&answer.status), "{rule} answers {} to {name}: {token}", answer.status);
            presented += 1;
        }
    }
    right.sort_unstable();
    assert_eq!(right, ["ec", "ed", "hs", "jwks", "rsa"], "what is right is accepted");
    assert!(trap.accept().is_err(), "a key was fetched from where a token says");
    println!("{attacks} forged tokens presented {presented} times, 0 accepted: {families:?}");
    assert!(attacks >= 200, "{attacks} tokens");
}
