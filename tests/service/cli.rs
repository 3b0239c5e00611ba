//! The commands: what they print, and with which exit code they end.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::ffi::OsStrExt;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::clock::now;
use crate::support::command::{Finished, Run};
use crate::support::setup::{Setup, path_text};
use crate::support::ticket::{decode, sign};
use crate::support::{OTHER_SECRET, SECRET};

const SIGN: [&str; 5] = ["sign", "--sdk-app-id", "1400000000", "--user-id", "alice"];

fn with_secret(args: &[&str]) -> Run {
    Run::new(args).env("USERSIG_SECRET", SECRET)
}

#[track_caller]
fn assert_usage(finished: &Finished) {
    assert_eq!(finished.code, Some(2), "{finished:?}");
    assert!(finished.stdout.is_empty() && !finished.stderr.is_empty(), "{finished:?}");
}

/// The one line on stdout of a command that has done its work.
#[track_caller]
fn line(finished: &Finished) -> &str {
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stderr.is_empty(), "{finished:?}");
    let line = finished.stdout.strip_suffix('\n').expect("a line");
    assert!(!line.contains('\n'), "one line only: {line}");
    line
}

/// A ticket for alice that lives from now on.
fn ticket(expire: &str) -> String {
    line(&with_secret(&SIGN).arg("--expire").arg(expire).finish()).to_owned()
}

mod sign_command {
    use super::*;

    #[test]
    fn prints_a_ticket_and_nothing_else() {
        for (expire, seconds) in
            [(None, 86_400), (Some("90s"), 90), (Some("15m"), 900), (Some("7d"), 604_800), (Some("3650d"), 315_360_000)]
        {
            let mut run = with_secret(&SIGN);
            if let Some(expire) = expire {
                run = run.arg("--expire").arg(expire);
            }
            let fields = decode(line(&run.finish()));
            assert_eq!((&fields["TLS.identifier"], &fields["TLS.sdkappid"]), (&json!("alice"), &json!(1_400_000_000)));
            assert_eq!(fields["TLS.expire"], seconds);
            assert!(fields["TLS.time"].as_u64().expect("a number").abs_diff(now()) <= 60);
            let mut signed = fields.clone();
            sign(&mut signed, SECRET);
            assert_eq!(fields, signed);
        }
    }

    #[test]
    fn prints_a_private_map_key_for_a_room() {
        for (args, room_id, room_str, privileges) in [
            (&["--room", "7"][..], json!(7), json!(null), 8),
            (&["--room", "4294967294", "--privileges", "join"], json!(4_294_967_294_u32), json!(null), 1),
            (
                &["--room-str", "live 1", "--privileges", "join, receive-audio,receive-video"],
                json!(null),
                json!("live 1"),
                3,
            ),
            (&["--room-str", "7"], json!(null), json!("7"), 8),
        ] {
            let mut run = with_secret(&SIGN);
            for arg in args {
                run = run.arg(arg);
            }
            let ticket = line(&run.finish()).to_owned();
            let inspected = with_secret(&["inspect", &ticket]).finish();
            assert_eq!(inspected.code, Some(0));
            let map = &serde_json::from_str::<Value>(&inspected.stdout).expect("JSON")["fields"]["privateMap"];
            assert_eq!((&map["roomId"], &map["roomStr"]), (&room_id, &room_str));
            assert_eq!(map["privileges"].as_array().expect("a list").len(), privileges);
        }
    }

    #[test]
    fn takes_the_secret_from_a_file_before_the_environment() {
        let setup = Setup::simple();
        let file = setup.path("other.key");
        let run = with_secret(&SIGN).arg("--secret-file").arg(path_text(&file)).finish();
        let fields = decode(line(&run));
        let mut signed = fields.clone();
        sign(&mut signed, OTHER_SECRET);
        assert_eq!(fields, signed);
    }

    #[test]
    fn refuses_what_cannot_be_signed() {
        for args in [
            &["sign"][..],
            &["sign", "--sdk-app-id", "1400000000"],
            &["sign", "--user-id", "alice"],
            &["sign", "--sdk-app-id", "0", "--user-id", "alice"],
            &["sign", "--sdk-app-id", "4294967296", "--user-id", "alice"],
            &["sign", "--sdk-app-id", "x", "--user-id", "alice"],
            &["sign", "--sdk-app-id", "1", "--user-id", ""],
            &["sign", "--sdk-app-id", "1", "--user-id", "a b"],
            &["sign", "--sdk-app-id", "1", "--user-id", "a\n"],
            &["sign", "--sdk-app-id", "1", "--user-id", "012345678901234567890123456789012"],
            &["sign", "--sdk-app-id", "1", "--user-id", "alice", "--expire", "0s"],
            &["sign", "--sdk-app-id", "1", "--user-id", "alice", "--expire", "3651d"],
            &["sign", "--sdk-app-id", "1", "--user-id", "alice", "--expire", "86400"],
            &["sign", "--sdk-app-id", "1", "--user-id", "alice", "--expire", "1500ms"],
            &["sign", "--sdk-app-id", "1", "--user-id", "alice", "--room", "0"],
            &["sign", "--sdk-app-id", "1", "--user-id", "alice", "--room", "4294967295"],
            &["sign", "--sdk-app-id", "1", "--user-id", "alice", "--room", "live"],
            &["sign", "--sdk-app-id", "1", "--user-id", "alice", "--room-str", ""],
            &["sign", "--sdk-app-id", "1", "--user-id", "alice", "--room", "7", "--room-str", "7"],
            &["sign", "--sdk-app-id", "1", "--user-id", "alice", "--room", "7", "--privileges", "fly"],
            &["sign", "--sdk-app-id", "1", "--user-id", "alice", "--room", "7", "--privileges", ""],
            &["sign", "--sdk-app-id", "1", "--user-id", "alice", "--privileges", "join"],
            &["sign", "--sdk-app-id", "1", "--user-id", "alice", "extra"],
            &["sign", "--sdk-app-id", "1", "--user-id", "alice", "--secret", SECRET],
        ] {
            assert_usage(&with_secret(args).finish());
        }
        let without_secret = Run::new(&SIGN).finish();
        assert_usage(&without_secret);
        assert!(without_secret.stderr.contains("USERSIG_SECRET"), "{without_secret:?}");
    }

    #[test]
    fn names_what_is_wrong_with_a_secret_and_repeats_none() {
        let pem = "-----BEGIN PRIVATE KEY-----\nMIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0w\n-----END PRIVATE KEY-----\n";
        for (secret, advice) in
            [("", "empty"), (pem, "PEM"), (&SECRET[1..], "64 hex"), (&SECRET.replace('5', "x"), "64 hex")]
        {
            let setup = Setup::simple().file("secret", secret);
            let path = setup.path("secret");
            let from_file = Run::new(&SIGN).arg("--secret-file").arg(path_text(&path)).finish();
            let from_env = Run::new(&SIGN).env("USERSIG_SECRET", secret).finish();
            for finished in [from_file, from_env] {
                assert_eq!(finished.code, Some(1), "{finished:?}");
                assert!(finished.stderr.contains(advice) && finished.stdout.is_empty(), "{finished:?}");
                assert!(!finished.stderr.contains("MIGH") && !finished.stderr.contains(&SECRET[8..24]), "{finished:?}");
            }
        }
        let missing = Run::new(&SIGN).arg("--secret-file").arg("/nonexistent/secret").finish();
        assert_eq!(missing.code, Some(1), "{missing:?}");
        assert!(missing.stderr.contains("/nonexistent/secret"), "{missing:?}");
    }
}

mod inspect_command {
    use super::*;

    /// What `inspect` prints, and its exit code.
    fn inspect(run: Run) -> (Option<i32>, Value) {
        let finished = run.finish();
        let json = serde_json::from_str(&finished.stdout).unwrap_or_else(|_| panic!("not JSON: {finished:?}"));
        (finished.code, json)
    }

    #[test]
    fn a_ticket_comes_as_an_argument_or_on_stdin() {
        let ticket = ticket("1h");
        let with_newline = format!("  {ticket}\r\n");
        for run in [
            with_secret(&["inspect", &ticket]),
            with_secret(&["inspect", "-"]).stdin(with_newline.clone()),
            with_secret(&["inspect"]).stdin(with_newline),
        ] {
            let (code, json) = inspect(run);
            assert_eq!((code, &json["verdict"], &json["key"]), (Some(0), &json!("valid"), &json!("valid")));
            assert_eq!(json["fields"]["userId"], "alice");
        }
    }

    #[test]
    fn without_a_secret_the_key_is_unchecked_and_the_rest_decides() {
        let ticket = ticket("1h");
        let (code, json) = inspect(Run::new(&["inspect", &ticket]));
        assert_eq!((code, &json["verdict"], &json["key"]), (Some(0), &json!("valid"), &json!("unchecked")));
        let (code, json) = inspect(Run::new(&["inspect", &ticket, "--user-id", "bob"]));
        assert_eq!((code, &json["verdict"], &json["key"]), (Some(1), &json!("wrong_user"), &json!("unchecked")));
    }

    #[test]
    fn the_first_fault_in_the_order_malformed_app_key_user_expired_is_told() {
        let ticket = ticket("1h");
        let faults: [(&[&str], &str, u64); 4] = [
            (&["--sdk-app-id", "7"], "wrong_app", 70014),
            (&[], "wrong_key", 70009),
            (&["--user-id", "bob"], "wrong_user", 70013),
            (&["--at", "4000000000"], "expired", 70001),
        ];
        for mask in 1..16_usize {
            let has = |fault: &usize| mask & (1 << fault) != 0;
            let mut run = Run::new(&["inspect", &ticket]);
            run = run.env("USERSIG_SECRET", if has(&1) { OTHER_SECRET } else { SECRET });
            for fault in (0..4).filter(has) {
                for arg in faults[fault].0 {
                    run = run.arg(arg);
                }
            }
            let first = (0..4).find(has).expect("at least one");
            let (code, json) = inspect(run);
            let (_, verdict, tencent_code) = faults[first];
            assert_eq!(
                (code, &json["verdict"], &json["code"]),
                (Some(1), &json!(verdict), &json!(tencent_code)),
                "{mask}"
            );
        }
        let everything_wrong = ["inspect", "nonsense", "--sdk-app-id", "7", "--user-id", "bob", "--at", "4000000000"];
        let (code, json) = inspect(with_secret(&everything_wrong));
        assert_eq!((code, &json["verdict"]), (Some(1), &json!("malformed")));
    }

    #[test]
    fn at_is_the_moment_of_judgement() {
        let ticket = ticket("1h");
        let ends_at = decode(&ticket)["TLS.time"].as_u64().expect("a number") + 3600;
        for (at, code) in [(ends_at, 0), (ends_at + 1, 1), (0, 0)] {
            assert_eq!(inspect(with_secret(&["inspect", &ticket, "--at", &at.to_string()])).0, Some(code));
        }
    }

    #[test]
    fn malformed_input_is_not_valid() {
        for input in [&b""[..], b"\n", b"nonsense", b"eJw", &b"A".repeat(200_000), b"\xff\xfe"] {
            let finished = with_secret(&["inspect", "-"]).stdin(input).finish();
            assert!([Some(1), Some(2)].contains(&finished.code), "{finished:?}");
            assert!(!finished.stderr.contains("panicked"), "{finished:?}");
        }
        assert_eq!(inspect(with_secret(&["inspect", "nonsense"])).0, Some(1));
    }

    #[test]
    fn a_wrong_command_line_is_usage() {
        for args in [
            &["inspect", "a", "b"][..],
            &["inspect", "a", "--sdk-app-id", "0"],
            &["inspect", "a", "--at", "now"],
            &["inspect", "a", "--at", "-1"],
            &["inspect", "a", "--secret", SECRET],
        ] {
            assert_usage(&Run::new(args).finish());
        }
        for run in [
            Run::new(&["inspect", "a", "--secret-file", "/nonexistent/secret"]),
            Run::new(&["inspect", "a"]).env("USERSIG_SECRET", "short"),
        ] {
            assert_usage(&run.finish());
        }
    }
}

#[test]
fn healthcheck_asks_readyz() {
    let service = Setup::simple().start();
    let healthy = Run::new(&["healthcheck", "--url", &service.ops.url("/readyz")]).finish();
    assert_eq!((healthy.code, healthy.stderr.as_str()), (Some(0), ""));
    for url in [service.ops.url("/nowhere"), service.public.url("/readyz")] {
        let finished = Run::new(&["healthcheck", "--url", &url]).finish();
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains("404") && finished.stderr.contains(&url), "{finished:?}");
    }
    // A port that nobody listens on, and one where nobody answers.
    let closed = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr()).expect("a loopback port");
    let silent = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    for address in [closed, silent.local_addr().expect("an address")] {
        let finished = Run::new(&["healthcheck", "--url", &format!("http://{address}/readyz")]).finish();
        assert_eq!(finished.code, Some(1), "{finished:?}");
    }
    for url in ["", "readyz", "https://127.0.0.1/readyz", "http://127.0.0.1", "ftp://127.0.0.1/x"] {
        let finished = Run::new(&["healthcheck", "--url", url]).finish();
        assert!(finished.code != Some(0) && !finished.stderr.contains("panicked"), "{finished:?}");
    }
}

#[test]
fn healthcheck_waits_two_seconds_for_the_whole_answer() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let url = format!("http://{}/readyz", listener.local_addr().expect("an address"));
    // A byte a second, until the client goes away.
    thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a client");
        let _ = stream.read(&mut [0; 1024]).expect("a request");
        for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n" {
            if stream.write_all(&[*byte]).is_err() {
                break;
            }
            thread::sleep(Duration::from_secs(1));
        }
    });
    let finished = Run::new(&["healthcheck", "--url", &url]).finish();
    assert_eq!(finished.code, Some(1), "{finished:?}");
    assert!(finished.stderr.contains("within 2 s"), "{finished:?}");
}

#[test]
fn the_environment_need_not_be_text() {
    let setup = Setup::simple();
    let check = |name: &[u8], value: &[u8]| {
        let mut command = setup.run(&["check"]).into_command();
        command.env(OsStr::from_bytes(name), OsStr::from_bytes(value)).output().expect("the binary runs")
    };
    for (name, value) in [(&b"FOREIGN"[..], &b"\xff"[..]), (b"FOREIGN\xff", b"x"), (b"USERSIG__\xff", b"x")] {
        let output = check(name, value);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    let output = check(b"USERSIG__SERVER__WORKERS", b"2\xff");
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    assert!(
        String::from_utf8_lossy(&output.stderr).starts_with("USERSIG__SERVER__WORKERS: is not UTF-8\n"),
        "{output:?}"
    );
}

#[test]
fn a_full_stdout_fails_the_command_without_a_panic() {
    let full = || File::options().write(true).open("/dev/full").expect("a device of Linux'");
    let setup = Setup::simple();
    let broken = Setup::new("");
    let ticket = ticket("1h");
    for run in [
        setup.run(&["check"]),
        setup.run(&["check", "--probe"]),
        with_secret(&SIGN),
        with_secret(&["inspect", &ticket]),
        broken.run(&["check"]),
    ] {
        let mut command = run.into_command();
        let output = command.stdout(full()).output().expect("the binary runs");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {stderr}");
        assert!(stderr.contains("usersig: ") && !stderr.contains("panicked"), "{command:?}: {stderr}");
        let status = command.stdout(full()).stderr(full()).status().expect("the binary runs");
        assert_eq!(status.code(), Some(1), "{command:?}");
    }
}

#[test]
fn check_with_probe_needs_no_back_end_for_a_key_of_its_own() {
    let setup = Setup::simple();
    let finished = setup.run(&["check", "--probe"]).finish();
    assert_eq!(finished.code, Some(0), "{finished:?}");
    assert!(finished.stdout.contains("token"), "{finished:?}");
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
    let address = taken.local_addr().expect("an address").to_string();
    for (variable, key) in
        [("USERSIG__SERVER__LISTEN", "server.listen"), ("USERSIG__SERVER__OPS_LISTEN", "server.ops_listen")]
    {
        let finished = Setup::simple().env(variable, &address).refuse();
        assert_eq!(finished.code, Some(1), "{finished:?}");
        assert!(finished.stderr.contains(key) && finished.stderr.contains(&address), "{finished:?}");
    }
}

#[test]
fn the_command_line_explains_itself() {
    let help = Run::new(&["--help"]).finish();
    assert_eq!(help.code, Some(0));
    for command in ["demo", "serve", "check", "sign", "inspect", "healthcheck"] {
        assert!(help.stdout.contains(command), "{}", help.stdout);
        let help = Run::new(&[command, "--help"]).finish();
        assert_eq!(help.code, Some(0), "{command}");
    }
    let version = Run::new(&["--version"]).finish();
    assert_eq!((version.code, version.stdout.trim()), (Some(0), concat!("usersig ", env!("CARGO_PKG_VERSION"))));
    for args in [&[][..], &["nonsense"], &["serve", "--nonsense"], &["--nonsense"]] {
        assert_eq!(Run::new(args).finish().code, Some(2), "{args:?}");
    }
}

#[test]
fn a_secret_never_travels_in_arguments() {
    for command in ["demo", "serve", "check", "sign", "inspect", "healthcheck"] {
        let help = Run::new(&[command, "--help"]).finish().stdout;
        assert!(!help.contains("--secret ") && !help.contains("--key") && !help.contains("--password"), "{help}");
    }
    // And what stands in the environment is not shown by --help either.
    let help = with_secret(&["sign", "--help"]).finish();
    assert!(!help.stdout.contains(SECRET), "{help:?}");
}
