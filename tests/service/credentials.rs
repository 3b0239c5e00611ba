//! Where a credential is found, which of several counts, and which is none.

use serde_json::json;

use crate::support::client::Call;
use crate::support::keys::{SHARED, session, session_with};
use crate::support::service::Service;
use crate::support::setup::{Setup, parts};

/// Bearer first, then `X-Token`, then the cookie; users of one namespace.
fn three_rules() -> Service {
    let shared = "shared_users = true\n";
    Setup::new([parts::ONE_APP, parts::BEARER, shared, parts::HEADER, shared, parts::COOKIE, shared].concat()).start()
}

#[test]
fn a_credential_is_found_in_each_place() {
    let service = three_rules();
    let token = session("alice");
    for call in [
        service.public.post("/v1/usersig").bearer(&token),
        service.public.post("/v1/usersig").header("AUTHORIZATION", &format!("bEaReR {token}")),
        service.public.post("/v1/usersig").header("authorization", &format!("Bearer   {token}")),
        service.public.post("/v1/usersig").header("x-token", &token),
        service.public.post("/v1/usersig").header("X-TOKEN", &token),
        service.public.post("/v1/usersig").same_origin().cookie("sid", &token),
        service.public.post("/v1/usersig").same_origin().header("cookie", &format!("a=b; sid={token}; c=d")),
        service.public.post("/v1/usersig").same_origin().header("cookie", &format!("a=b;sid={token}")),
        service.public.post("/v1/usersig").same_origin().header("cookie", "a=b").cookie("sid", &token),
        service.public.post("/v1/usersig").same_origin().cookie("sid", &format!("\"{token}\"")),
        service.public.get("/v1/usersig").same_origin().cookie("sid", &token),
    ] {
        assert_eq!(call.send().ok()["userId"], "alice");
    }
}

#[test]
fn without_a_credential_the_answer_says_so() {
    let service = three_rules();
    let token = session("alice");
    for call in [
        service.public.post("/v1/usersig"),
        service.public.get("/v1/usersig"),
        service.public.post("/v1/usersig").json(json!({"userId": "alice"})),
        service.public.post("/v1/usersig").header("authorization", &format!("Basic {token}")),
        service.public.post("/v1/usersig").header("authorization", &token),
        service.public.post("/v1/usersig").header("authorization", &format!("Bearer{token}")),
        service.public.post("/v1/usersig").header("x-user-id", "alice"),
        service.public.post("/v1/usersig").header("proxy-authorization", &format!("Bearer {token}")),
        service.public.post("/v1/usersig").same_origin().cookie("SID", &token),
        service.public.post("/v1/usersig").same_origin().cookie("xsid", &token),
        service.public.post("/v1/usersig").same_origin().cookie("sid2", &token),
        service.public.post("/v1/usersig").same_origin().header("cookie", "sid"),
        service.public.post("/v1/usersig").same_origin().header("set-cookie", &format!("sid={token}")),
    ] {
        call.send().refused(401, "missing_credential");
    }
}

#[test]
fn an_empty_credential_is_an_absent_one() {
    let service = three_rules();
    for name in [
        "",
        "authorization: Bearer\r\n",
        "authorization: Bearer \r\n",
        "x-token:\r\n",
        "x-token: \r\n",
        "cookie: sid=\r\n",
    ] {
        let head = format!("POST /v1/usersig HTTP/1.1\r\nHost: a\r\nSec-Fetch-Site: same-origin\r\n{name}");
        service.public.raw(format!("{head}\r\n")).refused(401, "missing_credential");
        // The next rule's credential counts, since this one is not there.
        let answer = service.public.raw(format!("{head}Cookie: sid={}\r\n\r\n", session("bob")));
        assert_eq!(answer.ok()["userId"], "bob", "{name:?}");
    }
}

#[test]
fn the_first_rule_whose_credential_is_present_decides() {
    let service = three_rules();
    let (alice, bob, broken) = (session("alice"), session("bob"), "broken");
    let ask =
        |bearer: &str, header: &str| service.public.post("/v1/usersig").bearer(bearer).header("x-token", header).send();
    assert_eq!(ask(&alice, &bob).ok()["userId"], "alice");
    assert_eq!(ask(&alice, broken).ok()["userId"], "alice");
    // A failed check never falls through to a rule whose credential is good.
    ask(broken, &bob).refused(401, "invalid_session");
    let expired = session_with(json!({"sub": "alice", "exp": 1}));
    ask(&expired, &bob).refused(401, "invalid_session");
    let call = service.public.post("/v1/usersig").header("x-token", broken).same_origin().cookie("sid", &bob);
    call.send().refused(401, "invalid_session");
}

#[test]
fn one_credential_with_two_values_is_ambiguous() {
    let service = three_rules();
    let (alice, bob) = (session("alice"), session("bob"));
    for call in [
        service.public.post("/v1/usersig").bearer(&alice).bearer(&bob),
        service.public.post("/v1/usersig").bearer(&alice).bearer("broken"),
        service.public.post("/v1/usersig").header("x-token", &alice).header("x-token", &bob),
        service.public.post("/v1/usersig").same_origin().cookie("sid", &alice).cookie("sid", &bob),
        service.public.post("/v1/usersig").same_origin().header("cookie", &format!("sid={alice}; sid={bob}")),
        service.public.post("/v1/usersig").same_origin().header("cookie", &format!("sid={alice}; x=y; sid=broken")),
    ] {
        call.send().refused(401, "invalid_session");
    }
    for call in [
        service.public.post("/v1/usersig").bearer(&alice).bearer(&alice),
        service.public.post("/v1/usersig").header("x-token", &alice).header("x-token", &alice),
        service.public.post("/v1/usersig").same_origin().header("cookie", &format!("sid={alice}; sid={alice}")),
        service.public.post("/v1/usersig").same_origin().header("cookie", &format!("sid=; sid={alice}")),
    ] {
        assert_eq!(call.send().ok()["userId"], "alice", "the same value twice is one value");
    }
}

#[test]
fn a_cookie_of_other_characters_than_cookies_have_is_refused() {
    let service = three_rules();
    let (alice, bob) = (session("alice"), session("bob"));
    for cookies in [
        format!("sid={alice}, sid={bob}"),
        format!("sid={alice},sid={bob}"),
        format!("sid={alice} sid={bob}"),
        format!("sid={alice} "),
        format!("sid=\"{alice}, sid={bob}\""),
        format!("sid={alice}\\"),
        format!("sid={alice}\"\""),
    ] {
        let answer = service.public.post("/v1/usersig").same_origin().header("cookie", &cookies).send();
        if cookies.ends_with(' ') {
            assert_eq!(answer.ok()["userId"], "alice", "blanks around a value are not a part of it");
            continue;
        }
        answer.refused(401, "invalid_session");
        let event = service.audit(answer.request_id());
        assert_eq!((&event["step"], &event["rule"]), (&"from".into(), &"cookie".into()), "{event}");
        assert!(event["cause"].as_str().expect("text").contains("RFC 6265"), "{event}");
    }
}

#[test]
fn eight_kibibytes_are_looked_at_and_no_more() {
    let service = three_rules();
    let token_of = |length: usize| {
        let claims =
            |padding| json!({"sub": "alice", "exp": crate::support::clock::now() + 3600, "p": "x".repeat(padding)});
        let token = |padding| SHARED.token(jsonwebtoken::Algorithm::HS256, claims(padding));
        let padding =
            (0..1000).map(|more| (length - 300) * 3 / 4 + more).find(|padding| token(*padding).len() >= length);
        let token = token(padding.expect("some padding does"));
        // base64 leaves out every fourth length, and a header can be one byte longer.
        (token.len() == length).then_some(token)
    };
    let longest = (8180..=8192).rev().find_map(token_of).expect("a length that base64 has");
    let too_long = (8193..=8200).find_map(token_of).expect("a length that base64 has");
    let calls = |token: &str| {
        [
            service.public.post("/v1/usersig").bearer(token),
            service.public.post("/v1/usersig").header("x-token", token),
            service.public.post("/v1/usersig").same_origin().cookie("sid", token),
        ]
        .map(Call::send)
    };
    for answer in calls(&longest) {
        assert_eq!(answer.ok()["userId"], "alice");
    }
    for answer in calls(&too_long).into_iter().chain(calls(&"a".repeat(8193))).chain(calls(&"a".repeat(60_000))) {
        answer.refused(401, "invalid_session");
        let event = service.audit(answer.request_id());
        assert!(event["cause"].as_str().expect("text").contains("8 KiB"), "{event}");
    }
}

#[test]
fn bytes_that_no_credential_holds_are_refused() {
    let service = three_rules();
    let token = session("alice");
    for bytes in [&b"\x80"[..], b"\xff\xfe", "中".as_bytes(), b"\t", b"\x7f"] {
        for name in ["Authorization: Bearer ", "X-Token: ", "Sec-Fetch-Site: same-origin\r\nCookie: sid="] {
            let mut request = format!("POST /v1/usersig HTTP/1.1\r\nHost: a\r\n{name}{token}").into_bytes();
            request.extend_from_slice(bytes);
            request.extend_from_slice(b"x\r\n\r\n");
            let answer = service.public.raw(&request);
            // The parser refuses DEL, without a body.
            if bytes == b"\x7f" {
                assert_eq!((answer.status, answer.body.len()), (400, 0), "{answer:?}");
            } else {
                answer.refused(401, "invalid_session");
            }
        }
    }
    for bytes in [&b"\0"[..], b"\r", b"\n", b"\r\n", b"\r\nX-Token: "] {
        let mut request = format!("POST /v1/usersig HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}").into_bytes();
        request.extend_from_slice(bytes);
        request.extend_from_slice(b"y: z\r\n\r\n");
        let mut connection = service.public.connect();
        connection.send(&request);
        let status = connection.read().map(|answer| answer.status);
        // A line break ends the header, as it does for every server: the token before it is whole.
        let is_line_break = bytes.contains(&b'\n');
        assert_eq!(status, Some(if is_line_break { 200 } else { 400 }), "{bytes:?}");
    }
    assert!(!service.log_text().contains("panic"));
}

#[test]
fn a_401_asks_for_a_bearer_token() {
    let service = three_rules();
    let missing = service.public.post("/v1/usersig").send();
    assert!(missing.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")), "{missing:?}");
    let invalid = service.public.post("/v1/usersig").bearer("broken").send();
    assert!(invalid.header("www-authenticate").is_some_and(|value| value.starts_with("Bearer")), "{invalid:?}");
}

#[test]
fn the_caller_is_not_told_why_a_session_is_refused() {
    let service = three_rules();
    let refusals = [
        "broken".to_owned(),
        session_with(json!({"sub": "alice", "exp": 1})),
        session_with(json!({"sub": ""})),
        session("alice").replace('.', ".."),
    ]
    .map(|token| {
        let mut problem = service.public.post("/v1/usersig").bearer(&token).send().refused(401, "invalid_session");
        problem["requestId"] = json!(null);
        problem
    });
    for refusal in &refusals {
        assert_eq!(refusal, &refusals[0]);
    }
}
