//! Cases 14 to 20: tokens that are forged, for others, out of time, of another kind, or ambiguous; and secrets that are none.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::issuer::{ACCOUNT, IM, ISSUER, Issuer};
use crate::jwks::{ec_jwk, rsa_jwk};
use crate::support::backend::{Backend, Reply};
use crate::support::clock::now;
use crate::support::keys::{ED25519, P256, P384, RSA, SHARED, TokenKey, session, session_with};
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};
use crate::verdict::{allowed, ask, denied, tickets};

/// Sessions are tokens signed with [`RSA`]; keys of the rule can be added behind it.
fn rsa_rule() -> Setup {
    let rule = "[[session]]\nname = \"rsa\"\nfrom = \"bearer\"\ncheck = \"jwt\"\npublic_key = \"file:{dir}/rsa.pem\"\n";
    Setup::new([parts::ONE_APP, rule].concat()).file("rsa.pem", &RSA.public_pem)
}

/// Sessions are tokens of an issuer, its keys in a file.
fn issuer_rule(keys: &[Value], more: &str) -> Setup {
    let rule = "[[session]]\nname = \"set\"\nfrom = \"bearer\"\ncheck = \"jwt\"\njwks = \"file:{dir}/jwks.json\"\nissuer = \"https://idp.example.com\"\n";
    Setup::new([parts::ONE_APP, rule, more].concat()).file("jwks.json", json!({"keys": keys}).to_string())
}

/// Claims that every rule here accepts, with these in their place or beside them; null takes one away.
#[expect(clippy::needless_pass_by_value, reason = "what stands in the parentheses is json!")]
fn claims(change: Value) -> Value {
    let mut claims = json!({
        "sub": "alice", "iss": "https://idp.example.com", "aud": "im", "azp": "web", "exp": now() + 600, "iat": now()
    });
    let object = claims.as_object_mut().expect("an object");
    for (name, value) in change.as_object().expect("an object") {
        match value {
            Value::Null => drop(object.remove(name)),
            value => drop(object.insert(name.clone(), value.clone())),
        }
    }
    claims
}

fn with(service: &Service, token: &str) -> crate::support::client::Answer {
    ask(service, |call| call.bearer(token))
}

#[test]
fn case_14_alg_none_a_public_key_as_secret_and_another_family() {
    let service = rsa_rule().start();
    allowed(&with(&service, &RSA.token(Algorithm::RS256, claims(json!({})))), "alice");
    let body = claims(json!({})).to_string();
    for alg in ["none", "None", "NONE", "", "rs256", "RS256 ", "HS256", "ES256", "RS1"] {
        let header = json!({"alg": alg, "typ": "JWT"}).to_string();
        let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(&header), URL_SAFE_NO_PAD.encode(&body));
        denied(&service, &with(&service, &format!("{message}.")), "check", "alg");
        denied(&service, &with(&service, &RSA.token_of(Algorithm::RS256, &header, &body)), "check", "alg");
    }
    denied(&service, &with(&service, "eyJhbGciOiJub25lIn0.e30"), "check", "not a JSON Web Token");
    for secret in [RSA.public_pem.as_bytes(), RSA.public_pem.trim_end().as_bytes()] {
        let confused = TokenKey::secret(secret).token(Algorithm::HS256, claims(json!({})));
        denied(&service, &with(&service, &confused), "check", "alg");
        let disguised = TokenKey::secret(secret).token_of(Algorithm::HS256, r#"{"alg":"RS256"}"#, &body);
        denied(&service, &with(&service, &disguised), "check", "signature");
    }
    // Neither another length of the same family, unless it is listed, nor another family.
    for (key, algorithm) in [
        (&*RSA, Algorithm::RS512),
        (&*RSA, Algorithm::PS256),
        (&*P256, Algorithm::ES256),
        (&*ED25519, Algorithm::EdDSA),
        (&*SHARED, Algorithm::HS256),
    ] {
        denied(&service, &with(&service, &key.token(algorithm, claims(json!({})))), "check", "alg");
    }
    assert_eq!(tickets(&service), 1);

    let service = Setup::simple().start();
    allowed(&with(&service, &session("alice")), "alice");
    denied(&service, &with(&service, &RSA.token(Algorithm::RS256, claims(json!({})))), "check", "alg");

    // In a set, a key is used for its own algorithm only, and a secret never.
    let secret = json!({"kty": "oct", "kid": "s", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode("a secret that everybody can read, of 40 B")});
    let keys = [rsa_jwk(&RSA, "r"), ec_jwk(&P256, "e"), secret];
    let service = issuer_rule(&keys, "audience = [\"im\"]\nalgs = [\"ES256\", \"ES384\"]\n").start();
    let token = |key: &TokenKey, algorithm, kid: &str| {
        key.token_of(algorithm, &json!({"alg": algorithm, "kid": kid}).to_string(), &body)
    };
    allowed(&with(&service, &token(&P256, Algorithm::ES256, "e")), "alice");
    let everybody = TokenKey::secret(b"a secret that everybody can read, of 40 B");
    for forged in [
        token(&everybody, Algorithm::HS256, "s"),
        token(&everybody, Algorithm::HS256, "e"),
        token(&RSA, Algorithm::RS256, "r"),
        token(&RSA, Algorithm::RS256, "e"),
        token(&P384, Algorithm::ES384, "e"),
        token(&P256, Algorithm::ES256, "r"),
    ] {
        denied(&service, &with(&service, &forged), "check", "no key");
    }
}

#[test]
fn case_15_missing_or_foreign_aud_iss_and_exp() {
    let keys = [ec_jwk(&P256, "e")];
    let token = |change: Value| P256.token(Algorithm::ES256, claims(change));
    let service = issuer_rule(&keys, "audience = [\"im\", \"im2\"]\nalgs = [\"ES256\"]\n").start();
    for aud in [json!("im"), json!(["account", "im2"])] {
        allowed(&with(&service, &token(json!({"aud": aud}))), "alice");
    }
    for aud in [
        json!(null),
        json!("account"),
        json!(["account"]),
        json!(""),
        json!([]),
        json!("IM"),
        json!("im "),
        json!(7),
        json!({"im": true}),
        json!([["im"]]),
    ] {
        denied(&service, &with(&service, &token(json!({"aud": aud}))), "check", "aud");
    }
    for iss in [
        json!(null),
        json!(""),
        json!("https://idp.example.com/"),
        json!("https://evil.example.com"),
        json!(["https://idp.example.com"]),
    ] {
        denied(&service, &with(&service, &token(json!({"iss": iss}))), "check", "iss");
    }
    for exp in [json!(null), json!(""), json!("4102444800"), json!(true), json!([]), json!(-1)] {
        denied(&service, &with(&service, &token(json!({"exp": exp}))), "check", "exp");
    }
    let service = issuer_rule(&keys, "authorized_parties = [\"web\"]\nalgs = [\"ES256\"]\n").start();
    allowed(&with(&service, &token(json!({"aud": "account"}))), "alice");
    for azp in [json!(null), json!("admin-cli"), json!(""), json!(["web"])] {
        denied(&service, &with(&service, &token(json!({"azp": azp}))), "check", "azp");
    }
    // A real provider's token for another resource.
    let issuer = Issuer::start();
    let jwks = issuer.client.url("/realms/a/jwks");
    let rule = format!(
        "[[session]]\nname = \"idp\"\nfrom = \"bearer\"\ncheck = \"jwt\"\njwks = \"{jwks}\"\nissuer = \"{ISSUER}\"\naudience = [\"im\"]\n"
    );
    let service = Setup::new([parts::ONE_APP, &rule].concat()).start();
    allowed(&with(&service, &issuer.login("alice", IM).access), "alice");
    denied(&service, &with(&service, &issuer.login("alice", ACCOUNT).access), "check", "aud");
}

#[test]
fn case_16_out_of_time() {
    let service = rsa_rule().start();
    let token = |change: Value| RSA.token(Algorithm::RS256, claims(change));
    for (change, cause) in [
        (json!({"exp": now() - 60}), "expired"),
        (json!({"exp": 0}), "expired"),
        (json!({"nbf": now() + 600}), "nbf or iat"),
        (json!({"iat": now() + 600}), "nbf or iat"),
        (json!({"nbf": "now"}), "nbf or iat"),
        (json!({"iat": true}), "nbf or iat"),
        (json!({"exp": (now() + 600) * 1000}), "milliseconds"),
        (json!({"exp": u64::MAX}), "milliseconds"),
        (json!({"exp": 1e300}), "exp"),
        (json!({"exp": now() + 401 * 86_400}), "milliseconds"),
    ] {
        denied(&service, &with(&service, &token(change)), "check", cause);
    }
    // Clocks differ by seconds, and some libraries write fractions.
    for change in [
        json!({"exp": now() - 10, "nbf": now() + 10}),
        json!({"exp": f64::from(u32::try_from(now()).expect("before 2106")) + 600.5}),
    ] {
        allowed(&with(&service, &token(change)), "alice");
    }
    let strict = rsa_rule().with("leeway = \"0s\"\nmax_lifetime = \"1h\"\n").start();
    denied(&strict, &with(&strict, &token(json!({"exp": now() - 1}))), "check", "expired");
    denied(&strict, &with(&strict, &token(json!({"exp": now() + 3700}))), "check", "max_lifetime");
}

#[test]
fn case_17_headers_that_bring_their_own_keys() {
    let theirs = Backend::always(Reply::json(json!({"keys": [ec_jwk(&P384, "e")]})));
    let keys = [ec_jwk(&P256, "e")];
    let service = issuer_rule(&keys, "audience = [\"im\"]\nalgs = [\"ES256\", \"ES384\"]\n").start();
    let body = claims(json!({})).to_string();
    for header in [
        json!({"alg": "ES384", "kid": "e", "jku": theirs.url()}),
        json!({"alg": "ES384", "kid": "e", "x5u": theirs.url()}),
        json!({"alg": "ES384", "kid": "e", "jwk": ec_jwk(&P384, "e")}),
        json!({"alg": "ES384", "jwk": ec_jwk(&P384, "e"), "jku": theirs.url()}),
        json!({"alg": "ES384", "kid": format!("{}/jwks", theirs.url())}),
        json!({"alg": "ES384", "kid": "../../../../dev/null"}),
    ] {
        denied(
            &service,
            &with(&service, &P384.token_of(Algorithm::ES384, &header.to_string(), &body)),
            "check",
            "no key",
        );
    }
    for crit in [json!(["exp"]), json!([]), json!(["b64"]), json!(null), json!("exp")] {
        let header = json!({"alg": "ES256", "kid": "e", "crit": crit, "b64": false, "exp": 0}).to_string();
        denied(&service, &with(&service, &P256.token_of(Algorithm::ES256, &header, &body)), "check", "crit");
    }
    assert_eq!((theirs.count(), tickets(&service)), (0, 0), "their keys are not fetched");
    let header = json!({"alg": "ES256", "kid": "e", "jku": theirs.url()}).to_string();
    allowed(&with(&service, &P256.token_of(Algorithm::ES256, &header, &body)), "alice");
}

#[test]
fn case_18_id_and_refresh_tokens() {
    // A rule that would take the audience of the ID token too. The browser's nonce stands in it, as OpenID Connect says.
    let issuer = Issuer::start();
    let jwks = issuer.client.url("/realms/a/jwks");
    let rule = format!(
        "[[session]]\nname = \"idp\"\nfrom = \"bearer\"\ncheck = \"jwt\"\njwks = \"{jwks}\"\nissuer = \"{ISSUER}\"\naudience = [\"im\", \"web\"]\n"
    );
    let service = Setup::new([parts::ONE_APP, &rule].concat()).start();
    let tokens = issuer.login("alice", IM);
    allowed(&with(&service, &tokens.access), "alice");
    denied(&service, &with(&service, &tokens.id), "check", "type");
    denied(&service, &with(&service, &tokens.refresh), "check", "not a JSON Web Token");

    // The words by which Keycloak, Cognito, simplejwt, flask-jwt-extended and the RFCs tell kinds apart.
    let service = Setup::simple().start();
    for claims in [
        json!({"typ": "Refresh"}),
        json!({"typ": "Offline"}),
        json!({"typ": "ID"}),
        json!({"typ": "Logout"}),
        json!({"token_use": "id"}),
        json!({"token_use": "refresh"}),
        json!({"token_type": "refresh"}),
        json!({"token_type": "id_token"}),
        json!({"type": "refresh"}),
        json!({"TokenType": "id-token"}),
    ] {
        let mut claims = claims;
        claims["sub"] = json!("alice");
        denied(&service, &with(&service, &session_with(claims.clone())), "check", "type");
    }
    let body = json!({"sub": "alice", "exp": now() + 600}).to_string();
    let typed = |typ: Value| SHARED.token_of(Algorithm::HS256, &json!({"alg": "HS256", "typ": typ}).to_string(), &body);
    for typ in [
        json!("refresh+jwt"),
        json!("logout+jwt"),
        json!("secevent+jwt"),
        json!("dpop+jwt"),
        json!("JWE"),
        json!(null),
        json!(1),
        json!(""),
    ] {
        denied(&service, &with(&service, &typed(typ)), "check", "type");
    }
    assert_eq!(tickets(&service), 0);
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt"] {
        allowed(&with(&service, &typed(json!(typ))), "alice");
    }
    for claims in
        [json!({"nonce": "the customer's own"}), json!({"token_use": "access"}), json!({"TokenType": "access-token"})]
    {
        let mut claims = claims;
        claims["sub"] = json!("alice");
        allowed(&with(&service, &session_with(claims)), "alice");
    }
}

#[test]
fn case_19_duplicate_names() {
    let service = Setup::simple().start();
    let exp = now() + 600;
    let token = |header: &str, claims: &str| SHARED.token_of(Algorithm::HS256, header, claims);
    let header = r#"{"alg":"HS256"}"#;
    for claims in [
        format!(r#"{{"sub":"alice","exp":{exp},"sub":"bob"}}"#),
        format!(r#"{{"sub":"alice","exp":{exp},"exp":{exp}}}"#),
        format!(r#"{{"sub":"alice","exp":{exp},"a":{{"b":1,"b":2}}}}"#),
        format!(r#"{{"sub":"alice","exp":{exp},"\u0073ub":"bob"}}"#),
        format!(r#"{{"sub":"alice","exp":{exp},"custom":1,"custom":2}}"#),
    ] {
        denied(&service, &with(&service, &token(header, &claims)), "check", "duplicate name");
    }
    let claims = format!(r#"{{"sub":"alice","exp":{exp}}}"#);
    for header in
        [r#"{"alg":"HS256","alg":"none"}"#, r#"{"alg":"none","alg":"HS256"}"#, r#"{"alg":"HS256","kid":"a","kid":"b"}"#]
    {
        denied(&service, &with(&service, &token(header, &claims)), "check", "duplicate name");
    }
    assert_eq!(tickets(&service), 0);
    allowed(&with(&service, &token(header, &claims)), "alice");
}

#[test]
fn case_20_an_empty_or_short_secret() {
    for (secret, words) in [
        ("", "empty"),
        ("short", "5 bytes long and must be 32 or more"),
        ("0123456789012345678901234567890", "31 bytes long and must be 32 or more"),
        (RSA.public_pem.as_str(), "public_key"),
    ] {
        let finished = Setup::simple().file("session.key", secret).refuse();
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains("session") && finished.stderr.contains(words), "{words}: {}", finished.stderr);
    }
    let rule = |more: &str| {
        let express = "[[session]]\nname = \"web\"\nfrom = \"cookie:connect.sid\"\ncheck = \"redis\"\nunwrap = \"express\"\n\
                       url = \"redis://127.0.0.1\"\nkey = \"sess:{id}\"\nuser = \"/user\"\n";
        Setup::new([parts::ONE_APP, express, more].concat()).env("EMPTY", "")
    };
    for (secrets, words) in
        [("secrets = []\n", "is empty"), ("secrets = [\"env:EMPTY\"]\n", "empty"), ("", "is missing")]
    {
        let finished = rule(secrets).refuse();
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains("secrets") && finished.stderr.contains(words), "{words}: {}", finished.stderr);
    }
}
