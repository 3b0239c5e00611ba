//! Parameters in the query and in the body: read alike, nothing unknown, nothing twice, nothing guessed.

use serde_json::json;

use crate::support::keys::session;
use crate::support::setup::Setup;

#[test]
fn a_query_that_is_not_as_it_should_be_is_400() {
    let service = Setup::two_apps().start();
    let app = "sdkAppId=1400000000";
    for query in [
        "unknown=1",
        "sdkAppId=1400000000&roomId=7",
        "SdkAppId=1400000000",
        "sdk_app_id=1400000000",
        "userSig=x",
        "=",
        "=1",
        "sdkAppId",
        "sdkAppId=",
        "sdkAppId=0",
        "sdkAppId=-1",
        "sdkAppId=1400000000.0",
        "sdkAppId=1.4e9",
        "sdkAppId=0x1",
        "sdkAppId=4294967296",
        "sdkAppId=5694967296",
        "sdkAppId=18446744073709551616",
        "sdkAppId=%201400000000",
        "sdkAppId=1400000000%00",
        "sdkAppId=abc",
        "sdkAppId=%E4%B8%AD",
        "sdkAppId=null",
        "sdkAppId[]=1400000000",
        "sdkAppId=1400000000&sdkAppId=1400000000",
        "sdkAppId=1400000000&sdkAppId=1600000001",
        "sdkAppId=1400000000&SDKAppID=1400000000",
        "sdkappid=1400000000&sdkAppID=1600000001",
        &format!("{app}&userId="),
        &format!("{app}&userId=alice&userId=alice"),
        &format!("{app}&userId=alice&identifier=alice"),
        &format!("{app}&userID=alice&userid=bob"),
        &format!("{app}&expire="),
        &format!("{app}&expire=0"),
        &format!("{app}&expire=-1"),
        &format!("{app}&expire=60.5"),
        &format!("{app}&expire=60.0"),
        &format!("{app}&expire=6e1"),
        &format!("{app}&expire=1h"),
        &format!("{app}&expire=NaN"),
        &format!("{app}&expire=60&expire=60"),
        &format!("{app}&expire=-18446744073709551616"),
        &format!("{app}&expire=18446744073709551616.0"),
        &format!("{app}&expire= 60").replace(' ', "%20"),
    ] {
        let answer = service.public.get(format!("/v1/usersig?{query}")).bearer(&session("alice")).send();
        assert_eq!(answer.status, 400, "{query}: {}", answer.text());
        answer.refused(400, "invalid_request");
    }
}

#[test]
fn a_body_that_is_not_as_it_should_be_is_400() {
    let service = Setup::two_apps().start();
    let app = r#""sdkAppId":1400000000"#;
    for body in [
        "null",
        "true",
        "1",
        "\"x\"",
        "[]",
        "[1400000000]",
        "[1400000000,null,60]",
        "{",
        "}",
        "{]",
        "{}{}",
        "{} x",
        "{'sdkAppId':1400000000}",
        "{sdkAppId:1400000000}",
        "sdkAppId=1400000000",
        " ",
        "\u{feff}{\"sdkAppId\":1400000000}",
        "{\"sdkAppId\":1400000000,}",
        "{\"sdkAppId\":1400000000}\0",
        "// c\n{}",
        r#"{"unknown":1}"#,
        r#"{"sdkAppId":1400000000,"unknown":null}"#,
        r#"{"sdkAppId":1400000000,"roomId":7}"#,
        r#"{"sdk_app_id":1400000000}"#,
        r#"{"":1}"#,
        r#"{"sdkAppId":null}"#,
        r#"{"sdkAppId":"1400000000"}"#,
        r#"{"sdkAppId":0}"#,
        r#"{"sdkAppId":-1400000000}"#,
        r#"{"sdkAppId":4294967296}"#,
        r#"{"sdkAppId":5694967296}"#,
        r#"{"sdkAppId":18446744073709551616}"#,
        r#"{"sdkAppId":1e400}"#,
        r#"{"sdkAppId":true}"#,
        r#"{"sdkAppId":[1400000000]}"#,
        r#"{"sdkAppId":{"id":1400000000}}"#,
        r#"{"sdkAppId":01400000000}"#,
        r#"{"sdkAppId":0x53724E00}"#,
        r#"{"sdkAppId":NaN}"#,
        r#"{"sdkAppId":1400000000,"sdkAppId":1400000000}"#,
        r#"{"sdkAppId":1400000000,"sdkAppId":1600000001}"#,
        r#"{"sdkAppId":1400000000,"SDKAppID":1400000000}"#,
        r#"{"sdkAppId":1400000000,"\u0073dkAppId":1400000000}"#,
        &format!(r#"{{{app},"userId":null}}"#),
        &format!(r#"{{{app},"userId":""}}"#),
        &format!(r#"{{{app},"userId":7}}"#),
        &format!(r#"{{{app},"userId":["alice"]}}"#),
        &format!(r#"{{{app},"userId":"alice","identifier":"alice"}}"#),
        &format!(r#"{{{app},"userId":"alice","userId":"alice"}}"#),
        &format!(r#"{{{app},"userId":"\ud800"}}"#),
        &format!(r#"{{{app},"userId":"a{}b"}}"#, '\n'),
        &format!(r#"{{{app},"expire":null}}"#),
        &format!(r#"{{{app},"expire":0}}"#),
        &format!(r#"{{{app},"expire":-1}}"#),
        &format!(r#"{{{app},"expire":-0}}"#),
        &format!(r#"{{{app},"expire":60.5}}"#),
        &format!(r#"{{{app},"expire":"60"}}"#),
        &format!(r#"{{{app},"expire":"1h"}}"#),
        &format!(r#"{{{app},"expire":true}}"#),
        &format!(r#"{{{app},"expire":[60]}}"#),
        &format!(r#"{{{app},"expire":-18446744073709551616}}"#),
        &format!(r#"{{{app},"expire":1e400}}"#),
        &format!(r#"{{{app},"expire":60,"expire":60}}"#),
        &format!(r#"{{{app},"x":{}{}}}"#, "[".repeat(7000), "]".repeat(7000)),
        &"[".repeat(16_000),
        &"{\"a\":".repeat(2_600),
    ] {
        let call = service.public.post("/v1/usersig").bearer(&session("alice")).body("application/json", body);
        let answer = call.send();
        let shown: String = body.chars().take(100).collect();
        assert_eq!(answer.status, 400, "{shown}: {}", answer.text());
        answer.refused(400, "invalid_request");
    }
    for bytes in [&b"\xff\xfe{}"[..], b"{\"userId\":\"\xff\"}", b"\x00"] {
        let call = service.public.post("/v1/usersig").bearer(&session("alice")).body("application/json", bytes);
        call.send().refused(400, "invalid_request");
    }
}

#[test]
fn a_whole_number_is_one_however_json_writes_it() {
    let service = Setup::simple().start();
    for body in [
        r#"{"sdkAppId":1400000000,"expire":60}"#,
        r#"{"sdkAppId":1400000000.0,"expire":60.0}"#,
        r#"{"sdkAppId":1.4e9,"expire":6e1}"#,
        r#"{"sdkAppId":14E8,"expire":600E-1}"#,
    ] {
        let call = service.public.post("/v1/usersig").bearer(&session("alice")).body("application/json", body);
        assert_eq!(call.send().ok()["expire"], 60, "{body}");
    }
}

#[test]
fn a_post_takes_nothing_from_the_query() {
    let service = Setup::two_apps().start();
    let ask = |query: &str, body| {
        service.public.post(format!("/v1/usersig{query}")).json(body).bearer(&session("alice")).send()
    };
    ask("?sdkAppId=1400000000", json!({"sdkAppId": 1_400_000_000})).refused(400, "invalid_request");
    ask("?expire=60", json!({"sdkAppId": 1_400_000_000})).refused(400, "invalid_request");
    ask("?x=y", json!({"sdkAppId": 1_400_000_000})).refused(400, "invalid_request");
    ask("?", json!({"sdkAppId": 1_400_000_000})).ok();
}

#[test]
fn a_problem_names_the_parameter() {
    let service = Setup::simple().start();
    let detail_of = |answer: crate::support::client::Answer| {
        let problem = answer.refused(400, "invalid_request");
        problem["detail"].as_str().expect("text").to_owned()
    };
    for (name, value) in [
        ("expire", "x"),
        ("expire", "0"),
        ("sdkAppId", "x"),
        ("sdkAppId", "0"),
        ("SDKAppID", "-1"),
        ("token", ""),
        ("userId", ""),
    ] {
        let detail =
            detail_of(service.public.get(format!("/v1/usersig?{name}={value}")).bearer(&session("alice")).send());
        assert!(detail.contains(name) && detail.contains(value), "{name}={value}: {detail}");
    }
    for (name, value) in [
        ("expire", json!("60")),
        ("expire", json!(-1)),
        ("expire", json!(null)),
        ("sdkAppId", json!("1400000000")),
        ("sdkAppId", json!(0)),
        ("userId", json!(7)),
        ("identifier", json!("")),
        ("roomId", json!("7")),
        ("roomStr", json!(7)),
        ("privileges", json!("join")),
        ("privileges", json!(["fly"])),
        ("unknown", json!(1)),
    ] {
        let mut body = json!({name: value});
        if name != "roomStr" {
            body.as_object_mut().expect("an object").entry("roomId").or_insert(json!(7));
        }
        let call = service.public.post("/v1/private-map-key").json(body.clone()).bearer(&session("alice"));
        let detail = detail_of(call.send());
        assert!(detail.contains(name), "{body}: {detail}");
        assert!(name == "unknown" || detail.ends_with(&format!("; got {value}")), "{body}: {detail}");
    }
}

#[test]
fn a_problem_repeats_no_more_than_the_beginning_of_a_value() {
    let service = Setup::simple().start();
    let ask = |body| service.public.post("/v1/usersig").json(body).bearer(&session("alice")).send();
    let answer = ask(json!({"expire": "9".repeat(10_000)})).refused(400, "invalid_request");
    let detail = answer["detail"].as_str().expect("text");
    assert!(detail.ends_with(&"9".repeat(59)) && detail.len() < 120, "{detail}");
}

#[test]
fn a_problem_repeats_no_more_than_the_beginning_of_a_name() {
    let service = Setup::simple().start();
    for name in ["x".repeat(10_000), "`, expected ".repeat(800), "中".repeat(3_000)] {
        let in_body = service.public.post("/v1/usersig").json(json!({&name: 1}));
        let in_query = service.public.get(format!("/v1/usersig?{}=1", "x".repeat(6_000)));
        for call in [in_body, in_query] {
            let problem = call.bearer(&session("alice")).send().refused(400, "invalid_request");
            let detail = problem["detail"].as_str().expect("text");
            assert!(detail.chars().count() < 350, "{} characters: {detail:.400}", detail.len());
        }
    }
}

#[test]
fn percent_encoding_is_understood() {
    let service = Setup::simple().start();
    let path = "/v1/usersig?%73dkAppId=%31400000000&userId=%61lice&expire=6%30";
    assert_eq!(service.public.get(path).bearer(&session("alice")).send().ok()["expire"], 60);
    let path = "/v1/usersig?userId=%zz";
    service.public.get(path).bearer(&session("alice")).send().refused(403, "user_mismatch");
}
