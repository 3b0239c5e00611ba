use serde_json::json;

use super::*;
use crate::session::Document;
use crate::ticket::FieldError;

const NOW: UnixTime = UnixTime::from_secs(1_790_000_000);
const SECRET: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";

fn app(policy: Policy) -> App {
    let id = SdkAppId::try_from(1_400_000_000).expect("an SDKAppID");
    App::new(id, SecretKey::parse(SECRET).expect("a secret"), policy)
}

fn lifetime(seconds: u64) -> Lifetime {
    Lifetime::try_from(seconds).expect("a lifetime")
}

fn session(subject: &str, left: Option<u64>, document: &Value) -> Session {
    let document = Document::parse(document.to_string().as_bytes()).expect("an object");
    Session { subject: subject.to_owned(), ends_at: left.map(|left| NOW.plus(left)), document }
}

fn conditions(pointer: &str, values: &[Value]) -> Conditions {
    Conditions(vec![(pointer.parse().expect("a pointer"), values.to_vec())])
}

fn refusal(app: &App, session: Session, prefix: &str, asserted: Option<&str>) -> (Refusal, String) {
    let refused = app.admit(session, prefix, asserted, NOW).err().expect("a refusal");
    (refused.reason, refused.user)
}

#[test]
fn a_user_is_admitted_under_the_name_behind_mapping_and_prefix() {
    let admitted = app(Policy::default()).admit(session("1001", None, &json!({})), "u_", Some("u_1001"), NOW);
    assert_eq!(admitted.expect("admitted").user.as_str(), "u_1001");
}

#[test]
fn each_refusal_names_whom_it_concerns() {
    let policy = || Policy { deny_users: vec!["boss".to_owned()], ..Policy::default() };
    let plain = |subject| session(subject, None, &json!({}));
    let tenant = app(Policy { require: conditions("/tenant", &[json!("a"), json!("b")]), ..policy() });
    let bounded = app(Policy { within_session: true, ..policy() });
    let length = Refusal::UnusableUserId(FieldError::UserIdLength.into());
    for (app, session, asserted, expected) in [
        (&bounded, plain("alice"), None, (Refusal::SessionTooShort, "alice")),
        (&bounded, session("alice", Some(0), &json!({})), None, (Refusal::SessionTooShort, "alice")),
        (&app(policy()), plain(&"x".repeat(33)), None, (length, &*"x".repeat(33))),
        (&app(policy()), plain("boss"), None, (Refusal::UserNotPermitted, "boss")),
        (&app(policy()), plain("AdministratoR"), None, (Refusal::UserNotPermitted, "AdministratoR")),
        (&tenant, plain("alice"), None, (Refusal::RequirementUnmet, "alice")),
        (&tenant, session("alice", None, &json!({"tenant": "c"})), None, (Refusal::RequirementUnmet, "alice")),
        (&app(policy()), plain("alice"), Some("bob"), (Refusal::UserMismatch, "alice")),
    ] {
        let (reason, user) = refusal(app, session, "", asserted);
        assert_eq!((reason, user.as_str()), expected);
    }
}

#[test]
fn the_first_refusal_in_the_contract_s_order_is_the_answer() {
    let policy = |within_session| Policy {
        within_session,
        deny_users: vec!["boss".to_owned()],
        require: conditions("/tenant", &[json!("a")]),
        ..Policy::default()
    };
    let reason = |within_session, subject| {
        refusal(&app(policy(within_session)), session(subject, None, &json!({})), "", Some("bob")).0
    };
    assert_eq!(reason(true, "a b"), Refusal::SessionTooShort);
    assert!(matches!(reason(false, "a b"), Refusal::UnusableUserId(_)));
    assert_eq!(reason(false, "boss"), Refusal::UserNotPermitted);
    assert_eq!(reason(false, "alice"), Refusal::RequirementUnmet);
    let mismatch = refusal(&app(policy(false)), session("alice", None, &json!({"tenant": "a"})), "", Some("bob")).0;
    assert_eq!(mismatch, Refusal::UserMismatch);
}

#[test]
fn a_lifetime_is_bounded_by_policy_and_session() {
    for (within_session, left, asked, expected) in [
        (false, None, None, 3600),
        (false, None, Some(60), 60),
        (false, None, Some(7200), 7200),
        (false, None, Some(7201), 7200),
        (false, None, Some(u64::MAX), 7200),
        (false, Some(10), None, 3600),
        (true, Some(10), None, 10),
        (true, Some(1), Some(60), 1),
        (true, Some(100_000), Some(60), 60),
        // More than a lifetime can be.
        (true, Some(u64::MAX / 4), None, 3600),
    ] {
        let policy = Policy { expire: lifetime(3600), max_expire: lifetime(7200), within_session, ..Policy::default() };
        let app = app(policy);
        let admitted = app.admit(session("alice", left, &json!({})), "", None, NOW).expect("admitted");
        let issued = app.issue(&admitted, None, asked, NOW).expect("a ticket");
        assert_eq!(issued.lifetime.as_secs(), expected, "{within_session} {left:?} {asked:?}");
    }
}

#[test]
fn a_room_is_opened_as_far_as_the_policy_grants() {
    let join: Privileges = Privileges::from_names(["join"]).expect("a privilege");
    let rooms = || Rooms::InSession("/rooms".parse().expect("a pointer"));
    let granting = |rooms| {
        let room_policy = RoomPolicy { max_privileges: join, rooms };
        app(Policy { private_map_key: Some(room_policy), ..Policy::default() })
    };
    let seven = || Room::number(7).expect("a room");
    let issue = |app: &App, room: Room, privileges| {
        let session = session("alice", None, &json!({"rooms": [7, "hall"]}));
        let admitted = app.admit(session, "", None, NOW).expect("admitted");
        app.issue(&admitted, Some(&(room, privileges)), None, NOW).map(|issued| match issued.ticket {
            Ticket::PrivateMapKey(_) => (),
            Ticket::UserSig(_) => panic!("a ticket of the other kind"),
        })
    };
    let is_refused = |result| matches!(result, Err(Refusal::RoomNotPermitted(_)));
    assert!(is_refused(issue(&app(Policy::default()), seven(), None)), "the app grants no rooms");
    assert_eq!(issue(&granting(Rooms::Any), seven(), None), Ok(()));
    assert_eq!(issue(&granting(Rooms::Any), seven(), Some(join)), Ok(()));
    assert!(is_refused(issue(&granting(Rooms::Any), seven(), Some(Privileges::ALL))));
    assert_eq!(issue(&granting(rooms()), seven(), None), Ok(()));
    assert_eq!(issue(&granting(rooms()), Room::text("hall").expect("a room"), None), Ok(()));
    assert!(is_refused(issue(&granting(rooms()), Room::number(8).expect("a room"), None)));
    assert!(is_refused(issue(&granting(rooms()), Room::text("7").expect("a room"), None)));
}

#[test]
fn a_replaced_key_signs_from_then_on() {
    let app = app(Policy::default());
    let old = app.signer();
    let secret = SECRET.replace('5', "6");
    app.replace_key(SecretKey::parse(&secret).expect("a secret"));
    assert_ne!(app.signer().key.fingerprint(), old.key.fingerprint());
}
