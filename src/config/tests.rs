//! The text of a configuration in, typed data or its problems out.

use std::fs;
use std::iter::empty;

use http::Method;
use serde_json::json;
use tempfile::TempDir;
use url::Url;

use super::*;
use crate::client::HttpSettings;
use crate::issue::{Policy, RoomPolicy, Rooms, UserIdMapping};
use crate::session::{
    CheckSettings, ClaimRequirements, Conditions, CookieEncoding, CredentialSource, Decode, HttpCheckSettings,
    IntrospectSettings, JwtSettings, KeySetSettings, KeySource, KeyTemplate, Keys, Pointer, RedisCheckSettings,
    VerificationKey, parse_algorithms,
};
use crate::ticket::{Lifetime, Privileges, SecretKey};

const APP_SECRET: &str = "5bd2850fff3ecb11d7c805251c51ee463a25727bddc2385f3fa8bfee1bb93b5e";
const SECRET: &str = "a secret of the customer's back end";

const APP: &str = "[[app]]\nsdk_app_id = 1400000000\nsecret = \"file:{dir}/app.key\"\n";
const RULE: &str =
    "[[session]]\nname = \"token\"\nfrom = \"bearer\"\ncheck = \"jwt\"\nsecret = \"file:{dir}/secret\"\n";

/// One rule of each kind of check, all with a secret.
const RULES: &str = r#"
[[session]]
name = "token"
from = "bearer"
check = "jwt"
secret = "file:{dir}/secret"
algs = ["HS512"]
issuer = "https://idp.example.com"
leeway = "1m"
user_prefix = "t_"
[[session]]
name = "idp"
from = "header:X-Idp"
check = "jwt"
issuer = "https://idp.example.com/a"
audience = ["im"]
max_stale = "1h"
user = "/uid"
user_prefix = "i_"
[[session]]
name = "backend"
from = "cookie:sid"
check = "http"
url = "http://backend:8000/me"
method = "POST"
user = "/data/id"
deny = { "/code" = [401, 403] }
cache = "10s"
timeout = "500ms"
resolve = { "backend" = "10.0.0.1:80" }
user_prefix = "b_"
[[session]]
name = "express"
from = "cookie:connect.sid"
unwrap = "express"
secrets = ["file:{dir}/secret"]
check = "redis"
url = "redis://usersig@redis:6379/0"
password = "file:{dir}/secret"
key = "sess:{id}"
user = "/passport/user"
user_prefix = "e_"
[[session]]
name = "introspect"
from = "header:X-Token"
check = "introspect"
url = "https://idp.example.com/introspect"
client_id = "usersig"
client_secret = "file:{dir}/secret"
authorized_parties = ["web"]
user_prefix = "n_"
"#;

/// What the configuration `text` is read as, and the directory that `{dir}` stands for.
fn load(text: &str) -> (Result<Config, Problems>, TempDir) {
    let dir = tempfile::tempdir().expect("a directory");
    let (path, text) = (dir.path().join("usersig.toml"), text.replace("{dir}", dir.path().to_str().expect("UTF-8")));
    for (name, content) in [("usersig.toml", text.as_str()), ("app.key", APP_SECRET), ("secret", SECRET)] {
        fs::write(dir.path().join(name), content).expect("a file");
    }
    (Config::load(&path, empty()), dir)
}

fn problems(text: &str) -> Vec<(String, String)> {
    load(text).0.expect_err("problems").into_iter().collect()
}

fn conditions(pointer: &str, values: &[Value]) -> Conditions {
    Conditions(vec![(pointer.parse().expect("a pointer"), values.to_vec())])
}

fn backend() -> HttpSettings {
    HttpSettings {
        timeout: Duration::from_secs(2),
        max_in_flight: 256,
        authorities: Vec::new(),
        resolve: Vec::new(),
        reuse_connections: false,
    }
}

fn rule(name: &str, source: CredentialSource, user_prefix: &str, check: CheckSettings) -> RuleSettings {
    RuleSettings { name: name.to_owned(), source, check, user_prefix: user_prefix.to_owned(), deny_users: Vec::new() }
}

#[test]
fn what_is_left_out_has_defaults() {
    let (config, dir) = load(&[APP, RULE].concat());
    let key = VerificationKey::from_secret(SECRET.as_bytes()).expect("a secret");
    let check = CheckSettings::Jwt(Keys::One(key), JwtSettings::default());
    let expected = Config {
        server: ServerConfig {
            listen: "0.0.0.0:8080".parse().expect("an address"),
            ops_listen: "127.0.0.1:9090".parse().expect("an address"),
            allowed_origins: Vec::new(),
            lame_duck: Duration::from_secs(5),
            drain: Duration::from_secs(20),
            workers: std::thread::available_parallelism().expect("cores"),
            max_connections: 10_000,
        },
        log: LogSettings { level: LevelFilter::INFO, format: LogFormat::for_stdout() },
        traces: None,
        apps: vec![AppConfig {
            id: 1_400_000_000_u64.try_into().expect("an SDKAppID"),
            secret: SecretKey::parse(APP_SECRET).expect("a secret"),
            secret_source: Some(SecretSource::File(dir.path().join("app.key"))),
            rules: vec![0],
            policy: Policy::default(),
        }],
        limit: LimitSettings {
            per_user: "30/m".parse().ok(),
            burst: NonZeroU32::new(10).expect("not zero"),
            per_address: "600/m".parse().ok(),
            store: None,
        },
        trusted_hops: 0,
        rules: vec![rule("token", CredentialSource::Bearer, "", check)],
    };
    assert_eq!(config, Ok(expected));
}

#[test]
fn each_check_is_read_into_its_settings() {
    let (config, _dir) = load(&[APP, RULES].concat());
    let algorithms = |name: &str| [name.to_owned()];
    let key = VerificationKey::from_secret(SECRET.as_bytes()).and_then(|key| key.with_algorithms(&algorithms("HS512")));
    let requirements =
        ClaimRequirements { issuer: Some("https://idp.example.com".to_owned()), ..ClaimRequirements::default() };
    let token = CheckSettings::Jwt(
        Keys::One(key.expect("a key")),
        JwtSettings { requirements, leeway: 60, ..JwtSettings::default() },
    );
    let issuer = "https://idp.example.com/a";
    let discovery = Url::parse(&format!("{issuer}/.well-known/openid-configuration")).expect("a URL");
    let set = KeySetSettings {
        source: KeySource::Issuer(issuer.to_owned(), discovery),
        algorithms: parse_algorithms(&algorithms("RS256")).expect("algorithms"),
        max_stale: Duration::from_secs(3600),
        backend: backend(),
    };
    let requirements = ClaimRequirements {
        issuer: Some(issuer.to_owned()),
        audience: vec!["im".to_owned()],
        ..ClaimRequirements::default()
    };
    let idp = JwtSettings { requirements, user: Pointer::to("uid"), ..JwtSettings::default() };
    let http = HttpCheckSettings {
        url: Url::parse("http://backend:8000/me").expect("a URL"),
        method: Method::POST,
        user: "/data/id".parse().expect("a pointer"),
        expires: None,
        require: Conditions::default(),
        deny: conditions("/code", &[json!(401), json!(403)]),
        backend: HttpSettings {
            timeout: Duration::from_millis(500),
            resolve: vec![("backend".to_owned(), "10.0.0.1:80".parse().expect("an address"))],
            ..backend()
        },
        cache: Duration::from_secs(10),
    };
    let redis = RedisCheckSettings {
        encoding: CookieEncoding::Express(vec![SECRET.to_owned().into()]),
        key: KeyTemplate::parse("sess:{id}", "{id}").expect("a template"),
        field: None,
        decode: Decode::Json("/passport/user".parse().expect("a pointer")),
        min_ttl: Duration::ZERO,
        deny_if_exists: None,
        require: Conditions::default(),
        server: RedisSettings {
            url: Url::parse("redis://usersig@redis:6379/0").expect("a URL"),
            password: Some(SECRET.to_owned().into()),
            ca: None,
            timeout: Duration::from_millis(500),
        },
        max_in_flight: 256,
    };
    let introspect = IntrospectSettings {
        url: Url::parse("https://idp.example.com/introspect").expect("a URL"),
        client_id: "usersig".to_owned(),
        client_secret: SECRET.to_owned().into(),
        secret_in_form: false,
        requirements: ClaimRequirements { authorized_parties: vec!["web".to_owned()], ..ClaimRequirements::default() },
        user: Pointer::to("sub"),
        backend: backend(),
        cache: Duration::ZERO,
    };
    let cookie = |name: &str| CredentialSource::Cookie(name.to_owned());
    let header = |name: &str| CredentialSource::Header(name.to_owned());
    let expected = [
        rule("token", CredentialSource::Bearer, "t_", token),
        rule("idp", header("x-idp"), "i_", CheckSettings::Jwt(Keys::Set(set), idp)),
        rule("backend", cookie("sid"), "b_", CheckSettings::Http(http)),
        rule("express", cookie("connect.sid"), "e_", CheckSettings::Redis(redis)),
        rule("introspect", header("x-token"), "n_", CheckSettings::Introspect(introspect)),
    ];
    assert_eq!(config.expect("a configuration").rules, expected);
}

#[test]
fn an_app_is_read_into_its_policy_and_the_places_of_its_rules() {
    let policy = "sessions = [\"second\"]\nexpire = \"1h\"\nmax_expire = \"2h\"\nwithin_session = true\n\
        user_id = \"sha256\"\ndeny_users = [\"administrator\"]\nrequire = { \"/tenant\" = \"a\" }\n\
        [app.private_map_key]\nmax_privileges = [\"join\"]\nrooms = \"/rooms\"\n";
    let other = "[[app]]\nsdk_app_id = 2\nsecret = \"file:{dir}/app.key\"\nsessions = [\"second\", \"token\"]\n";
    let second = RULE.replace("\"token\"", "\"second\"").replace("\"bearer\"", "\"header:x\"");
    let prefixed = [RULE, "user_prefix = \"a\"\n", &second, "user_prefix = \"b\"\n"].concat();
    let config = load(&[APP, policy, other, &prefixed].concat()).0.expect("a configuration");
    let rules: Vec<_> = config.apps.iter().map(|app| app.rules.as_slice()).collect();
    assert_eq!(rules, [&[1][..], &[0, 1]]);
    let lifetime = |seconds: u64| Lifetime::try_from(seconds).expect("a lifetime");
    let expected = Policy {
        expire: lifetime(3600),
        max_expire: lifetime(7200),
        within_session: true,
        user_id: UserIdMapping::Sha256,
        deny_users: vec!["administrator".to_owned()],
        require: conditions("/tenant", &[json!("a")]),
        private_map_key: Some(RoomPolicy {
            max_privileges: Privileges::from_names(["join"]).expect("privileges"),
            rooms: Rooms::InSession(Pointer::to("rooms")),
        }),
    };
    assert_eq!(config.apps[0].policy, expected);
}

#[test]
fn a_printed_configuration_shows_no_secret() {
    let limit = "[limit]\nstore = \"redis://redis:6379/1\"\npassword = \"file:{dir}/secret\"\n";
    let config = load(&[limit, APP, RULES].concat()).0.expect("a configuration");
    let shown = format!("{config:?}");
    assert_eq!(shown.matches("Zeroizing { .. }").count(), 5, "{shown}");
    for secret in [APP_SECRET, SECRET] {
        let bytes = format!("{:?}", &secret.as_bytes()[..8]);
        for revealing in [&secret[..8], bytes.trim_matches(['[', ']'])] {
            assert!(!shown.contains(revealing), "{revealing}: {shown}");
        }
    }
}

#[test]
fn a_problem_of_each_kind_has_its_key_and_says_what_is_wrong() {
    let redis = "[[session]]\nname = \"r\"\nfrom = \"header:r\"\ncheck = \"redis\"\nkey = \"a:{id}\"\n";
    for (text, key, words) in [
        (RULE.to_owned(), "app", "is missing"),
        ([APP, RULE, "typo = 1\n"].concat(), "session[0].typo", "is not a key here; there are: name, from"),
        (["[log]\nlevel = 1\n", APP, RULE].concat(), "log.level", "expected one of"),
        (["log = 1\n", APP, RULE].concat(), "log", "expected a table"),
        ([APP, APP, RULE].concat(), "app[1].sdk_app_id", "again"),
        ([APP, &RULE.replace("/secret", "/none")].concat(), "session[0].secret", "cannot read"),
        ([APP, &RULE.replace("secret =", "public_key =")].concat(), "session[0].public_key", "PEM"),
        ([APP, RULE, "algs = [\"RS256\"]\n"].concat(), "session[0].algs", "does not fit the key"),
        (
            [APP, &RULE.replace("secret = \"file:{dir}/secret", "audience = [\"a\"]\njwks = \"file:{dir}/secret")]
                .concat(),
            "session[0].jwks",
            "has no usable key set",
        ),
        ([APP, redis, "url = \"redis://:x@redis\"\n"].concat(), "session[0].url", "holds a password"),
        ([APP, redis, "url = \"redis://redis/first\"\n"].concat(), "session[0].url", "Invalid database number"),
        (
            [APP, redis, "url = \"rediss://redis\"\nca_file = \"{dir}/secret\"\n"].concat(),
            "session[0].ca_file",
            "holds no PEM certificate",
        ),
        (["[limit]\npassword = \"file:{dir}/secret\"\n", APP, RULE].concat(), "limit.store", "is memory"),
        ([APP, "sessions = []\n", RULE].concat(), "app[0].sessions", "is empty"),
    ] {
        let found = problems(&text);
        let about = found.iter().find(|(found, _)| found == key);
        assert!(about.is_some_and(|(_, message)| message.contains(words)), "{key}, {words:?}: {found:?}");
    }
}

#[test]
fn the_first_problem_of_a_key_is_the_one_that_is_reported() {
    let second = RULE.replace("\"bearer\"", "\"header:x\"");
    let rules = [RULE, "user_prefix = \"a\"\n", &second, "user_prefix = \"a b\"\n"].concat();
    let found = problems(&[APP, &rules].concat());
    let keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["session[1].name", "session[1].user_prefix"]);
    assert!(found[1].1.contains("at most 31 letters"), "{found:?}");
}
