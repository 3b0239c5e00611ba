//! The configuration: every problem of a file in one run, each under its key, with what to write instead, and no secret.

use crate::support::command::{Finished, Run};
use crate::support::setup::{Setup, parts, path_text};
use crate::support::{OTHER_SECRET, SECRET, SESSION_SECRET};

/// A configuration as it stands, nothing overridden.
pub(crate) fn bare(config: impl Into<String>) -> Setup {
    Setup::new(config).limited().without_env("USERSIG__SERVER__LISTEN").without_env("USERSIG__SERVER__OPS_LISTEN")
}

/// What a run of `check` or `serve` complained about: keys and messages.
#[track_caller]
pub(crate) fn problems(finished: &Finished) -> Vec<(String, String)> {
    assert_eq!(finished.code, Some(1), "{finished:?}");
    let mut lines: Vec<_> = finished.stderr.lines().collect();
    let total = lines.pop().expect("a line that sums it up");
    assert!(total.starts_with(&format!("usersig: {} problem(s)", lines.len())), "{}", finished.stderr);
    let problem = |line: &str| {
        let (key, message) = line.split_once(": ").unwrap_or_else(|| panic!("no key: {line}"));
        (key.to_owned(), message.to_owned())
    };
    lines.into_iter().map(problem).collect()
}

/// Asserts that a configuration has one problem, under this key; returns the message.
#[track_caller]
pub(crate) fn the_problem(setup: &Setup, key: &str) -> String {
    let checked = setup.check();
    let found = problems(&checked);
    assert_eq!(found.len(), 1, "one mistake is one problem: {}", checked.stderr);
    assert_eq!(found[0].0, key, "{}", checked.stderr);
    found[0].1.clone()
}

/// A good `[[session]]` table of each kind of check, without its heading and name.
pub(crate) const RULES: [&str; 6] = [
    "check = \"jwt\"\nsecret = \"file:{dir}/session.key\"\n",
    "check = \"jwt\"\njwks = \"https://idp.example.com/jwks\"\naudience = [\"im\"]\n",
    "check = \"http\"\nurl = \"http://backend:8000/me\"\nuser = \"/id\"\n",
    "check = \"redis\"\nurl = \"redis://redis:6379/0\"\nkey = \"sess:{id}\"\n",
    "check = \"redis\"\nurl = \"redis://redis:6379/0\"\nkey = \"sess:{id}\"\nuser = \"/id\"\nunwrap = \"express\"\nsecrets = [\"file:{dir}/session.key\"]\n",
    "check = \"introspect\"\nurl = \"https://idp.example.com/introspect\"\nclient_id = \"im\"\nclient_secret = \"file:{dir}/session.key\"\naudience = [\"im\"]\n",
];

pub(crate) fn with_rule(rule: &str) -> Setup {
    bare([parts::ONE_APP, "[[session]]\nname = \"rule\"\nfrom = \"bearer\"\n", rule].concat())
}

/// `text` without the line that sets `key`.
pub(crate) fn without(text: &str, key: &str) -> String {
    let is_other = |line: &&str| !line.starts_with(&format!("{key} ="));
    text.lines().filter(is_other).flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn good_configurations_are_accepted() {
    let everything = "[server]\nlisten = \"0.0.0.0:8080\"\nops_listen = \"[::1]:9090\"\nlame_duck = \"0s\"\ndrain = \"1h\"\nworkers = 256\n\
        allowed_origins = [\"https://m.example.com\", \"http://127.0.0.1:5173\", \"capacitor://localhost\"]\n\
        [log]\nlevel = \"trace\"\nformat = \"text\"\n\
        [limit]\nper_user = \"off\"\nburst = 1\nper_address = \"10/s\"\ntrusted_hops = 2\nstore = \"memory\"\n\
        [[app]]\nsdk_app_id = 4294967295\nsecret = \"file:{dir}/app.key\"\nexpire = \"90s\"\nmax_expire = \"3650d\"\n\
        within_session = true\nuser_id = \"strip-hyphens\"\ndeny_users = [\"boss\"]\n\
        [app.private_map_key]\nmax_privileges = [\"join\"]\nrooms = \"any\"\n";
    for rule in RULES {
        for config in [
            [parts::ONE_APP, "[[session]]\nname = \"rule\"\nfrom = \"bearer\"\n", rule].concat(),
            format!("{everything}[[session]]\nname = \"rule\"\nfrom = \"cookie:a.b-c_d\"\n{rule}"),
        ] {
            let finished = bare(config).check();
            assert_eq!(finished.code, Some(0), "{finished:?}");
            assert!(finished.stderr.is_empty() && finished.stdout.contains("ok"), "{finished:?}");
        }
    }
}

#[test]
fn tables_must_be_tables() {
    for (config, key) in [
        (format!("server = 1\n{}{}", parts::ONE_APP, parts::BEARER), "server"),
        (format!("log = \"info\"\n{}{}", parts::ONE_APP, parts::BEARER), "log"),
        (format!("limit = []\n{}{}", parts::ONE_APP, parts::BEARER), "limit"),
    ] {
        the_problem(&bare(config), key);
    }
    for (config, key) in [
        (parts::ONE_APP.replace("[[app]]", "[app]") + parts::BEARER, "app"),
        (parts::ONE_APP.to_owned() + &parts::BEARER.replace("[[session]]", "[session]"), "session"),
        ("app = 1\n".to_owned() + parts::BEARER, "app"),
        ("app = [1]\n".to_owned() + parts::BEARER, "app"),
        ("session = []\n".to_owned() + parts::ONE_APP, "session"),
    ] {
        let found = problems(&bare(config).check());
        assert!(found.iter().all(|(found, _)| found == key) && !found.is_empty(), "{found:?}");
    }
}

#[test]
fn unknown_keys_are_refused_each_by_its_name() {
    let rule = [parts::ONE_APP, parts::BEARER].concat();
    for (config, key) in [
        (format!("typo = 1\n{rule}"), "typo"),
        (format!("[serverr]\nlisten = \"127.0.0.1:0\"\n{rule}"), "serverr"),
        (format!("[server]\nlisen = \"127.0.0.1:0\"\n{rule}"), "server.lisen"),
        (format!("[server]\nListen = \"127.0.0.1:0\"\n{rule}"), "server.Listen"),
        (format!("[log]\nlevels = \"info\"\n{rule}"), "log.levels"),
        (format!("[limit]\nper_ip = \"1/s\"\n{rule}"), "limit.per_ip"),
        ([parts::ONE_APP, "secrets = \"x\"\n", parts::BEARER].concat(), "app[0].secrets"),
        (
            [
                parts::ONE_APP,
                "[app.private_map_key]\nmax_privileges = [\"join\"]\nrooms = \"any\"\nmax = 1\n",
                parts::BEARER,
            ]
            .concat(),
            "app[0].private_map_key.max",
        ),
        ([parts::ONE_APP, "[app.room]\nmax = 1\n", parts::BEARER].concat(), "app[0].room"),
        (rule.clone() + "jwk = \"x\"\n", "session[0].jwk"),
        (rule.clone() + "\"\" = 1\n", "session[0].\"\""),
        (format!("\"a\\nb\" = 1\n{rule}"), "\"a\\nb\""),
        (rule.clone() + "key = \"sess:{id}\"\n", "session[0].key"),
    ] {
        let message = the_problem(&bare(config), key);
        assert!(message.contains("not a key"), "{message}");
    }
}

#[test]
fn every_problem_is_told_in_one_run() {
    let config = "top = 1\n\
        [server]\nlisten = \"nowhere\"\nworkers = 0\nlame_duck = 5\nextra = true\n\
        [log]\nlevel = \"loud\"\n\
        [limit]\nburst = 0\n\
        [[app]]\nsdk_app_id = 0\nsecret = \"inline\"\nexpire = \"1y\"\nuser_id = \"x\"\n\
        [app.private_map_key]\nmax_privileges = [\"fly\"]\nrooms = 7\n\
        [[app]]\nsecret = \"file:{dir}/nothing\"\n\
        [[session]]\nname = \"Upper\"\nfrom = \"query:x\"\ncheck = \"jwt\"\nsecret = \"file:{dir}/app.key\"\nalgs = [\"none\"]\nleeway = \"1h\"\n\
        [[session]]\nname = \"second\"\nfrom = \"bearer\"\ncheck = \"http\"\nurl = \"x\"\nuser = \"y\"\n";
    let setup = bare(config);
    let checked = setup.check();
    let served = setup.refuse();
    assert_eq!((served.code, &served.stderr), (checked.code, &checked.stderr), "serve says what check says");
    let found = problems(&checked);
    let mut keys: Vec<_> = found.iter().map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    let mut expected = [
        "top",
        "server.listen",
        "server.workers",
        "server.lame_duck",
        "server.extra",
        "log.level",
        "limit.burst",
        "app[0].sdk_app_id",
        "app[0].secret",
        "app[0].expire",
        "app[0].user_id",
        "app[0].private_map_key.max_privileges",
        "app[0].private_map_key.rooms",
        "app[0].sessions",
        "app[1].sdk_app_id",
        "app[1].secret",
        "app[1].sessions",
        "session[0].name",
        "session[0].from",
        "session[0].algs",
        "session[0].leeway",
        "session[1].url",
        "session[1].user",
    ];
    expected.sort_unstable();
    assert_eq!(keys, expected);
    for (key, message) in found {
        assert!(message.len() > 20, "{key}: {message} tells nobody what to write");
    }
}

#[test]
fn what_only_follows_from_a_problem_is_not_told() {
    let secrets = "secrets = [\"file:{dir}/session.key\"]\n";
    for (rule, wrong, key) in [
        (RULES[3], "user = 7\ndecode = \"json\"\n".to_owned(), "session[0].user"),
        (RULES[3], "user = 7\nrequire = { \"/code\" = 200 }\n".to_owned(), "session[0].user"),
        (RULES[3], format!("unwrap = \"spring\"\n{secrets}"), "session[0].unwrap"),
        (RULES[3], secrets.to_owned(), "session[0].unwrap"),
        (RULES[3], "secrets = 7\n".to_owned(), "session[0].secrets"),
        (&without(RULES[1], "audience"), "audience = []\n".to_owned(), "session[0].audience"),
        (&without(RULES[1], "audience"), "audience = 7\nauthorized_parties = []\n".to_owned(), "session[0].audience"),
        (&without(RULES[1], "audience"), "authorized_parties = 7\n".to_owned(), "session[0].authorized_parties"),
        (RULES[1], "secret = \"file:{dir}/session.key\"\nno_such_key = 1\n".to_owned(), "session[0].jwks"),
    ] {
        the_problem(&with_rule(&(rule.to_owned() + &wrong)), key);
    }
    let limit = "[limit]\nstore = \"mysql://a\"\npassword = \"file:{dir}/session.key\"\n";
    the_problem(&bare([limit, parts::ONE_APP, parts::BEARER].concat()), "limit.store");
}

#[test]
fn the_recorded_part_of_the_traces_is_from_0_to_1() {
    for (ratio, refused) in
        [("0.0", false), ("0.5", false), ("1", false), ("1.5", true), ("-0.1", true), ("\"1\"", true)]
    {
        let config = format!("[trace]\nratio = {ratio}\n{}{}", parts::ONE_APP, parts::BEARER);
        let keys: Vec<_> = problems(&bare(config).check()).into_iter().map(|(key, _)| key).collect();
        let expected = if refused { &["trace.endpoint", "trace.ratio"][..] } else { &["trace.endpoint"] };
        assert_eq!(keys, expected, "{ratio}");
    }
}

#[test]
fn apps_and_rules_are_held_against_each_other() {
    let twice = [parts::ONE_APP, parts::ONE_APP, parts::BEARER].concat();
    the_problem(&bare(twice), "app[1].sdk_app_id");
    let renamed = parts::HEADER.replace("\"header\"", "\"token\"");
    let rules = [parts::ONE_APP, parts::BEARER, "user_prefix = \"a\"\n", &renamed, "user_prefix = \"b\"\n"].concat();
    the_problem(&bare(rules), "session[1].name");
    let second = parts::BEARER.replace("\"token\"", "\"second\"");
    let rules = [parts::ONE_APP, parts::BEARER, "user_prefix = \"a\"\n", &second, "user_prefix = \"b\"\n"].concat();
    the_problem(&bare(rules), "session[1].from");
    for (one, other) in [("", ""), ("", "u_"), ("u_", ""), ("u_", "u_"), ("u", "u_"), ("u_x", "u_")] {
        let rules = |shared: [&str; 2]| {
            let first = format!("{}user_prefix = \"{one}\"\n{}", parts::BEARER, shared[0]);
            let second = format!("{}user_prefix = \"{other}\"\n{}", parts::HEADER, shared[1]);
            bare([parts::ONE_APP, &first, &second].concat())
        };
        let shared = "shared_users = true\n";
        for shared in [["", ""], [shared, ""], ["", shared], ["shared_users = false\n", shared]] {
            the_problem(&rules(shared), "session[1].user_prefix");
        }
        assert_eq!(rules([shared, shared]).check().code, Some(0));
    }
    let apart = [parts::BEARER, "user_prefix = \"a_\"\n", parts::HEADER, "user_prefix = \"b_\"\n"].concat();
    assert_eq!(bare(parts::ONE_APP.to_owned() + &apart).check().code, Some(0));
    let hashed =
        [parts::ONE_APP, "user_id = \"sha256\"\n", parts::BEARER, "user_prefix = \"thirteen_____\"\n"].concat();
    the_problem(&bare(hashed), "session[0].user_prefix");
}

#[test]
fn a_syntax_error_stands_alone() {
    for broken in
        ["[server\n", "listen = \n", "= 1\n", "a = 1\na = 2\n", "x = \"open\n", "[[app]\n", "\u{0}", "key: value\n"]
    {
        let setup = bare(format!("{}secret = \"{SECRET}\" {broken}\n[server]\nworkers = 0\n", parts::ONE_APP));
        let finished = setup.check();
        let found = problems(&finished);
        assert_eq!(found.len(), 1, "{}", finished.stderr);
        assert_eq!(found[0].0, path_text(&setup.path("usersig.toml")));
        assert!(found[0].1.contains("line"), "where it is: {}", found[0].1);
        assert!(!finished.stderr.contains(&SECRET[..16]), "quotes a secret: {}", finished.stderr);
    }
}

#[test]
fn no_secret_is_ever_repeated() {
    let pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0w\n-----END PRIVATE KEY-----\n";
    let shapes = [
        (SECRET, "file:"),
        (pem, "file:"),
        (&SECRET[..63], "hex"),
        ("file-without-colon/and/SENTINEL", "file:"),
        ("vault:secret/SENTINEL", "file:"),
    ];
    for (secret, _) in shapes {
        // Inline: as an app's secret, as a session's, and where a list of them belongs.
        let inline = format!("{secret:?}").replace("\\n", "\\n");
        for config in [
            without(parts::ONE_APP, "secret") + &format!("secret = {inline}\n") + parts::BEARER,
            parts::ONE_APP.to_owned() + &without(parts::BEARER, "secret") + &format!("secret = {inline}\n"),
            parts::ONE_APP.to_owned() + &without(parts::BEARER, "secret") + &format!("public_key = {inline}\n"),
        ] {
            let finished = bare(config).check();
            assert_eq!(finished.code, Some(1));
            for line in secret.lines().filter(|line| !line.starts_with("-----")) {
                assert!(!finished.stderr.contains(&line[..16]), "{}", finished.stderr);
            }
            assert!(finished.stderr.contains("file:") && finished.stderr.contains("env:"), "{}", finished.stderr);
        }
    }
    // In the file that is referred to: named for what it is.
    for (content, advice) in [
        (pem, "PEM"),
        (&SECRET[..63], "64 hex"),
        (&SECRET.replace('5', "g"), "64 hex"),
        (&format!("{SECRET}{SECRET}"), "64 hex"),
        (&format!("secret = {SECRET}"), "64 hex"),
        ("", "empty"),
        (" \n\t", "empty"),
    ] {
        let setup = bare([parts::ONE_APP, parts::BEARER].concat()).file("app.key", content);
        let message = the_problem(&setup, "app[0].secret");
        assert!(message.contains(advice), "{advice}: {message}");
        assert!(message.contains("app.key"), "which file: {message}");
        for line in content.lines().filter(|line| line.len() > 16 && !line.starts_with("-----")) {
            assert!(!message.contains(&line[..16]), "{message}");
        }
    }
}

#[test]
fn a_secret_may_come_from_the_environment() {
    let config = parts::ONE_APP.replace("file:{dir}/app.key", "env:APP_SECRET")
        + &parts::BEARER.replace("file:{dir}/session.key", "env:SESSION_SECRET");
    let unset = bare(config.clone());
    let keys: Vec<_> = problems(&unset.check()).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, ["app[0].secret", "session[0].secret"]);
    let set = bare(config).env("APP_SECRET", &format!(" {SECRET}\n")).env("SESSION_SECRET", SESSION_SECRET);
    assert_eq!(set.check().code, Some(0));
    let wrong = set.env("APP_SECRET", &OTHER_SECRET[..60]);
    let message = the_problem(&wrong, "app[0].secret");
    assert!(message.contains("APP_SECRET") && !message.contains(&OTHER_SECRET[..16]), "{message}");
}

#[test]
fn a_secret_file_must_be_one() {
    let rule = parts::BEARER;
    for reference in
        ["file:{dir}/nothing", "file:{dir}", "file:", "env:", "file:{dir}/binary", "env:NOT_SET_ANYWHERE", ""]
    {
        let app = parts::ONE_APP.replace("file:{dir}/app.key", reference);
        let setup = bare(app + rule).file("binary", b"\xff\xfe\x00\x01");
        the_problem(&setup, "app[0].secret");
    }
}

#[test]
fn the_environment_overrides_scalars_of_three_sections() {
    let config = ["[server]\nworkers = 1\n", parts::ONE_APP, parts::BEARER].concat();
    let service = Setup::new(config.clone()).env("USERSIG__SERVER__WORKERS", "3").start();
    let line = service.logged("the public listener is bound", |line| line["listener"] == "public");
    assert_eq!(line["workers"], 3);
    for (name, value) in [
        ("USERSIG__SERVER__LAME_DUCK", "1s"),
        ("USERSIG__SERVER__DRAIN", "90s"),
        ("USERSIG__LOG__LEVEL", "debug"),
        ("USERSIG__LOG__FORMAT", "text"),
        ("USERSIG__LIMIT__BURST", "5"),
        ("USERSIG__LIMIT__PER_USER", "off"),
        ("USERSIG_SOMETHING_ELSE", "x"),
        ("USERSIG", "x"),
    ] {
        let finished = bare(config.clone()).env(name, value).check();
        assert_eq!(finished.code, Some(0), "{name}: {finished:?}");
    }
    for (name, value, key) in [
        ("USERSIG__SERVER__WORKERS", "many", "server.workers"),
        ("USERSIG__SERVER__WORKERS", "", "server.workers"),
        ("USERSIG__SERVER__LISTEN", "8080", "server.listen"),
        ("USERSIG__SERVER__LISEN", "127.0.0.1:0", "server.lisen"),
        ("USERSIG__SERVER__ALLOWED_ORIGINS", "https://a.example", "server.allowed_origins"),
        ("USERSIG__LOG__LEVEL", "loud", "log.level"),
        ("USERSIG__LIMIT__BURST", "-1", "limit.burst"),
        ("USERSIG__APP__0__SECRET", SECRET, "USERSIG__APP__0__SECRET"),
        ("USERSIG__SESSION__0__SECRET", SECRET, "USERSIG__SESSION__0__SECRET"),
        ("USERSIG__LOGS__LEVEL", "info", "USERSIG__LOGS__LEVEL"),
    ] {
        let message = the_problem(&bare(config.clone()).env(name, value), key);
        assert!(!message.contains(SECRET), "{message}");
    }
}

#[test]
fn a_file_that_cannot_be_read_is_named() {
    let setup = bare("");
    let missing = setup.path("missing.toml");
    for path in [missing.as_path(), setup.path("").as_path()] {
        for command in ["check", "serve"] {
            let finished = Run::new(&[command, "--config", path_text(path)]).finish();
            assert_eq!(finished.code, Some(1), "{finished:?}");
            assert!(finished.stderr.contains(path_text(path).trim_end_matches('/')), "{finished:?}");
        }
    }
    let binary = setup.file("binary.toml", b"\xff\xfe");
    let finished = Run::new(&["check", "--config", path_text(&binary.path("binary.toml"))]).finish();
    assert_eq!(finished.code, Some(1), "{finished:?}");
}

#[test]
fn the_path_may_come_from_the_environment_and_must_come_from_somewhere() {
    let setup = Setup::simple();
    setup.check();
    let path = setup.path("usersig.toml");
    assert_eq!(Run::new(&["check"]).env("USERSIG_CONFIG", path_text(&path)).finish().code, Some(0));
    for command in ["check", "serve"] {
        let finished = Run::new(&[command]).finish();
        assert_eq!(finished.code, Some(2), "{finished:?}");
        assert!(finished.stderr.contains("--config"), "{finished:?}");
    }
}

/// A configuration can be checked anywhere; what runs needs the certificates of authorities.
#[test]
fn what_cannot_be_built_ends_the_start_with_the_name_of_its_rule() {
    let config = [parts::ONE_APP, "[[session]]\nname = \"backend\"\nfrom = \"bearer\"\n", RULES[2]].concat();
    let setup = Setup::new(config).env("SSL_CERT_FILE", "{dir}/none.pem").env("SSL_CERT_DIR", "{dir}/none");
    assert_eq!(setup.check().code, Some(0));
    for command in [&["check", "--probe"][..], &["serve"]] {
        let finished = setup.run(command).finish();
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.starts_with("usersig: session rule \"backend\": no HTTP client"), "{finished:?}");
        assert_eq!(finished.stderr.lines().count(), 1, "{finished:?}");
    }
}
