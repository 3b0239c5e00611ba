//! Which kinds of token are believed: what issuers write, and whether a rule accepts it.

use serde_json::json;

use super::*;
use crate::session::document::Conditions;

const ISSUER: &str = "https://idp.example.com";

type Verdict = Result<(), Denial>;

const ACCEPTED: Verdict = Ok(());
const OTHER_KIND: Verdict = Err(Denial::TokenType);
const BOUND: Verdict = Err(Denial::BoundToken);

/// A rule on a shared secret, with or without an issuer, that requires these members.
fn rule(issuer: Option<&str>, require: &[(&str, Value)]) -> JwtCheck {
    let key = VerificationKey::from_secret(b"a secret that is long enough for HS256").expect("a secret");
    let require = Conditions(require.iter().map(|(name, value)| (Pointer::to(name), vec![value.clone()])).collect());
    let requirements = ClaimRequirements { issuer: issuer.map(str::to_owned), require, ..ClaimRequirements::default() };
    JwtCheck { keys: Keys::One(key), settings: JwtSettings { requirements, ..JwtSettings::default() } }
}

fn document(json: &Value) -> Document {
    Document::parse(json.to_string().as_bytes()).expect("an object")
}

#[track_caller]
fn assert_kinds(rule: &JwtCheck, header: &Value, tokens: &[(Value, Verdict)]) {
    for (claims, verdict) in tokens {
        assert_eq!(rule.verify_kind(&document(header), &document(claims)), *verdict, "{header} {claims}");
    }
}

#[test]
fn kinds_in_the_header_are_an_allow_list() {
    let rule = rule(None, &[]);
    for (typ, verdict) in [
        (json!("JWT"), ACCEPTED),
        (json!("jwt"), ACCEPTED),
        (json!("at+jwt"), ACCEPTED),
        (json!("AT+JWT"), ACCEPTED),
        (json!("application/at+jwt"), ACCEPTED),
        (json!("Bearer"), ACCEPTED),
        (json!("access"), ACCEPTED),
        (json!("access_token"), ACCEPTED),
        (json!("application/jwt"), OTHER_KIND),
        (json!("refresh+jwt"), OTHER_KIND),
        (json!("id_token+jwt"), OTHER_KIND),
        (json!("logout+jwt"), OTHER_KIND),
        (json!("secevent+jwt"), OTHER_KIND),
        (json!("dpop+jwt"), OTHER_KIND),
        (json!("JWE"), OTHER_KIND),
        (json!("JWT "), OTHER_KIND),
        (json!(""), OTHER_KIND),
        (json!(null), OTHER_KIND),
        (json!(1), OTHER_KIND),
        (json!(["JWT"]), OTHER_KIND),
    ] {
        assert_kinds(&rule, &json!({ "typ": typ }), &[(json!({}), verdict)]);
    }
}

#[test]
fn kinds_in_claims_are_an_allow_list_under_every_spelling_of_the_claim() {
    let rule = rule(None, &[]);
    for claim in ["typ", "Typ", "token_use", "tokenUse", "TOKEN_USE", "token_type", "TokenType", "tokentype"] {
        for kind in ["JWT", "at+jwt", "application/at+jwt", "Bearer", "access", "access_token", "Access-Token"] {
            assert_kinds(&rule, &json!({}), &[(json!({ claim: kind }), ACCEPTED)]);
        }
        for kind in [
            json!("refresh"),
            json!("refresh-token"),
            json!("reset"),
            json!("mfa"),
            json!("registration"),
            json!("logout"),
            json!("id"),
            json!("DPoP"),
            json!("accessory"),
            json!(""),
            json!(1),
            json!(null),
            json!(true),
            json!(["access"]),
            json!({"kind": "access"}),
        ] {
            assert_kinds(&rule, &json!({}), &[(json!({ claim: kind }), OTHER_KIND)]);
        }
    }
}

#[test]
fn a_type_is_refused_for_its_words() {
    let rule = rule(None, &[]);
    for (kind, verdict) in [
        ("access", ACCEPTED),
        ("user", ACCEPTED),
        ("member", ACCEPTED),
        ("grid", ACCEPTED),
        ("presets", ACCEPTED),
        ("paid user", ACCEPTED),
        ("preSetup", ACCEPTED),
        ("", ACCEPTED),
        ("refresh", OTHER_KIND),
        ("REFRESH", OTHER_KIND),
        ("refreshtoken", OTHER_KIND),
        ("refresh_token", OTHER_KIND),
        ("RefreshToken", OTHER_KIND),
        ("userRefresh", OTHER_KIND),
        ("password-reset", OTHER_KIND),
        ("passwordReset", OTHER_KIND),
        ("mfa", OTHER_KIND),
        ("pending:mfa", OTHER_KIND),
        ("2fa", OTHER_KIND),
        ("login.2FA", OTHER_KIND),
        ("id", OTHER_KIND),
        ("ID_TOKEN", OTHER_KIND),
        ("idToken", OTHER_KIND),
        ("idtoken", OTHER_KIND),
        ("IDToken", OTHER_KIND),
        ("user registration", OTHER_KIND),
        ("logout", OTHER_KIND),
    ] {
        assert_kinds(&rule, &json!({}), &[(json!({"type": kind}), verdict), (json!({"Type": kind}), verdict)]);
    }
    for value in [json!(1), json!(null), json!(false), json!(["access"]), json!({})] {
        assert_kinds(&rule, &json!({}), &[(json!({ "type": value }), OTHER_KIND)]);
    }
}

#[test]
fn what_issuers_write() {
    // A rule with an issuer and one without see the same, but for the nonce.
    for issuer in [None, Some(ISSUER)] {
        let tokens = [
            (json!({"sub": "alice", "exp": 1, "jti": "1", "roles": ["a"], "tenant": 7}), ACCEPTED),
            // Keycloak
            (json!({"typ": "Bearer", "azp": "web", "scope": "openid"}), ACCEPTED),
            (json!({"typ": "Bearer", "nonce": "of older ones"}), ACCEPTED),
            (json!({"typ": "Refresh"}), OTHER_KIND),
            (json!({"typ": "Offline"}), OTHER_KIND),
            (json!({"typ": "ID", "nonce": "n"}), OTHER_KIND),
            (json!({"typ": "Logout", "events": {}}), OTHER_KIND),
            // Cognito
            (json!({"token_use": "access", "client_id": "web"}), ACCEPTED),
            (json!({"token_use": "id", "aud": "web"}), OTHER_KIND),
            // simplejwt
            (json!({"token_type": "access"}), ACCEPTED),
            (json!({"token_type": "refresh"}), OTHER_KIND),
            (json!({"token_type": "sliding"}), OTHER_KIND),
            // flask-jwt-extended
            (json!({"type": "access", "fresh": false}), ACCEPTED),
            (json!({"type": "refresh"}), OTHER_KIND),
            // Casdoor, which has users with a type
            (json!({"TokenType": "access-token", "nonce": "n", "type": "normal-user"}), ACCEPTED),
            (json!({"TokenType": "refresh-token"}), OTHER_KIND),
            (json!({"TokenType": "id-token"}), OTHER_KIND),
            (json!({"tokenType": "access-token"}), ACCEPTED),
            // Tokens that are worth nothing without a proof (RFC 8705, 9449), and security events (RFC 8417)
            (json!({"cnf": {"jkt": "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"}}), BOUND),
            (json!({"cnf": {"x5t#S256": "bwcK0esc3ACC3DB2Y5_lESsXE8o9ltc05O89jdN-dg2"}}), BOUND),
            (json!({"cnf": ""}), BOUND),
            (json!({"cnf": null}), ACCEPTED),
            (json!({"token_type": "DPoP"}), OTHER_KIND),
            (json!({"events": {"http://schemas.openid.net/event/backchannel-logout": {}}}), OTHER_KIND),
            (json!({"events": null}), OTHER_KIND),
        ];
        assert_kinds(&rule(issuer, &[]), &json!({"alg": "HS256"}), &tokens);
    }
}

#[test]
fn claims_of_an_id_token_count_under_an_issuer_and_without_a_sign_of_access() {
    let (own, provider) = (rule(None, &[]), rule(Some(ISSUER), &[]));
    for claim in ["nonce", "at_hash", "c_hash"] {
        assert_kinds(&own, &json!({"typ": "JWT"}), &[(json!({claim: "n"}), ACCEPTED)]);
        let tokens = [
            (json!({claim: "n"}), OTHER_KIND),
            (json!({claim: null}), OTHER_KIND),
            (json!({claim: "n", "typ": "JWT"}), OTHER_KIND),
            (json!({claim: "n", "type": "user"}), OTHER_KIND),
            (json!({claim: "n", "scope": "openid"}), ACCEPTED),
            (json!({claim: "n", "scp": "im"}), ACCEPTED),
            (json!({claim: "n", "typ": "Bearer"}), ACCEPTED),
            (json!({claim: "n", "token_use": "access"}), ACCEPTED),
            (json!({claim: "n", "type": "access"}), ACCEPTED),
        ];
        for header in [json!({}), json!({"typ": "JWT"})] {
            assert_kinds(&provider, &header, &tokens);
        }
        for typ in ["at+jwt", "application/at+jwt"] {
            assert_kinds(&provider, &json!({ "typ": typ }), &[(json!({claim: "n"}), ACCEPTED)]);
        }
    }
}

#[test]
fn a_claim_that_the_rule_requires_is_judged_by_that_alone() {
    let require = [("type", json!("id")), ("TokenType", json!("session"))];
    let tokens = [
        (json!({"type": "id", "TokenType": "session"}), ACCEPTED),
        // Another spelling is another claim.
        (json!({"Type": "id", "TokenType": "session"}), OTHER_KIND),
        (json!({"type": "id", "token_type": "session"}), OTHER_KIND),
        (json!({"type": "id", "typ": "session"}), OTHER_KIND),
        (json!({"type": "id", "cnf": {}}), BOUND),
    ];
    assert_kinds(&rule(Some(ISSUER), &require), &json!({"typ": "JWT"}), &tokens);
    let events = rule(None, &[("events", json!({})), ("cnf", json!({}))]);
    assert_kinds(&events, &json!({}), &[(json!({"events": {}}), OTHER_KIND), (json!({"cnf": {}}), BOUND)]);
    // A pointer into the claim requires something else.
    let mut deeper = rule(None, &[]);
    deeper.settings.requirements.require =
        Conditions(vec![("/type/name".parse().expect("a pointer"), vec![json!("id")])]);
    assert_kinds(&deeper, &json!({}), &[(json!({"type": {"name": "id"}}), OTHER_KIND)]);
}
