//! Several rules side by side: who decides, whose user is whose, and what may not stand beside each other.

use crate::issuer::{CLIENT_SECRET, Issuer, OPAQUE};
use crate::sites::{COOKIE_SECRET, Site};
use crate::support::keys::session;
use crate::support::redis::Redis;
use crate::support::setup::{Setup, parts};
use crate::verdict::{allowed, ask, checks, denied};
use serde_json::json;

#[test]
fn a_cookie_a_header_and_a_bearer_token_side_by_side() {
    let (redis, issuer) = (Redis::start(), Issuer::start());
    let site = Site::express(&redis);
    let rules = |prefixes: [&str; 3]| {
        let introspection = issuer.client.url("/realms/a/protocol/openid-connect/token/introspect");
        let rules = format!(
            "[[session]]\nname = \"h5\"\nfrom = \"cookie:connect.sid\"\nunwrap = \"express\"\nsecrets = [\"env:COOKIE_SECRET\"]\n\
             check = \"redis\"\nurl = \"{}\"\nkey = \"sess:{{id}}\"\nuser = \"/passport/user\"\n{}\n\
             [[session]]\nname = \"mini\"\nfrom = \"header:X-Token\"\ncheck = \"jwt\"\nsecret = \"file:{{dir}}/session.key\"\n{}\n\
             [[session]]\nname = \"app\"\nfrom = \"bearer\"\ncheck = \"introspect\"\nurl = \"{introspection}\"\nclient_id = \"usersig\"\n\
             client_secret = \"env:CLIENT_SECRET\"\naudience = [\"im\"]\n{}\n",
            redis.url(),
            prefixes[0],
            prefixes[1],
            prefixes[2]
        );
        let setup = Setup::new([parts::ONE_APP, &rules].concat());
        setup.env("COOKIE_SECRET", COOKIE_SECRET).env("CLIENT_SECRET", CLIENT_SECRET)
    };
    let (cookie, header, bearer) = (site.login("alice"), session("alice"), issuer.login("alice", OPAQUE).access);
    let service =
        rules(["user_prefix = \"h5_\"", "user_prefix = \"mp_\"", "user_prefix = \"app_\"\ndeny_users = [\"bob\"]"])
            .start();
    allowed(&ask(&service, |call| call.cookie("connect.sid", &cookie).same_origin()), "h5_alice");
    allowed(&ask(&service, |call| call.header("x-token", &header)), "mp_alice");
    allowed(&ask(&service, |call| call.bearer(&bearer)), "app_alice");
    // The first that is present decides, and the caller names the user with the prefix or not at all.
    let all = ask(&service, |call| {
        call.cookie("connect.sid", &cookie).same_origin().header("x-token", &header).bearer(&bearer)
    });
    allowed(&all, "h5_alice");
    allowed(&ask(&service, |call| call.header("x-token", &header).bearer("an old one")), "mp_alice");
    allowed(&ask(&service, |call| call.bearer(&bearer).json(json!({"userId": "app_alice"}))), "app_alice");
    for other in ["alice", "mp_alice", "h5_alice"] {
        let answer = ask(&service, |call| call.bearer(&bearer).json(json!({"userId": other})));
        answer.refused(403, "user_mismatch");
        assert_eq!(service.audit(answer.request_id())["step"], "user");
    }
    denied(
        &service,
        &ask(&service, |call| call.header("x-token", "bad").bearer(&bearer)),
        "check",
        "not a JSON Web Token",
    );
    ask(&service, |call| call.header("x-token", &session(&"a".repeat(30)))).refused(422, "unusable_user_id");
    // deny_users is of the rule, and of subjects before their prefix.
    let bob = issuer.login("bob", OPAQUE).access;
    denied(&service, &ask(&service, |call| call.bearer(&bob)), "user", "deny_users");
    allowed(&ask(&service, |call| call.header("x-token", &session("bob"))), "mp_bob");
    // A credential for one rule is nothing to another.
    denied(&service, &ask(&service, |call| call.header("x-token", &bearer)), "check", "not a JSON Web Token");
    denied(&service, &ask(&service, |call| call.bearer("J7NtoFxydheXskmww0KBwc_lwMDU1u-7")), "check", "not active");
    assert_eq!((checks(&service, "h5", "allowed"), checks(&service, "mini", "denied")), (2, 2));

    let shared = rules(["shared_users = true"; 3]).start();
    allowed(&ask(&shared, |call| call.cookie("connect.sid", &cookie).same_origin()), "alice");
    allowed(&ask(&shared, |call| call.header("x-token", &header)), "alice");
    allowed(&ask(&shared, |call| call.bearer(&bearer)), "alice");
}

#[test]
fn rules_that_would_mix_people_up_are_refused() {
    let rule = |name: &str, from: &str, more: &str| {
        format!(
            "[[session]]\nname = \"{name}\"\nfrom = \"{from}\"\ncheck = \"jwt\"\nsecret = \"file:{{dir}}/session.key\"\n{more}\n"
        )
    };
    let check = |rules: [String; 2]| Setup::new([parts::ONE_APP, &rules.concat()].concat()).check();
    let prefix = |text: &str| format!("user_prefix = \"{text}\"");
    let with = |first: &str, second: &str| check([rule("one", "bearer", first), rule("two", "header:X-Token", second)]);
    for (first, second) in [
        (String::new(), String::new()),
        (prefix("a_"), String::new()),
        (String::new(), prefix("a_")),
        (prefix("a"), prefix("a_")),
        (prefix("a_"), prefix("a_")),
        ("shared_users = true".to_owned(), String::new()),
        (String::new(), "shared_users = true".to_owned()),
    ] {
        let finished = with(&first, &second);
        assert_eq!(finished.code, Some(1), "{first:?} beside {second:?}: {finished:?}");
        assert!(finished.stderr.contains("user_prefix") && finished.stderr.contains("shared_users"), "{finished:?}");
    }
    for (first, second) in
        [(prefix("a_"), prefix("b_")), ("shared_users = true".to_owned(), "shared_users = true".to_owned())]
    {
        assert_eq!(with(&first, &second).code, Some(0), "{first:?} beside {second:?}");
    }
    let same_place =
        check([rule("one", "header:X-Token", &prefix("a_")), rule("two", "header:x-token", &prefix("b_"))]);
    assert!(same_place.code == Some(1) && same_place.stderr.contains("from"), "{same_place:?}");
    let same_name = check([rule("one", "bearer", &prefix("a_")), rule("one", "header:x-token", &prefix("b_"))]);
    assert!(same_name.code == Some(1) && same_name.stderr.contains("name"), "{same_name:?}");
}
