//! The service as a whole: binds, runs, follows changed secrets, and drains.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use actix_web::dev::Server as ActixServer;
use actix_web::middleware::from_fn;
use actix_web::web::{Data, to};
use actix_web::{App as ActixApp, HttpServer};
use prometheus::IntCounter;
use rustix::process::{Resource, getrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{error, info, warn};

use crate::config::{Config, ConfiguredApp, SecretSource, Server};
use crate::http::demo::{self, Demo};
use crate::http::ops::{self, OpsState};
use crate::http::public::{self, Doors, PublicState};
use crate::http::{Door, HEADER_TIMEOUT, Lifecycle, Listener, OriginPolicy, WatchedRule};
use crate::issue::App;
use crate::limit::Limiter;
use crate::metrics::Metrics;
use crate::session::CredentialSource;
use crate::telemetry::FLUSH;
use crate::ticket::SecretKey;

/// How often secret files are looked at and the limits' memory is tidied.
const POLL: Duration = Duration::from_secs(1);
const _: () = assert!(POLL.as_secs() < 2, "a changed secret is in use within 2 s");

/// The service, put together and not yet running.
pub struct Service {
    server: Server,
    public: Data<PublicState>,
    ops: Data<OpsState>,
    secrets: Vec<FollowedSecret>,
}

impl Service {
    /// Puts the rooms together.
    pub fn new(config: Config, metrics: Metrics) -> Self {
        let metrics = Arc::new(metrics);
        let lifecycle = Arc::new(Lifecycle::default());
        let (apps, secrets): (Vec<_>, Vec<_>) = config.apps.into_iter().map(|app| follow(app, &metrics)).unzip();
        let headers = config.rules.iter().filter_map(|rule| match &rule.source {
            CredentialSource::Header(name) => Some(name.as_str()),
            CredentialSource::Cookie(_) | CredentialSource::Bearer => None,
        });
        let origins = OriginPolicy::new(config.server.allowed_origins.clone(), headers);
        let watched = config.rules.into_iter().map(|rule| WatchedRule::new(rule, &metrics));
        let rules: Arc<[_]> = watched.collect();
        let doors = Doors { origins, limiter: Limiter::new(config.limits), trusted_hops: config.trusted_hops };
        let public = PublicState::new(&apps, Arc::clone(&rules), doors, &metrics, Arc::clone(&lifecycle));
        let ops = OpsState { apps, rules, metrics, lifecycle };
        Self { server: config.server, public: Data::new(public), ops: Data::new(ops), secrets }
    }

    /// Serves both listeners until a signal ends the process.
    ///
    /// # Errors
    /// When a listener cannot be bound, or a server fails.
    pub async fn serve(self) -> io::Result<()> {
        let Server { listen, workers, max_connections, drain, .. } = self.server;
        let max_connections = within_descriptors(max_connections);
        let listener = Listener { address: listen, workers, max_connections, drain };
        let (server, address, door) =
            listener.serve(&self.public).map_err(|error| cannot_bind("server.listen", listen, &error))?;
        let ops_address = spawn_ops(self.server.ops_listen, self.ops.clone())?;
        info!(address = %ops_address, listener = "ops", "listening");
        info!(%address, listener = "public", workers = self.server.workers.get(), "listening");
        self.until_told(server, Some(door)).await
    }

    /// Serves everything, and the demo's routes beside it, on one loopback address.
    ///
    /// # Errors
    /// When the address cannot be bound, or the server fails.
    pub async fn serve_demo(self, demo: impl FnOnce(SocketAddr) -> Demo) -> io::Result<()> {
        let (public, ops, listen) = (self.public.clone(), self.ops.clone(), self.server.listen);
        let listener = TcpListener::bind(listen).map_err(|error| cannot_bind("--listen", listen, &error))?;
        let demo = Data::new(demo(listener.local_addr()?));
        let server = HttpServer::new(move || {
            ActixApp::new()
                .app_data(public.clone())
                .app_data(ops.clone())
                .app_data(demo.clone())
                .wrap(from_fn(demo::own_host_only))
                .configure(demo::routes)
                .configure(public::routes)
        })
        .workers(1)
        .disable_signals()
        .listen(listener)?
        .run();
        self.until_told(server, None).await
    }

    /// Runs until SIGTERM or SIGINT, then drains; a second signal ends it at once.
    async fn until_told(mut self, server: ActixServer, door: Option<Door>) -> io::Result<()> {
        let lifecycle = Arc::clone(&self.ops.lifecycle);
        let handle = server.handle();
        let mut server = actix_web::rt::spawn(server);
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let mut end = async || {
            tokio::select! {
                _ = terminate.recv() => "SIGTERM",
                _ = interrupt.recv() => "SIGINT",
            }
        };
        let mut hang_up = signal(SignalKind::hangup())?;
        for key_set in self.ops.rules.iter().filter_map(|watched| watched.rule.key_set().cloned()) {
            actix_web::rt::spawn(async move { key_set.run().await });
        }
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        lifecycle.started();
        loop {
            tokio::select! {
                name = end() => {
                    info!(signal = name, "draining");
                    break;
                }
                _ = hang_up.recv() => self.reload_secrets(),
                _ = poll.tick() => {
                    self.reload_secrets();
                    self.public.limiter().forget_strangers();
                }
                result = &mut server => return result.map_err(io::Error::other)?,
            }
        }
        lifecycle.drain();
        let drained = async {
            sleep(self.server.lame_duck).await;
            if let Some(door) = door {
                door.close().await;
            }
            let stopped = handle.stop(true);
            tokio::select! {
                () = stopped => {}
                () = self.idle() => {}
            }
        };
        tokio::select! {
            () = drained => info!("drained"),
            // The log's end is a part of it.
            () = sleep(self.server.drain.saturating_sub(FLUSH)) => warn!(in_flight = self.ops.metrics.in_flight.get(), "drain is over, requests are cut off"),
            name = end() => warn!(signal = name, "second signal, ending at once"),
        }
        Ok(())
    }

    /// Resolves when no request has been in flight for a while: connections that are only kept alive hold nothing up.
    async fn idle(&self) {
        const LOOK: Duration = Duration::from_millis(50);
        let mut idle_looks = 0;
        while idle_looks < 5 {
            sleep(LOOK).await;
            idle_looks = if self.ops.metrics.in_flight.get() == 0 { idle_looks + 1 } else { 0 };
        }
    }

    fn reload_secrets(&mut self) {
        for secret in &mut self.secrets {
            secret.reload(&self.ops.metrics);
        }
    }
}

/// An app's secret and where it came from.
struct FollowedSecret {
    app: Arc<App>,
    source: Option<SecretSource>,
    failures: IntCounter,
    /// What was wrong at the last look; said once, counted each time.
    complaint: Option<String>,
}

fn follow(configured: ConfiguredApp, metrics: &Metrics) -> (Arc<App>, FollowedSecret) {
    let app = Arc::new(configured.app);
    metrics.show_key(app.id, None, app.signer().key.fingerprint());
    let failures = metrics.app(app.id).reload_failures;
    (Arc::clone(&app), FollowedSecret { app, source: configured.secret, failures, complaint: None })
}

impl FollowedSecret {
    /// Reads the secret again and uses it if it is another; one that cannot be used changes nothing.
    fn reload(&mut self, metrics: &Metrics) {
        let Some(source) = &self.source else { return };
        let read = source.read().map_err(|error| error.to_string());
        let parsed = read.and_then(|text| SecretKey::parse(&text).map_err(|error| format!("{source} {error}")));
        let app = self.app.id.get();
        match parsed {
            Ok(secret) => {
                self.complaint = None;
                let (old, new) = (self.app.signer(), secret.fingerprint().to_owned());
                if old.key != secret {
                    self.app.replace_key(secret);
                    metrics.show_key(self.app.id, Some(old.key.fingerprint()), &new);
                    info!(app, key = new, old_key = old.key.fingerprint(), "secret replaced");
                }
            }
            Err(complaint) => {
                self.failures.inc();
                if self.complaint.as_ref() != Some(&complaint) {
                    error!(app, cause = complaint, key = self.app.signer().key.fingerprint(), "secret not replaced");
                    self.complaint = Some(complaint);
                }
            }
        }
    }
}

/// Runs the ops listener on a thread of its own, so that probes are answered while the public side is saturated.
fn spawn_ops(listen: SocketAddr, state: Data<OpsState>) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind(listen).map_err(|error| cannot_bind("server.ops_listen", listen, &error))?;
    let address = listener.local_addr()?;
    thread::Builder::new().name("ops".to_owned()).spawn(move || {
        let served = actix_web::rt::System::new().block_on(async move {
            HttpServer::new(move || {
                ActixApp::new().app_data(state.clone()).configure(ops::routes).default_service(to(ops::nothing_here))
            })
            .workers(1)
            .client_request_timeout(HEADER_TIMEOUT)
            .disable_signals()
            .listen(listener)?
            .run()
            .await
        });
        if let Err(error) = served {
            error!(cause = %error, "the ops listener failed");
        }
    })?;
    Ok(address)
}

/// As many connections as wanted, but no more than three quarters of the descriptors that the process may have: the others
/// are for back ends, probes and itself.
fn within_descriptors(wanted: NonZeroUsize) -> NonZeroUsize {
    let most = getrlimit(Resource::Nofile).current.and_then(|count| usize::try_from(count / 4 * 3).ok());
    match most.and_then(NonZeroUsize::new) {
        Some(most) if most < wanted => {
            warn!(wanted, most, "max_connections is cut to what the limit of open files (ulimit -n) admits");
            most
        }
        _ => wanted,
    }
}

fn cannot_bind(key: &str, address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{key}: cannot listen at {address}: {error}"))
}
