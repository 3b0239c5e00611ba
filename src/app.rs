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
use rustix::process::{Resource, getrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{error, info, warn};

use crate::config::{Config, ConfiguredApp, Server};
use crate::http::demo::{self, Demo};
use crate::http::ops::{self, OpsState};
use crate::http::public::{self, Doors, PublicState};
use crate::http::{Door, HEADER_TIMEOUT, Lifecycle, Listener, OriginPolicy, WatchedRule};
use crate::limit::Limiter;
use crate::metrics::Metrics;
use crate::session::CredentialSource;
use crate::telemetry::{DroppedLines, FLUSH};

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
    pub fn new(config: Config, dropped: DroppedLines) -> Self {
        let metrics = Arc::new(Metrics::new());
        let lifecycle = Arc::new(Lifecycle::default());
        let apps: Vec<_> = config.apps.iter().map(|configured| Arc::clone(&configured.app)).collect();
        for app in &apps {
            metrics.show_key(app.id, None, app.key().fingerprint());
        }
        let follow = |configured| FollowedSecret { configured, complaint: None };
        let secrets = config.apps.into_iter().map(follow).collect();
        let headers = config.rules.iter().filter_map(|rule| match &rule.source {
            CredentialSource::Header(name) => Some(name.as_str()),
            CredentialSource::Cookie(_) | CredentialSource::Bearer => None,
        });
        let origins = OriginPolicy::new(config.server.allowed_origins.clone(), headers);
        let watched = config.rules.into_iter().map(|rule| WatchedRule::new(rule, &metrics));
        let rules: Arc<[_]> = watched.collect();
        let doors = Doors { origins, limiter: Limiter::new(config.limits), trusted_hops: config.trusted_hops };
        let public = PublicState::new(&apps, Arc::clone(&rules), doors, &metrics, Arc::clone(&lifecycle));
        let ops = OpsState { apps, rules, metrics, lifecycle, dropped };
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
        self.ops.lifecycle.started();
        loop {
            tokio::select! {
                name = end() => {
                    info!(signal = name, "draining");
                    break;
                }
                result = &mut server => return result.map_err(io::Error::other)?,
                _ = hang_up.recv() => {}
                _ = poll.tick() => self.public.limiter().forget_strangers(),
            }
            for secret in &mut self.secrets {
                secret.reload(&self.ops.metrics);
            }
        }
        self.ops.lifecycle.drain();
        let drained = async {
            sleep(self.server.lame_duck).await;
            if let Some(door) = door {
                door.close().await;
            }
            tokio::select! {
                () = handle.stop(true) => {}
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
}

/// An app whose secret is read again and again.
struct FollowedSecret {
    configured: ConfiguredApp,
    /// What was wrong at the last look; said once, counted each time.
    complaint: Option<String>,
}

impl FollowedSecret {
    /// Reads the secret again and uses it if it is another; one that cannot be used changes nothing.
    fn reload(&mut self, metrics: &Metrics) {
        let ConfiguredApp { app, secret: Some(source) } = &self.configured else { return };
        let (id, old) = (app.id.get(), app.key());
        match source.read_key() {
            Ok(secret) => {
                self.complaint = None;
                if old.secret != secret {
                    let new = secret.fingerprint();
                    app.replace_key(secret);
                    metrics.show_key(app.id, Some(old.fingerprint()), &new);
                    info!(app = id, key = new.as_str(), old_key = old.fingerprint().as_str(), "secret replaced");
                }
            }
            Err(complaint) => {
                metrics.app(app.id).reload_failures.inc();
                if self.complaint.as_ref() != Some(&complaint) {
                    error!(app = id, cause = complaint, key = old.fingerprint().as_str(), "secret not replaced");
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
    let most = usize::try_from(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / 4 * 3).ok();
    let granted = most.and_then(NonZeroUsize::new).unwrap_or(wanted).min(wanted);
    if granted < wanted {
        warn!(wanted, most = granted, "max_connections is cut to what the limit of open files (ulimit -n) admits");
    }
    granted
}

fn cannot_bind(key: &str, address: SocketAddr, error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), format!("{key}: cannot listen at {address}: {error}"))
}
