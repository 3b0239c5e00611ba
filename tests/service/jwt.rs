//! The `jwt` check with one key: what a token must be, one test a rule.

use std::net::TcpListener;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};

use crate::support::SESSION_SECRET;
use crate::support::clock::now;
use crate::support::keys::{ED25519, P256, P384, RSA, SHARED, TokenKey, session, session_with};
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};

/// A service with one rule on the shared secret, and these keys of the rule beside it.
fn start(rule: &str) -> Service {
    Setup::new([parts::ONE_APP, parts::BEARER, rule].concat()).start()
}

/// A service with one rule on a public key.
fn start_with_public_key(pem: &str, rule: &str) -> Service {
    let config = [parts::ONE_APP, "[[session]]\nname = \"token\"\nfrom = \"bearer\"\ncheck = \"jwt\"\n", rule].concat();
    Setup::new(config + "public_key = \"file:{dir}/public.pem\"\n").file("public.pem", pem).start()
}

#[track_caller]
fn accepted(service: &Service, token: &str) {
    let answer = service.public.post("/v1/usersig").bearer(token).send();
    assert_eq!(answer.ok()["userId"], "alice");
}

#[track_caller]
fn refused(service: &Service, token: &str, cause: &str) {
    let answer = service.public.post("/v1/usersig").bearer(token).send();
    answer.refused(401, "invalid_session");
    let event = service.audit(answer.request_id());
    let told = event["cause"].as_str().unwrap_or_default();
    assert!(told.contains(cause), "refused for another reason: {event}");
}

/// Claims that every rule here accepts, with these beside or instead.
fn claims(others: Value) -> Value {
    let mut claims = json!({"sub": "alice", "exp": now() + 3600});
    let Value::Object(others) = others else { panic!("claims are an object") };
    claims.as_object_mut().expect("an object").extend(others);
    claims
}

/// A token of the shared secret with [`claims`].
fn token(others: Value) -> String {
    SHARED.token(Algorithm::HS256, claims(others))
}

/// A token of the shared secret with this header beside `alg`.
fn token_with_header(others: Value) -> String {
    let mut header = json!({"alg": "HS256"});
    let Value::Object(others) = others else { panic!("a header is an object") };
    header.as_object_mut().expect("an object").extend(others);
    SHARED.token_of(Algorithm::HS256, &header.to_string(), &claims(json!({})).to_string())
}

mod signature {
    use super::*;

    #[test]
    fn every_family_verifies_by_its_own_algorithms_and_no_other() {
        let all = [
            "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA",
        ];
        let rsa = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"];
        let keys: [(&TokenKey, &[&str]); 5] = [
            (&SHARED, &["HS256", "HS384", "HS512"]),
            (&RSA, &rsa),
            (&P256, &["ES256"]),
            (&P384, &["ES384"]),
            (&ED25519, &["EdDSA"]),
        ];
        for (key, fitting) in keys {
            for configured in fitting {
                let rule = format!("algs = [\"{configured}\"]\n");
                let service = match key.public_pem.as_str() {
                    "" => start(&rule),
                    pem => start_with_public_key(pem, &rule),
                };
                for name in fitting {
                    let algorithm: Algorithm = name.parse().expect("an algorithm");
                    let token = key.token(algorithm, claims(json!({})));
                    if name == configured {
                        accepted(&service, &token);
                    } else {
                        refused(&service, &token, "alg");
                    }
                }
                for foreign in all.iter().filter(|name| !fitting.contains(name)) {
                    // The header names an algorithm of another family; the signature is a good one of this key.
                    let header = json!({"alg": foreign}).to_string();
                    let own: Algorithm = configured.parse().expect("an algorithm");
                    refused(&service, &key.token_of(own, &header, &claims(json!({})).to_string()), "alg");
                }
            }
        }
    }

    #[test]
    fn several_algorithms_of_one_family_can_be_allowed() {
        let service = start_with_public_key(&RSA.public_pem, "algs = [\"RS256\", \"PS384\"]\n");
        for (algorithm, is_allowed) in [(Algorithm::RS256, true), (Algorithm::PS384, true), (Algorithm::PS256, false)] {
            let token = RSA.token(algorithm, claims(json!({})));
            if is_allowed { accepted(&service, &token) } else { refused(&service, &token, "alg") }
        }
    }

    #[test]
    fn alg_none_is_refused() {
        let services = [start(""), start_with_public_key(&RSA.public_pem, "")];
        for none in ["none", "None", "NONE", "nOnE", "", " none"] {
            let header = URL_SAFE_NO_PAD.encode(json!({"alg": none}).to_string());
            let claims = URL_SAFE_NO_PAD.encode(claims(json!({})).to_string());
            for service in &services {
                refused(service, &format!("{header}.{claims}."), "alg");
                refused(service, &format!("{header}.{claims}"), "");
                refused(service, &format!("{header}.{claims}.AAAA"), "alg");
            }
        }
        for header in [
            json!({}),
            json!({"alg": null}),
            json!({"alg": ["HS256"]}),
            json!({"alg": "hs256"}),
            json!({"alg": "HS257"}),
        ] {
            let token = SHARED.token_of(Algorithm::HS256, &header.to_string(), &claims(json!({})).to_string());
            refused(&services[0], &token, "alg");
        }
    }

    #[test]
    fn rs_to_hs_confusion_is_refused() {
        for key in [&*RSA, &*P256, &*ED25519] {
            let service = start_with_public_key(&key.public_pem, "");
            // What everybody can read, used as if it were the shared secret.
            let pem = &key.public_pem;
            let der: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
            for secret in [pem.as_bytes(), pem.trim_end().as_bytes(), &STANDARD.decode(&der).expect("base64"), b""] {
                for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
                    refused(&service, &TokenKey::secret(secret).token(algorithm, claims(json!({}))), "alg");
                }
            }
        }
    }

    #[test]
    fn another_key_of_the_same_kind_is_refused() {
        let service = start("");
        let other = TokenKey::secret(b"another secret that is long enough to be one");
        refused(&service, &other.token(Algorithm::HS256, claims(json!({}))), "signature");
        refused(&service, &TokenKey::secret(b"").token(Algorithm::HS256, claims(json!({}))), "signature");
        let service = start_with_public_key(&RSA.public_pem, "");
        let other = TokenKey::rsa(aws_lc_rs::rsa::KeySize::Rsa2048);
        refused(&service, &other.token(Algorithm::RS256, claims(json!({}))), "signature");
    }

    #[test]
    fn a_signature_by_another_algorithm_than_the_header_s_is_refused() {
        let service = start("algs = [\"HS256\", \"HS512\"]\n");
        let token = SHARED.token_of(Algorithm::HS512, r#"{"alg":"HS256"}"#, &claims(json!({})).to_string());
        refused(&service, &token, "signature");
    }

    #[test]
    fn a_changed_token_is_refused() {
        let service = start("");
        let token = token(json!({}));
        accepted(&service, &token);
        let parts: Vec<_> = token.split('.').collect();
        let boss = URL_SAFE_NO_PAD.encode(claims(json!({"sub": "boss"})).to_string());
        for changed in [
            format!("{}.{boss}.{}", parts[0], parts[2]),
            format!("{}.{}.", parts[0], parts[1]),
            format!("{}.{}", parts[0], parts[1]),
            format!("{}.{}.{}", parts[0], parts[1], &parts[2][..40]),
            format!("{token}="),
            format!("{token}."),
            format!(".{token}"),
            format!("{token}.{}", parts[2]),
            format!("{token}A"),
            format!("{} {}", &token[..20], &token[20..]),
            format!("{}.{}.{}", parts[0], parts[1], parts[2].to_ascii_lowercase()),
            format!("{}.{}.{}", parts[1], parts[0], parts[2]),
            token.replace('.', ","),
            token[1..].to_owned(),
            "a.b.c".to_owned(),
            "..".to_owned(),
            "null".to_owned(),
            "{}".to_owned(),
        ] {
            refused(&service, &changed, "");
        }
        for (place, letter) in token.char_indices().filter(|(_, letter)| *letter != '.') {
            let mut changed = token.clone();
            changed.replace_range(place..=place, if letter == 'A' { "B" } else { "A" });
            let answer = service.public.post("/v1/usersig").bearer(&changed).send();
            assert_eq!(answer.status, 401, "{place}");
        }
    }

    #[test]
    fn the_secret_may_be_written_in_base64_or_hex() {
        let bytes = SESSION_SECRET.as_bytes();
        for (encoding, text) in
            [("base64", STANDARD.encode(bytes)), ("hex", hex::encode(bytes)), ("text", SESSION_SECRET.to_owned())]
        {
            let rule = format!("secret_encoding = \"{encoding}\"\n");
            let service = Setup::new([parts::ONE_APP, parts::BEARER, &rule].concat()).file("session.key", text).start();
            accepted(&service, &session("alice"));
        }
    }
}

mod header {
    use super::*;

    #[test]
    fn crit_is_refused() {
        let service = start("");
        for crit in [json!(["b64"]), json!(["exp"]), json!([]), json!("exp"), json!(null)] {
            refused(&service, &token_with_header(json!({"crit": crit, "b64": false})), "crit");
        }
    }

    #[test]
    fn a_key_that_the_token_brings_along_is_never_looked_at() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        listener.set_nonblocking(true).expect("a socket of ours");
        let url = format!("http://{}/jwks.json", listener.local_addr().expect("an address"));
        let service = start_with_public_key(&RSA.public_pem, "");
        let attacker = TokenKey::rsa(aws_lc_rs::rsa::KeySize::Rsa2048);
        let jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&attacker.private, Algorithm::RS256).expect("a JWK");
        let headers = [
            json!({"alg": "RS256", "jwk": jwk}),
            json!({"alg": "RS256", "jku": url, "kid": "1"}),
            json!({"alg": "RS256", "x5u": url}),
            json!({"alg": "RS256", "x5c": [attacker.public_pem.lines().nth(1)], "x5t": "a"}),
            json!({"alg": "RS256", "kid": "../../../../dev/null"}),
        ];
        for header in headers {
            let claims = claims(json!({})).to_string();
            refused(&service, &attacker.token_of(Algorithm::RS256, &header.to_string(), &claims), "signature");
            accepted(&service, &RSA.token_of(Algorithm::RS256, &header.to_string(), &claims));
        }
        assert!(listener.accept().is_err(), "the service asked where the token told it to");
    }

    #[test]
    fn a_type_that_is_not_for_access_is_refused() {
        let service = start("");
        for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"] {
            accepted(&service, &token_with_header(json!({"typ": typ})));
        }
        for typ in
            ["rt+jwt", "refresh+jwt", "id_token+jwt", "logout+jwt", "dpop+jwt", "secevent+jwt", "JWE", "", "JWT2"]
        {
            refused(&service, &token_with_header(json!({"typ": typ})), "type");
        }
        for typ in [json!(null), json!(7), json!(["JWT"])] {
            refused(&service, &token_with_header(json!({"typ": typ})), "type");
        }
    }

    #[test]
    fn duplicate_names_are_refused() {
        let service = start("");
        for header in [
            r#"{"alg":"HS256","alg":"HS256"}"#,
            r#"{"alg":"none","alg":"HS256"}"#,
            r#"{"alg":"HS256","typ":"JWT","typ":"at+jwt"}"#,
            r#"{"alg":"HS256","\u0061lg":"HS256"}"#,
        ] {
            refused(
                &service,
                &SHARED.token_of(Algorithm::HS256, header, &claims(json!({})).to_string()),
                "duplicate name",
            );
        }
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        let service = start("");
        for header in ["", "null", "[]", "\"HS256\"", "{", "{\"alg\":\"HS256\"} x", "\u{feff}{\"alg\":\"HS256\"}"] {
            refused(&service, &SHARED.token_of(Algorithm::HS256, header, &claims(json!({})).to_string()), "");
        }
    }
}

mod time {
    use super::*;

    #[test]
    fn exp_is_required_and_a_time() {
        let service = start("");
        refused(&service, &SHARED.token(Algorithm::HS256, json!({"sub": "alice"})), "exp");
        for exp in [
            json!(null),
            json!("never"),
            json!((now() + 3600).to_string()),
            json!(true),
            json!([now() + 3600]),
            json!(-1),
        ] {
            refused(&service, &token(json!({"exp": exp})), "exp");
        }
    }

    #[test]
    fn an_expired_token_is_refused() {
        let service = start("");
        for exp in [json!(0), json!(1), json!(now() - 3600), json!(1.5), json!(now() - 31)] {
            refused(&service, &token(json!({"exp": exp})), "expired");
        }
    }

    #[test]
    fn leeway_is_what_clocks_may_differ() {
        let service = start("leeway = \"300s\"\n");
        accepted(&service, &token(json!({"exp": now() - 60, "nbf": now() + 200, "iat": now() + 200})));
        refused(&service, &token(json!({"exp": now() - 301})), "expired");
        refused(&service, &token(json!({"nbf": now() + 900})), "nbf");
        let strict = start("leeway = \"0s\"\n");
        refused(&strict, &token(json!({"exp": now()})), "expired");
        refused(&strict, &token(json!({"nbf": now() + 100})), "nbf");
        accepted(&strict, &token(json!({"nbf": now() - 1, "iat": now() - 1})));
    }

    #[test]
    fn future_nbf_or_iat_is_refused() {
        let service = start("");
        for name in ["nbf", "iat"] {
            accepted(&service, &token(json!({name: now() - 1})));
            accepted(&service, &token(json!({name: 0})));
            refused(&service, &token(json!({name: now() + 900})), name);
            refused(&service, &token(json!({name: now() * 1000})), name);
            for no_time in [json!("now"), json!(null), json!(true), json!(-1)] {
                refused(&service, &token(json!({name: no_time})), name);
            }
        }
    }

    #[test]
    fn exp_in_milliseconds_is_refused() {
        let service = start("");
        refused(&service, &token(json!({"exp": (now() + 3600) * 1000})), "milliseconds");
    }

    #[test]
    fn exp_beyond_max_lifetime_is_refused() {
        let day = 86_400;
        let service = start("");
        accepted(&service, &token(json!({"exp": now() + 399 * day})));
        refused(&service, &token(json!({"exp": now() + 401 * day})), "max_lifetime");
        refused(&service, &token(json!({"exp": u64::MAX})), "max_lifetime");
        refused(&service, &token(json!({"exp": 1e300})), "");
        let short = start("max_lifetime = \"1h\"\n");
        accepted(&short, &token(json!({"exp": now() + 3000})));
        refused(&short, &token(json!({"exp": now() + 4000})), "max_lifetime");
    }

    #[test]
    fn times_may_have_fractions() {
        let service = start("");
        let seconds = |seconds: u64| f64::from(u32::try_from(seconds).expect("before 2106")) + 0.75;
        accepted(&service, &token(json!({"exp": seconds(now() + 3600), "iat": seconds(now() - 5)})));
    }
}

mod claim {
    use super::*;

    #[test]
    fn iss_must_be_the_issuer_exactly() {
        let service = start("issuer = \"https://idp.example.com/realms/a\"\n");
        accepted(&service, &token(json!({"iss": "https://idp.example.com/realms/a"})));
        refused(&service, &token(json!({})), "iss");
        for iss in [
            json!("https://idp.example.com/realms/a/"),
            json!("https://idp.example.com/realms/A"),
            json!("https://idp.example.com/realms/b"),
            json!("https://evil.example/realms/a"),
            json!(["https://idp.example.com/realms/a"]),
            json!(""),
            json!(null),
        ] {
            refused(&service, &token(json!({"iss": iss})), "iss");
        }
        accepted(&start(""), &token(json!({"iss": "anybody"})));
    }

    #[test]
    fn aud_must_name_one_of_the_audience() {
        let service = start("audience = [\"im\", \"chat\"]\n");
        for aud in [json!("im"), json!(["chat"]), json!(["account", "im"])] {
            accepted(&service, &token(json!({"aud": aud})));
        }
        refused(&service, &token(json!({})), "aud");
        for aud in [
            json!("account"),
            json!(["account"]),
            json!("IM"),
            json!("im "),
            json!("im chat"),
            json!([]),
            json!(""),
            json!(null),
            json!([["im"]]),
            json!({"im": 1}),
        ] {
            refused(&service, &token(json!({"aud": aud})), "aud");
        }
        accepted(&start(""), &token(json!({"aud": "somebody else"})));
    }

    #[test]
    fn azp_must_be_one_of_the_authorized_parties() {
        let service = start("authorized_parties = [\"web\", \"app\"]\n");
        accepted(&service, &token(json!({"azp": "web"})));
        accepted(&service, &token(json!({"azp": "app", "aud": "account"})));
        refused(&service, &token(json!({})), "azp");
        refused(&service, &token(json!({"aud": "web", "client_id": "web"})), "azp");
        for azp in [json!("cli"), json!("Web"), json!(""), json!(null), json!(["web"])] {
            refused(&service, &token(json!({"azp": azp})), "azp");
        }
    }

    #[test]
    fn refresh_id_and_logout_tokens_are_refused() {
        let service = start("");
        for kind in [
            json!({"typ": "Refresh"}),        // Keycloak
            json!({"typ": "Offline"}),        // Keycloak
            json!({"typ": "ID"}),             // Keycloak
            json!({"typ": "Logout"}),         // Keycloak
            json!({"token_use": "id"}),       // Cognito
            json!({"token_type": "refresh"}), // simplejwt
            json!({"type": "refresh"}),       // flask-jwt-extended
        ] {
            refused(&service, &token(kind), "type");
        }
        refused(&service, &token(json!({"cnf": {"jkt": "a thumbprint"}})), "cnf");
    }

    #[test]
    fn claims_of_an_id_token_count_under_an_issuer() {
        let own = start("");
        let provider = start("issuer = \"https://idp.example.com\"\n");
        for (name, value) in [("nonce", "n-0S6_WzA2Mj"), ("at_hash", "77QmUPtjPfzWtF2AnpK9RQ"), ("c_hash", "a hash")] {
            accepted(&own, &token(json!({name: value})));
            refused(&provider, &token(json!({"iss": "https://idp.example.com", name: value})), "type");
            accepted(&provider, &token(json!({"iss": "https://idp.example.com", name: value, "scope": "openid"})));
        }
    }

    #[test]
    fn access_tokens_of_every_issuer_are_accepted() {
        let service = start("");
        for kind in [
            json!({"typ": "Bearer"}),
            json!({"typ": "Bearer", "nonce": "n-0S6_WzA2Mj"}), // older Keycloaks
            json!({"token_use": "access"}),
            json!({"token_type": "access"}),
            json!({"type": "access"}),
            json!({"jti": "1", "scope": "openid profile"}),
        ] {
            accepted(&service, &token(kind));
        }
    }

    #[test]
    fn duplicate_names_are_refused() {
        let service = start("");
        let exp = now() + 3600;
        for claims in [
            format!(r#"{{"sub":"alice","sub":"boss","exp":{exp}}}"#),
            format!(r#"{{"sub":"alice","sub":"alice","exp":{exp}}}"#),
            format!(r#"{{"sub":"alice","exp":1,"exp":{exp}}}"#),
            format!(r#"{{"sub":"alice","\u0073ub":"boss","exp":{exp}}}"#),
            format!(r#"{{"sub":"alice","exp":{exp},"data":{{"id":1,"id":2}}}}"#),
            format!(r#"{{"sub":"alice","exp":{exp},"list":[{{"id":1,"id":2}}]}}"#),
        ] {
            refused(&service, &SHARED.token_of(Algorithm::HS256, r#"{"alg":"HS256"}"#, &claims), "duplicate name");
        }
    }

    #[test]
    fn what_is_no_json_object_is_refused() {
        let service = start("");
        for claims in ["", "null", "[]", "\"alice\"", "1", "{", "{} {}", "\u{feff}{}"] {
            refused(&service, &SHARED.token_of(Algorithm::HS256, r#"{"alg":"HS256"}"#, claims), "");
        }
        let deep = format!("{{\"sub\":{}{}}}", "[".repeat(2000), "]".repeat(2000));
        refused(&service, &SHARED.token_of(Algorithm::HS256, r#"{"alg":"HS256"}"#, &deep), "");
    }

    #[test]
    fn require_compares_type_and_value() {
        let service = start("require = { \"/code\" = 200, \"/user/active\" = true, \"/tenant\" = \"7\" }\n");
        let with = |code: Value, active: Value, tenant: Value| {
            token(json!({"code": code, "user": {"active": active}, "tenant": tenant}))
        };
        accepted(&service, &with(json!(200), json!(true), json!("7")));
        for (code, active, tenant) in [
            (json!("200"), json!(true), json!("7")),
            (json!(200.0), json!(true), json!("7")),
            (json!(401), json!(true), json!("7")),
            (json!(200), json!("true"), json!("7")),
            (json!(200), json!(1), json!("7")),
            (json!(200), json!(true), json!(7)),
            (json!(200), json!(null), json!("7")),
        ] {
            refused(&service, &with(code, active, tenant), "require");
        }
        refused(&service, &session_with(json!({"sub": "alice"})), "require");
    }
}
