//! JSON Web Token Best Current Practices (RFC 8725), item by item.

use std::io::Write;
use std::net::TcpListener;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use jsonwebtoken::Algorithm;
use serde_json::{Value, json};
use usersig::session::{ClaimRequirements, Denial, JwtCheck, JwtSettings, Keys, VerificationKey, parse_algorithms};

use crate::rule::{check, rule_of};
use crate::support::clock::now;
use crate::support::keys::{ED25519, P256, RSA, SHARED, TokenKey};
use crate::support::setup::{Setup, parts};
use crate::support::{APP, SESSION_SECRET};

/// A rule on the shared secret.
fn shared() -> JwtCheck {
    requiring(ClaimRequirements::default())
}

/// The same with requirements of its own.
fn requiring(requirements: ClaimRequirements) -> JwtCheck {
    let key = VerificationKey::from_secret(SESSION_SECRET.as_bytes()).expect("a secret");
    let settings = JwtSettings { requirements, ..JwtSettings::default() };
    JwtCheck::new(Keys::One(key), settings).expect("a key needs no client")
}

/// A rule on a public key, with these algorithms.
fn public(key: &TokenKey, algorithms: &[&str]) -> JwtCheck {
    let names: Vec<_> = algorithms.iter().map(|name| (*name).to_owned()).collect();
    let key = VerificationKey::from_pem(key.public_pem.as_bytes()).expect("a key");
    rule_of(key.with_algorithms(&names).expect("algorithms that fit it"))
}

/// Claims that are accepted, with these beside or instead; `null` takes one away.
fn claims(others: Value) -> String {
    let mut claims = json!({"sub": "alice", "exp": now() + 3600});
    let Value::Object(others) = others else { panic!("claims are an object") };
    claims.as_object_mut().expect("an object").extend(others);
    claims.as_object_mut().expect("an object").retain(|_, value| !value.is_null());
    claims.to_string()
}

/// A token of the shared secret with these beside or instead of the usual claims.
fn token(others: Value) -> String {
    SHARED.token_of(Algorithm::HS256, r#"{"alg":"HS256"}"#, &claims(others))
}

/// A rightly signed token with this header.
fn with_header(header: &Value) -> String {
    SHARED.token_of(Algorithm::HS256, &header.to_string(), &claims(json!({})))
}

fn base64url(part: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(part)
}

/// 3.1: only the algorithms that the rule says, whatever the token says.
#[test]
fn item_3_1_the_algorithm_is_the_rules_and_not_the_tokens() {
    assert_eq!(check(&shared(), &token(json!({}))), Ok("alice".to_owned()));
    let text = claims(json!({}));
    for alg in ["none", "None", "NONE", "nOnE", "", "HS255", "hs256", "HS256 ", "ES256K", "ES512"] {
        let header = base64url(json!({"alg": alg}).to_string());
        let message = format!("{header}.{}", base64url(&text));
        let signature = with_header(&json!({"alg": alg}));
        let signature = signature.rsplit('.').next().expect("a signature");
        for token in [format!("{message}."), format!("{message}.{signature}"), message.clone()] {
            assert!(check(&shared(), &token).is_err(), "{alg} {token}");
            assert!(check(&public(&RSA, &["RS256"]), &token).is_err(), "{alg} {token}");
        }
    }
    for header in
        [json!({}), json!({"alg": null}), json!({"alg": 5}), json!({"alg": ["HS256"]}), json!({"alg": {"a": 1}})]
    {
        assert_eq!(check(&shared(), &with_header(&header)), Err(Denial::Algorithm), "{header}");
    }
    // Each other algorithm, by its own right key, where the rule says one.
    for (key, algorithm) in
        [(&*RSA, Algorithm::RS256), (&RSA, Algorithm::PS256), (&P256, Algorithm::ES256), (&ED25519, Algorithm::EdDSA)]
    {
        let foreign = key.token_of(algorithm, &json!({"alg": algorithm}).to_string(), &text);
        assert_eq!(check(&shared(), &foreign), Err(Denial::Algorithm), "{algorithm:?}");
    }
    let ps = RSA.token_of(Algorithm::PS256, r#"{"alg":"PS256"}"#, &text);
    assert_eq!(check(&public(&RSA, &["RS256"]), &ps), Err(Denial::Algorithm));
    let relabelled = RSA.token_of(Algorithm::PS256, r#"{"alg":"RS256"}"#, &text);
    assert_eq!(check(&public(&RSA, &["RS256"]), &relabelled), Err(Denial::Signature));
}

/// 3.1 with 2.1: a public key, which everybody knows, is no secret of an HMAC.
#[test]
fn item_3_1_a_public_key_signs_nothing() {
    for key in [&*RSA, &P256, &ED25519] {
        let algorithm = match key.public_pem.as_str() {
            pem if pem == RSA.public_pem => "RS256",
            pem if pem == P256.public_pem => "ES256",
            _ => "EdDSA",
        };
        let pem = key.public_pem.as_bytes();
        let der = STANDARD.decode(key.public_pem.lines().filter(|line| !line.starts_with('-')).collect::<String>());
        let der = der.expect("a PEM");
        for secret in [pem, pem.trim_ascii(), &pem[..pem.len() - 1], &der] {
            for (name, hs) in [("HS256", Algorithm::HS256), ("HS384", Algorithm::HS384), ("HS512", Algorithm::HS512)] {
                let confused =
                    TokenKey::secret(secret).token_of(hs, &json!({"alg": name}).to_string(), &claims(json!({})));
                assert_eq!(check(&public(key, &[algorithm]), &confused), Err(Denial::Algorithm));
            }
            let refusal = VerificationKey::from_secret(secret).err();
            assert!(secret == der || refusal.is_some_and(|message| message.starts_with("is a PEM key")));
        }
    }
}

/// 3.2: only algorithms that are sound, and `none` is not among them.
#[test]
fn item_3_2_no_rule_can_name_an_unsound_algorithm() {
    for name in ["none", "HS1", "RS1", "RSA1_5", "ES256K", "dir", "A128KW", ""] {
        let names = [name.to_owned()];
        let is_unknown = |message: &str| message.starts_with(&format!("names \"{name}\", which is not one of"));
        let secret = VerificationKey::from_secret(SESSION_SECRET.as_bytes()).expect("a secret");
        assert!(secret.with_algorithms(&names).is_err_and(|message| is_unknown(&message)));
        let public = VerificationKey::from_pem(RSA.public_pem.as_bytes()).expect("a key");
        assert!(public.with_algorithms(&names).is_err_and(|message| is_unknown(&message)));
        assert!(parse_algorithms(&names).is_err_and(|message| is_unknown(&message)));
    }
    for mixed in [["HS256", "HS256"], ["RS256", "ES256"], ["RS256", "HS256"], ["EdDSA", "RS256"]] {
        assert!(parse_algorithms(&mixed.map(str::to_owned)).is_err(), "{mixed:?}");
    }
}

/// 3.3: every signature is verified, and a token with one that fails is refused whole.
#[test]
fn item_3_3_every_bit_of_a_token_is_under_its_signature() {
    let token = token(json!({}));
    let digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (at, digit) in token.char_indices() {
        let other = if digit == '.' {
            'A'
        } else {
            digits.chars().nth((digits.find(digit).expect("base64url") + 32) % 64).expect("64")
        };
        let changed = format!("{}{other}{}", &token[..at], &token[at + 1..]);
        assert!(check(&shared(), &changed).is_err(), "{at}: {changed}");
        assert!(check(&shared(), &token[..at]).is_err(), "cut at {at}");
    }
    let part = |at| token.split('.').nth(at).expect("three parts");
    for mixed in [
        format!("{}.{}.", part(0), part(1)),
        format!("{}.{}", part(0), part(1)),
        format!("{}..{}", part(0), part(2)),
        format!(".{}.{}", part(1), part(2)),
        format!("{token}."),
        format!("{token}.{}", part(2)),
        format!("{token}.{}.{}", part(1), part(2)),
        format!(".{token}"),
        format!("{token}="),
        format!("{}=.{}.{}", part(0), part(1), part(2)),
        format!("{} .{}.{}", part(0), part(1), part(2)),
        token.replace('.', ".."),
        // Another serialisation of the same.
        json!({"payload": part(1), "protected": part(0), "signature": part(2)}).to_string(),
        json!({"payload": part(1), "signatures": [{"protected": part(0), "signature": part(2)}]}).to_string(),
    ] {
        assert!(check(&shared(), &mixed).is_err(), "{mixed}");
    }
    // A signature has one spelling only: no bits left over, no padding, no other alphabet.
    let (message, signature) = token.rsplit_once('.').expect("a signature");
    let last = digits.find(signature.chars().last().expect("digits")).expect("base64url");
    for other in (0..4).map(|bits| (last & !3) | bits).filter(|other| *other != last) {
        let other = digits.chars().nth(other).expect("64");
        let respelt = format!("{message}.{}{other}", &signature[..signature.len() - 1]);
        assert_eq!(check(&shared(), &respelt), Err(Denial::Signature), "{respelt}");
    }
}

/// 3.4: keys and signatures are checked to be what their algorithm admits.
#[test]
fn item_3_4_points_that_are_not_on_the_curve_and_numbers_out_of_range() {
    // The uncompressed point of a P-256 key is the end of its DER.
    let base64: String = P256.public_pem.lines().filter(|line| !line.starts_with('-')).collect();
    let mut der = STANDARD.decode(base64).expect("a PEM");
    let last = der.len() - 1;
    der[last] ^= 1;
    let off_curve = format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(&der));
    let token = P256.token_of(Algorithm::ES256, r#"{"alg":"ES256"}"#, &claims(json!({})));
    if let Ok(key) = VerificationKey::from_pem(off_curve.as_bytes()) {
        assert_eq!(check(&rule_of(key), &token), Err(Denial::Signature));
    }
    let message = token.rsplit_once('.').expect("a signature").0;
    for signature in [[0; 64], [0xff; 64]] {
        let forged = format!("{message}.{}", base64url(signature));
        assert_eq!(check(&public(&P256, &["ES256"]), &forged), Err(Denial::Signature));
    }
}

/// 3.5: keys that can be guessed are none.
#[test]
fn item_3_5_short_secrets_are_refused() {
    for secret in ["", "secret", "your-256-bit-secret", "0123456789012345678901234567890"] {
        let refusal = VerificationKey::from_secret(secret.as_bytes()).err();
        assert!(refusal.is_some_and(|message| message.starts_with(&format!("is {} bytes long", secret.len()))));
    }
    let blank = TokenKey::secret(b"").token_of(Algorithm::HS256, r#"{"alg":"HS256"}"#, &claims(json!({})));
    assert_eq!(check(&shared(), &blank), Err(Denial::Signature));
}

/// 3.6: nothing is decrypted, and nothing is inflated.
#[test]
fn item_3_6_encrypted_and_compressed_tokens_are_refused() {
    let header = base64url(json!({"alg": "dir", "enc": "A256GCM", "zip": "DEF"}).to_string());
    assert!(check(&shared(), &format!("{header}..AAAAAAAAAAAAAAAA.AAAA.AAAAAAAAAAAAAAAAAAAAAA")).is_err());
    let mut deflate = DeflateEncoder::new(Vec::new(), Compression::best());
    deflate.write_all(claims(json!({})).as_bytes()).expect("a Vec takes all");
    let claims = base64url(deflate.finish().expect("a Vec takes all"));
    let message = format!("{}.{claims}", base64url(r#"{"alg":"HS256","zip":"DEF"}"#));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &SHARED.private, Algorithm::HS256).expect("signed");
    assert_eq!(check(&shared(), &format!("{message}.{signature}")), Err(Denial::MalformedToken));
}

/// 3.7: JSON in UTF-8, read in one way only.
#[test]
fn item_3_7_only_utf_8_and_no_name_twice() {
    let exp = now() + 3600;
    let sign = |header: &[u8], claims: &[u8]| {
        let message = format!("{}.{}", base64url(header), base64url(claims));
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &SHARED.private, Algorithm::HS256);
        format!("{message}.{}", signature.expect("signed"))
    };
    let header = br#"{"alg":"HS256"}"#;
    let latin = format!(r#"{{"exp":{exp},"sub":"al*ce"}}"#).replace('*', "\u{1}").replace('\u{1}', "?");
    let mut latin = latin.into_bytes();
    let at = latin.iter().position(|byte| *byte == b'?').expect("a mark");
    latin[at] = 0xe9;
    let utf16: Vec<u8> = claims(json!({})).encode_utf16().flat_map(u16::to_le_bytes).collect();
    let marked = [b"\xef\xbb\xbf".as_slice(), claims(json!({})).as_bytes()].concat();
    for claims in
        [latin, utf16, marked, Vec::new(), b"null".to_vec(), b"[]".to_vec(), b"\"alice\"".to_vec(), b"{} {}".to_vec()]
    {
        assert_eq!(check(&shared(), &sign(header, &claims)), Err(Denial::MalformedToken));
    }
    for twice in [
        format!(r#"{{"exp":{exp},"sub":"alice","sub":"bob"}}"#),
        format!(r#"{{"exp":{exp},"sub":"alice","\u0073ub":"bob"}}"#),
        format!(r#"{{"exp":1,"exp":{exp},"sub":"alice"}}"#),
        format!(r#"{{"exp":{exp},"sub":"alice","x":{{"y":1,"y":2}}}}"#),
    ] {
        assert_eq!(check(&shared(), &sign(header, twice.as_bytes())), Err(Denial::DuplicateName), "{twice}");
    }
    let both = br#"{"alg":"none","alg":"HS256"}"#;
    assert_eq!(check(&shared(), &sign(both, claims(json!({})).as_bytes())), Err(Denial::DuplicateName));
}

/// 3.8: the issuer and the subject are the rule's, exactly.
#[test]
fn item_3_8_the_issuer_is_compared_exactly_and_there_is_a_subject() {
    let issuer = || Some("https://idp.example.com".to_owned());
    let rule = || requiring(ClaimRequirements { issuer: issuer(), ..ClaimRequirements::default() });
    assert_eq!(check(&rule(), &token(json!({"iss": "https://idp.example.com"}))), Ok("alice".to_owned()));
    for issuer in [
        json!(null),
        json!(""),
        json!("https://idp.example.com/"),
        json!("https://IDP.example.com"),
        json!("http://idp.example.com"),
        json!("https://idp.example.com.evil.example"),
        json!(["https://idp.example.com"]),
        json!({"iss": "https://idp.example.com"}),
    ] {
        assert_eq!(check(&rule(), &token(json!({"iss": issuer}))), Err(Denial::Issuer), "{issuer}");
    }
    for (subject, denial) in [
        (json!(null), Denial::NoUser),
        (json!(""), Denial::NoUser),
        (json!(true), Denial::UserType),
        (json!(1.5), Denial::UserType),
        (json!(["alice"]), Denial::UserType),
        (json!({"id": "alice"}), Denial::UserType),
    ] {
        assert_eq!(check(&shared(), &token(json!({"sub": subject}))), Err(denial), "{subject}");
    }
}

/// 3.9: a token is for those whom its audience names.
#[test]
fn item_3_9_the_audience_is_demanded() {
    let audience = || vec!["im".to_owned()];
    let rule = || requiring(ClaimRequirements { audience: audience(), ..ClaimRequirements::default() });
    for audience in [json!("im"), json!(["web", "im"])] {
        assert_eq!(check(&rule(), &token(json!({"aud": audience}))), Ok("alice".to_owned()));
    }
    for audience in [
        json!(null),
        json!(""),
        json!("IM"),
        json!("im "),
        json!("account"),
        json!([]),
        json!(["web"]),
        json!([["im"]]),
        json!({"im": true}),
        json!(true),
    ] {
        assert_eq!(check(&rule(), &token(json!({"aud": audience}))), Err(Denial::Audience), "{audience}");
    }
}

/// 3.10: what a token claims leads nowhere: no key of its own, no address that it names, no path.
#[test]
fn item_3_10_nothing_that_a_token_names_is_fetched_opened_or_believed() {
    let trap = TcpListener::bind("127.0.0.1:0").expect("a port");
    trap.set_nonblocking(true).expect("a socket");
    let address = trap.local_addr().expect("an address");
    let service = Setup::new([parts::ONE_APP, parts::BEARER].concat()).start();
    let attacker = TokenKey::secret(b"a secret that the attacker has chosen himself");
    let jwk = json!({"kty": "oct", "k": base64url("a secret that the attacker has chosen himself"), "alg": "HS256"});
    for header in [
        json!({"alg": "HS256", "jku": format!("http://{address}/jwks")}),
        json!({"alg": "HS256", "x5u": format!("http://{address}/cert")}),
        json!({"alg": "HS256", "jwk": jwk}),
        json!({"alg": "HS256", "x5c": ["MIIB"]}),
        json!({"alg": "HS256", "kid": "../../../../../../dev/null"}),
        json!({"alg": "HS256", "kid": "' UNION SELECT 'a secret that the attacker has chosen himself' --"}),
        json!({"alg": "HS256", "kid": format!("http://{address}/")}),
        json!({"alg": "HS256", "kid": ["x"]}),
    ] {
        let forged = attacker.token_of(Algorithm::HS256, &header.to_string(), &claims(json!({})));
        service.public.post("/v1/usersig").bearer(&forged).send().refused(401, "invalid_session");
        let empty = TokenKey::secret(b"").token_of(Algorithm::HS256, &header.to_string(), &claims(json!({})));
        service.public.post("/v1/usersig").bearer(&empty).send().refused(401, "invalid_session");
    }
    assert!(trap.accept().is_err(), "somebody came to {address}");
    let issued = service.metrics().count(&format!(r#"usersig_tickets_total{{app="{APP}",kind="usersig"}}"#));
    assert_eq!(issued, 0, "tickets");
    assert_eq!(
        check(&shared(), &with_header(&json!({"alg": "HS256", "crit": ["exp"], "exp": 1}))),
        Err(Denial::CriticalHeader)
    );
    assert_eq!(check(&shared(), &with_header(&json!({"alg": "HS256", "crit": []}))), Err(Denial::CriticalHeader));
}

/// 3.11: a type that is not an access token's is refused.
#[test]
fn item_3_11_types_are_told_apart() {
    for typ in ["JWT", "jwt", "at+jwt", "application/at+jwt", "AT+JWT"] {
        assert_eq!(
            check(&shared(), &with_header(&json!({"alg": "HS256", "typ": typ}))),
            Ok("alice".to_owned()),
            "{typ}"
        );
    }
    for typ in [
        json!("logout+jwt"),
        json!("secevent+jwt"),
        json!("dpop+jwt"),
        json!("id_token"),
        json!("JOSE"),
        json!(""),
        json!(1),
        json!(["JWT"]),
        json!(null),
    ] {
        let refused = check(&shared(), &with_header(&json!({"alg": "HS256", "typ": typ})));
        assert_eq!(refused, Err(Denial::TokenType), "{typ}");
    }
}

/// 3.12: the kinds of token that one issuer signs cannot stand for each other.
#[test]
fn item_3_12_other_kinds_of_token_are_refused() {
    for kind in [
        json!({"typ": "Refresh"}),
        json!({"typ": "Offline"}),
        json!({"typ": "ID"}),
        json!({"typ": "Logout"}),
        json!({"token_use": "id"}),
        json!({"token_type": "refresh"}),
        json!({"type": "refresh"}),
        json!({"TokenType": "refresh-token"}),
        json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}),
    ] {
        assert_eq!(check(&shared(), &token(kind.clone())), Err(Denial::TokenType), "{kind}");
    }
    let issuer = || Some("https://idp.example.com".to_owned());
    let rule = || requiring(ClaimRequirements { issuer: issuer(), ..ClaimRequirements::default() });
    for id_token in [
        json!({"nonce": "n-0S6_WzA2Mj"}),
        json!({"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"}),
        json!({"c_hash": "LDktKdoQak3Pk0cnXxCltA"}),
    ] {
        assert_eq!(check(&rule(), &token(id_token.clone())), Err(Denial::TokenType), "{id_token}");
    }
    let bound = json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}});
    assert_eq!(check(&shared(), &token(bound)), Err(Denial::BoundToken));
}

/// Beyond the list: times, which RFC 7519 leaves to the reader.
#[test]
fn times_bound_every_token() {
    for (times, denial) in [
        (json!({"exp": null}), Denial::NoExpiry),
        (json!({"exp": "4102444800"}), Denial::NoExpiry),
        (json!({"exp": -1}), Denial::NoExpiry),
        (json!({"exp": [now() + 60]}), Denial::NoExpiry),
        (json!({"exp": now() - 31}), Denial::Expired),
        (json!({"exp": 0}), Denial::Expired),
        (json!({"exp": (now() + 3600) * 1000}), Denial::TooLongLived),
        (json!({"exp": u64::MAX}), Denial::TooLongLived),
        (json!({"exp": 1e300}), Denial::NoExpiry),
        (json!({"nbf": now() + 3600}), Denial::NotYetValid),
        (json!({"nbf": "0"}), Denial::NotYetValid),
        (json!({"iat": now() + 3600}), Denial::NotYetValid),
        (json!({"iat": u64::MAX}), Denial::NotYetValid),
    ] {
        assert_eq!(check(&shared(), &token(times.clone())), Err(denial), "{times}");
    }
}
