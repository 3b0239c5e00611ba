//! `usersig demo`: the configuration that it runs with, and what it tells the person who started it.

use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use actix_web::rt::System;
use clap::Args;
use tracing::level_filters::LevelFilter;

use super::{Failure, finish, secret, usage};
use crate::app::Service;
use crate::config::{Config, ConfiguredApp, SecretSource, Server};
use crate::http::demo::{COOKIE, Demo};
use crate::http::now;
use crate::issue::{App, Policy, RoomPolicy, Rooms, UserIdMapping};
use crate::limit::Limits;
use crate::metrics::Metrics;
use crate::session::{Check, CredentialSource, JwtCheck, JwtSettings, Keys, Pointer, Rule, VerificationKey};
use crate::telemetry::{Log, LogFormat, LogSettings};
use crate::ticket::{Lifetime, Privileges, SdkAppId, SecretKey, UserId};

#[derive(Args)]
pub(super) struct DemoArgs {
    /// Where to listen; loopback only
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR")]
    listen: SocketAddr,
    /// Issue tickets for this real app
    #[arg(long, value_name = "N", requires = "secret_file")]
    sdk_app_id: Option<SdkAppId>,
    /// The file with the real app's secret
    #[arg(long, value_name = "FILE", requires = "sdk_app_id")]
    secret_file: Option<PathBuf>,
}

/// Runs the whole service on loopback.
pub(super) fn run(args: DemoArgs) -> Result<ExitCode, Failure> {
    if !args.listen.ip().is_loopback() {
        let message =
            "the demo signs for whoever asks and listens on loopback only; `usersig serve` is for everything else";
        return Err(usage(format_args!("--listen {}: {message}", args.listen)));
    }
    let is_real_app = args.sdk_app_id.is_some();
    let id = args.sdk_app_id.unwrap_or_else(|| SdkAppId::try_from(1_400_000_000).expect("a possible SDKAppID"));
    let secret = match &args.secret_file {
        Some(file) => secret(Some(file))?,
        None => None,
    };
    let secret = secret.unwrap_or_else(|| SecretKey::parse(&random_hex()).expect("64 hex digits"));
    let session_secret = random_hex();
    let config = config(args.listen, id, secret, args.secret_file, session_secret.as_bytes());
    let metrics = Metrics::default();
    let log = Log::start(&config.log, None, metrics.log_dropped.clone())?;
    let service = Service::new(config, metrics).serve_demo(|address| {
        let demo = Demo::new(id, is_real_app, session_secret.as_bytes(), address);
        // The page works without these lines.
        let _ = io::stdout().write_all(welcome(&demo, address, id, is_real_app).as_bytes());
        demo
    });
    finish(System::new().block_on(service), log)
}

/// What `serve` would read from a file.
fn config(listen: SocketAddr, id: SdkAppId, secret: SecretKey, file: Option<PathBuf>, session_secret: &[u8]) -> Config {
    let day = 86_400;
    let days = |days: u64| Lifetime::try_from(days * day).expect("a possible lifetime");
    let policy = Policy {
        expire: days(1),
        max_expire: days(7),
        within_session: false,
        user_id: UserIdMapping::AsIs,
        deny_users: Vec::new(),
        private_map_key: Some(RoomPolicy { max_privileges: Privileges::ALL, rooms: Rooms::Any }),
    };
    let rule = |name: &str, source| Rule {
        name: name.to_owned(),
        source,
        check: Check::Jwt(JwtCheck::new(JwtSettings {
            keys: Keys::One(VerificationKey::from_secret(session_secret, None).expect("a secret of 64 bytes")),
            issuer: None,
            audience: Vec::new(),
            authorized_parties: Vec::new(),
            leeway: 30,
            max_lifetime: day,
            user: Pointer::to("sub"),
            require: Vec::new(),
        })),
        user_prefix: String::new(),
        deny_users: Vec::new(),
    };
    Config {
        server: Server { listen, lame_duck: Duration::ZERO, drain: Duration::from_secs(2), ..Server::default() },
        log: LogSettings { level: LevelFilter::INFO, format: LogFormat::for_stdout() },
        traces: None,
        apps: vec![ConfiguredApp { app: App::new(id, secret, policy), secret: file.map(SecretSource::File) }],
        rules: vec![
            rule("token", CredentialSource::Bearer),
            rule("cookie", CredentialSource::Cookie(COOKIE.to_owned())),
        ],
        limits: Limits { per_user: None, burst: NonZeroU32::MIN, per_address: None, shared: None },
        trusted_hops: 0,
    }
}

fn welcome(demo: &Demo, address: SocketAddr, app: SdkAppId, is_real_app: bool) -> String {
    let alice: UserId = "alice".parse().expect("a possible user id");
    let (token, _) = demo.session(&alice, now());
    let kind = if is_real_app {
        format!("Tickets are for your app {app}. Everybody on this machine can get one: do not leave this running.")
    } else {
        format!("Tickets are for the made-up app {app}; --sdk-app-id and --secret-file make them work in yours.")
    };
    let get = format!("curl -s -X POST http://{address}/v1/usersig -H 'Authorization: Bearer {token}'");
    format!(
        "The whole service, with a page to try it: http://{address}/ (Ctrl-C ends it)\n{kind}\n\n\
         A UserSig for alice, whose login session is the token:\n\n  {get}\n\n\
         What is in it:\n\n  {get} \\\n    | sed 's/.*\"userSig\":\"\\([^\"]*\\)\".*/{{\"ticket\":\"\\1\"}}/' \\\n    \
         | curl -s http://{address}/v1/inspect -H 'Content-Type: application/json' -d @-\n\n"
    )
}

/// 64 hex digits from the system's randomness.
fn random_hex() -> String {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes).expect("the system has randomness");
    hex::encode(bytes)
}
