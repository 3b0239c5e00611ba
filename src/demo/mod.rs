//! `usersig demo`: the whole service with embedded defaults, a page to try it, and a back end that logs in whoever asks.

mod routes;

use std::error::Error;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
use std::time::Duration;

use actix_web::web::{Data, ServiceConfig};
use clap::Args;
use tracing::level_filters::LevelFilter;

use crate::config::{AppConfig, Config, SecretSource, ServerConfig};
use crate::http::now;
use crate::issue::{Policy, RoomPolicy, Rooms};
use crate::limit::LimitSettings;
use crate::server::{self, bind};
use crate::session::{CheckSettings, CredentialSource, JwtSettings, Keys, RuleSettings, VerificationKey};
use crate::telemetry::log::{LogFormat, LogSettings};
use crate::ticket::{Privileges, SdkAppId, SecretKey, UserId};
use routes::{COOKIE, Demo};

/// The command line of `usersig demo`.
#[derive(Args)]
pub struct DemoArgs {
    /// Where to listen; loopback only
    #[arg(long, default_value = "127.0.0.1:8080", value_name = "ADDR", value_parser = loopback)]
    listen: SocketAddr,
    /// Issue tickets for this real app
    #[arg(long, value_name = "N", requires = "secret_file")]
    sdk_app_id: Option<SdkAppId>,
    /// The file with the real app's secret
    #[arg(long, value_name = "FILE", requires = "sdk_app_id")]
    secret_file: Option<PathBuf>,
}

/// Runs the whole service on loopback until a signal ends it.
///
/// # Errors
/// When it cannot listen, or the secret of a real app cannot be read.
#[expect(clippy::missing_panics_doc, reason = "what is expected of constants holds")]
pub fn run(args: DemoArgs) -> Result<(), Box<dyn Error>> {
    let id = args.sdk_app_id.unwrap_or_else(|| SdkAppId::try_from(1_400_000_000).expect("a possible SDKAppID"));
    let secret_source = args.secret_file.map(SecretSource::File);
    let is_real_app = secret_source.is_some();
    let secret = match &secret_source {
        Some(source) => source.read_key()?,
        None => SecretKey::parse(&random_hex()).expect("64 hex digits"),
    };
    let room_policy = RoomPolicy { max_privileges: Privileges::ALL, rooms: Rooms::Any };
    let policy = Policy { private_map_key: Some(room_policy), ..Policy::default() };
    let session_secret = random_hex();
    // What `serve` would read from a file.
    let config = Config {
        server: ServerConfig {
            listen: args.listen,
            ops_listen: args.listen,
            allowed_origins: Vec::new(),
            lame_duck: Duration::ZERO,
            drain: Duration::from_secs(2),
            workers: NonZeroUsize::MIN,
            max_connections: 1,
        },
        log: LogSettings { level: LevelFilter::INFO, format: LogFormat::for_stdout() },
        traces: None,
        apps: vec![AppConfig { id, secret, secret_source, rules: vec![0, 1], policy }],
        rules: vec![
            rule("token", CredentialSource::Bearer, session_secret.as_bytes()),
            rule("cookie", CredentialSource::Cookie(COOKIE.to_owned()), session_secret.as_bytes()),
        ],
        limit: LimitSettings { per_user: None, burst: NonZeroU32::MIN, per_address: None, store: None },
        trusted_hops: 0,
    };
    let listener = bind("--listen", args.listen)?;
    let address = listener.local_addr()?;
    let demo = Demo::new(id, is_real_app, session_secret.as_bytes(), address);
    // The page works without these lines.
    let _ = io::stdout().write_all(welcome(&demo, address, id, is_real_app).as_bytes());
    let demo = Data::new(demo);
    let routes = move |config: &mut ServiceConfig| {
        config.app_data(demo.clone()).configure(routes::routes);
    };
    Ok(server::run(config, async |service| service.serve_beside(listener, routes).await)?)
}

fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr = text.parse().map_err(|_| "expected an address such as 127.0.0.1:8080".to_owned())?;
    if address.ip().is_loopback() {
        return Ok(address);
    }
    Err("the demo signs for whoever asks and listens on loopback only; `usersig serve` is for everything else"
        .to_owned())
}

/// A rule that recognises the demo's own sessions.
fn rule(name: &str, source: CredentialSource, session_secret: &[u8]) -> RuleSettings {
    let key = VerificationKey::from_secret(session_secret).expect("a secret of 64 bytes");
    let settings = JwtSettings { max_lifetime: 86_400, ..JwtSettings::default() };
    let check = CheckSettings::Jwt(Keys::One(key), settings);
    RuleSettings { name: name.to_owned(), source, check, user_prefix: String::new(), deny_users: Vec::new() }
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
