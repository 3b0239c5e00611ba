//! Which keys of a set are used, which sets are believed, and how many may wait for one.

use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::issuer::ISSUER;
use crate::jwks::{ec_jwk, rsa_jwk};
use crate::support::backend::{Backend, Reply};
use crate::support::client::Answer;
use crate::support::clock::{eventually, now};
use crate::support::keys::{P256, P384, RSA, TokenKey};
use crate::support::proxy::{Proxy, Weather};
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::tls::{Authority, Nginx};
use crate::verdict::{allowed, ask, checks, denied, tickets, unavailable};

/// A rule for tokens of an issuer whose keys are where `keys` says.
fn rule(keys: &str) -> Setup {
    let rule = format!("[[session]]\nname = \"set\"\nfrom = \"bearer\"\ncheck = \"jwt\"\naudience = [\"im\"]\n{keys}");
    Setup::new([parts::ONE_APP, &rule].concat())
}

/// A token of `issuer` that names its key so.
fn token(key: &TokenKey, algorithm: Algorithm, issuer: &str, kid: &str) -> String {
    let claims = json!({"sub": "alice", "iss": issuer, "aud": "im", "exp": now() + 600}).to_string();
    key.token_of(algorithm, &json!({"alg": algorithm, "kid": kid}).to_string(), &claims)
}

/// A key with these members in their place or beside them.
#[expect(clippy::needless_pass_by_value, reason = "what stands in the parentheses is json!")]
fn with(mut jwk: Value, members: Value) -> Value {
    for (name, value) in members.as_object().expect("an object") {
        jwk[name] = value.clone();
    }
    jwk
}

#[test]
fn keys_that_are_not_for_verifying_are_skipped() {
    let of = |service: &Service, key: &TokenKey, algorithm, kid| -> Answer {
        ask(service, |call| call.bearer(&token(key, algorithm, ISSUER, kid)))
    };
    let keys = [
        ec_jwk(&P256, "good"),
        with(ec_jwk(&P256, "verify"), json!({"key_ops": ["verify"]})),
        with(ec_jwk(&P256, "enc"), json!({"use": "enc"})),
        with(ec_jwk(&P256, "ops"), json!({"key_ops": ["sign", "deriveKey"]})),
        with(ec_jwk(&P256, "alg"), json!({"alg": "ES384"})),
        json!({"kty": "oct", "kid": "oct", "k": "YSBzZWNyZXQgdGhhdCBldmVyeWJvZHkgY2FuIHJlYWQ"}),
    ];
    let file = |keys: &[Value], algorithm: &str| {
        let setup = rule(&format!("jwks = \"file:{{dir}}/jwks.json\"\nalgs = [\"{algorithm}\"]\n"));
        setup.file("jwks.json", json!({"keys": keys}).to_string()).start()
    };
    let service = file(&keys, "ES256");
    for kid in ["good", "verify"] {
        allowed(&of(&service, &P256, Algorithm::ES256, kid), "alice");
    }
    for kid in ["enc", "ops", "alg", "oct"] {
        denied(&service, &of(&service, &P256, Algorithm::ES256, kid), "check", "no key of the key set");
    }
    // A modulus of 1024 bits. A signature by it would be looked at if it were used.
    let short = with(rsa_jwk(&RSA, "short"), json!({"n": "z".repeat(170) + "w"}));
    let service = file(&[rsa_jwk(&RSA, "good"), short, with(rsa_jwk(&RSA, "enc"), json!({"use": "enc"}))], "RS256");
    allowed(&of(&service, &RSA, Algorithm::RS256, "good"), "alice");
    for kid in ["short", "enc"] {
        denied(&service, &of(&service, &RSA, Algorithm::RS256, kid), "check", "no key of the key set");
    }
}

#[test]
fn a_key_that_is_published_with_its_private_parts_is_not_used_and_named() {
    let keys = [ec_jwk(&P256, "good"), with(ec_jwk(&P256, "leaked"), json!({"d": "c2VjcmV0LXBhcnQ"}))];
    let setup = rule("jwks = \"file:{dir}/jwks.json\"\nalgs = [\"ES256\"]\n");
    let setup = setup.file("jwks.json", json!({"keys": keys}).to_string());
    let probed = setup.run(&["check", "--probe"]).finish();
    let line = "1 usable key(s), to be used for 60s; not used: kid \"leaked\": has private parts";
    assert!(probed.code == Some(0) && probed.stdout.contains(line), "{probed:?}");
    let service = setup.start();
    let get = |kid: &str| ask(&service, |call| call.bearer(&token(&P256, Algorithm::ES256, ISSUER, kid)));
    allowed(&get("good"), "alice");
    denied(&service, &get("leaked"), "check", "no key of the key set");
    let log = service.stop();
    let warnings: Vec<_> = log.iter().filter(|event| event["level"] == "WARN").collect();
    assert_eq!(warnings.len(), 1, "one a fetch: {log:?}");
    assert_eq!(warnings[0]["not_used"], "kid \"leaked\": has private parts", "{log:?}");
    assert!(log.iter().all(|event| !event.to_string().contains("c2VjcmV0LXBhcnQ")), "{log:?}");
}

#[test]
fn a_token_without_kid_is_tried_with_four_keys_at_most() {
    // Points that nobody has the private half of, and that are of another algorithm.
    let other = |kid: &str| with(ec_jwk(&P256, kid), json!({"y": "A".repeat(43)}));
    let set = |others: &[&str]| {
        let others = others.iter().map(|kid| other(kid));
        let keys: Vec<_> = [ec_jwk(&P384, "unfit"), rsa_jwk(&RSA, "unfit")].into_iter().chain(others).collect();
        let keys = [keys, vec![ec_jwk(&P256, "last")]].concat();
        let setup = rule("jwks = \"file:{dir}/jwks.json\"\nalgs = [\"ES256\", \"ES384\"]\n");
        setup.file("jwks.json", json!({"keys": keys}).to_string()).start()
    };
    let claims = json!({"sub": "alice", "aud": "im", "exp": now() + 600}).to_string();
    let nameless = P256.token_of(Algorithm::ES256, r#"{"alg":"ES256"}"#, &claims);
    let service = set(&["a", "b", "c"]);
    allowed(&ask(&service, |call| call.bearer(&nameless)), "alice");
    let service = set(&["a", "b", "c", "d"]);
    denied(&service, &ask(&service, |call| call.bearer(&nameless)), "check", "signature");
    let named = token(&P256, Algorithm::ES256, ISSUER, "last");
    allowed(&ask(&service, |call| call.bearer(&named)), "alice");
}

#[test]
fn an_id_token_of_a_key_set_is_known_by_its_nonce() {
    let setup = rule("jwks = \"file:{dir}/jwks.json\"\nalgs = [\"ES256\"]\n");
    let service = setup.file("jwks.json", json!({"keys": [ec_jwk(&P256, "good")]}).to_string()).start();
    let of = |claims: Value| {
        let claims = with(claims, json!({"sub": "alice", "aud": "im", "exp": now() + 600, "nonce": "n-0S6_WzA2Mj"}));
        ask(&service, |call| call.bearer(&P256.token(Algorithm::ES256, claims)))
    };
    denied(&service, &of(json!({})), "check", "type");
    allowed(&of(json!({"scp": "im"})), "alice");
}

#[test]
fn a_file_without_a_usable_key_is_a_problem_of_the_configuration() {
    for (content, words) in [
        (json!({"keys": []}), "none of its 0 keys can be used"),
        (
            json!({"keys": [ec_jwk(&P384, "a")]}),
            "none of its 1 keys can be used with the rule's algs (kid \"a\": fits none",
        ),
        (json!({}), "it has no keys array"),
        (json!([]), "it is not a JSON object"),
    ] {
        let setup = rule("jwks = \"file:{dir}/jwks.json\"\nalgs = [\"ES256\"]\n");
        let finished = setup.file("jwks.json", content.to_string()).refuse();
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains(&format!("session[0].jwks: has no usable key set: {words}")), "{finished:?}");
    }
}

#[test]
fn a_discovery_document_of_another_issuer_is_not_believed() {
    let keys = Backend::always(Reply::json(json!({"keys": [ec_jwk(&P256, "good")]})));
    let discovery = Backend::always(Reply::new(404, ""));
    let named = |issuer: String| {
        let document = json!({"issuer": issuer, "jwks_uri": keys.url()});
        discovery.set(move |_| Reply::json(document.clone()));
        rule(&format!("issuer = \"{}\"\nalgs = [\"ES256\"]\n", discovery.url())).start()
    };
    let get = |service: &Service| {
        let token = token(&P256, Algorithm::ES256, &discovery.url(), "good");
        ask(service, |call| call.bearer(&token))
    };
    for other in ["https://another.example.com".to_owned(), format!("{}/", discovery.url()), String::new()] {
        let service = named(other);
        unavailable(&service, &get(&service), "issuer is not exactly the rule's");
        assert_eq!((keys.count(), tickets(&service)), (0, 0));
    }
    allowed(&get(&named(discovery.url())), "alice");
}

#[test]
fn keys_by_http_of_an_issuer_by_https_are_not_fetched() {
    let keys = Backend::always(Reply::json(json!({"keys": [ec_jwk(&P256, "good")]})));
    let authority = Authority::new();
    let (certificate, key) = authority.certify("idp.example.com");
    let document = json!({"issuer": ISSUER, "jwks_uri": keys.url()});
    let nginx = Nginx::start(&format!(
        "server {{ listen 127.0.0.1:PORT ssl; ssl_certificate {certificate}; ssl_certificate_key {key}; \
         location / {{ default_type application/json; return 200 '{document}'; }} }}"
    ));
    let service = rule(&format!(
        "issuer = \"{ISSUER}\"\nalgs = [\"ES256\"]\nca_file = \"{}\"\nresolve = {{ \"idp.example.com\" = \"{}\" }}\n",
        authority.ca_file(),
        nginx.address
    ))
    .start();
    let token = token(&P256, Algorithm::ES256, ISSUER, "good");
    unavailable(&service, &ask(&service, |call| call.bearer(&token)), "not a URL as secure as the issuer's");
    assert_eq!((keys.count(), tickets(&service)), (0, 0));
}

#[test]
fn no_more_wait_for_a_key_than_the_rule_allows() {
    let keys = Backend::always(Reply::json(json!({"keys": [ec_jwk(&P256, "good")]})));
    let proxy = Proxy::to(keys.address);
    proxy.set(Weather::BlackHole);
    let set =
        format!("jwks = \"http://{}/\"\nalgs = [\"ES256\"]\ntimeout = \"30s\"\nmax_in_flight = 2\n", proxy.address);
    let service = rule(&set).start();
    let token = token(&P256, Algorithm::ES256, ISSUER, "good");
    let mut waiting = [(); 5].map(|()| {
        let mut connection = service.public.connect();
        connection.send(format!("POST /v1/usersig HTTP/1.1\r\nhost: h\r\nauthorization: Bearer {token}\r\n\r\n"));
        connection
    });
    eventually("three are too many", || (checks(&service, "set", "fault") == 3).then_some(()));
    proxy.set(Weather::Fair);
    let answers = waiting.each_mut().map(|connection| connection.read().expect("an answer"));
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 2);
    for answer in answers.iter().filter(|answer| answer.status != 200) {
        unavailable(&service, answer, "max_in_flight");
    }
}
