//! The service as a whole: binds, runs, follows changed secrets, and drains.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::dev::Server as ActixServer;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App as ActixApp, HttpServer};
use futures_util::TryFutureExt;
use rustix::process::{Resource, getrlimit};
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{MissedTickBehavior, interval, sleep};
use tracing::{error, info, warn};

use crate::config::{Config, ConfiguredApp, Server};
use crate::http::connection::{self, HEADER_TIMEOUT};
use crate::http::demo::{self, Demo};
use crate::http::routes::{ops, tickets};
use crate::http::{ServedApp, State};
use crate::metrics::Metrics;
use crate::telemetry::{DroppedLines, FLUSH};
use crate::ticket::SdkAppId;

/// How often secret files are looked at and the limits' memory is tidied.
const POLL: Duration = Duration::from_secs(1);
const _: () = assert!(POLL.as_secs() < 2, "a changed secret is in use within 2 s");

/// The service, put together and not yet running.
pub struct Service {
    server: Server,
    state: Data<State>,
    apps: Vec<ConfiguredApp>,
    /// What was wrong with an app's secret at the last look; said once, counted each time.
    complaints: HashMap<SdkAppId, String>,
}

impl Service {
    /// Puts the rooms together.
    pub fn new(config: Config, dropped: DroppedLines) -> Self {
        let metrics = Metrics::default();
        let served = |ConfiguredApp { app, rules, .. }: &ConfiguredApp| {
            metrics.show_key(app.id, None, app.signer().key.fingerprint());
            ServedApp { app: Arc::clone(app), rules: rules.clone(), metrics: metrics.app(app.id) }
        };
        let apps = config.apps.iter().map(served).collect();
        let origins = config.server.allowed_origins.clone();
        let state = State::new(apps, config.rules, origins, config.limiter, config.trusted_hops, metrics, dropped);
        Self { server: config.server, state: Data::new(state), apps: config.apps, complaints: HashMap::new() }
    }

    /// Serves both listeners until a signal ends the process.
    ///
    /// # Errors
    /// When a listener cannot be bound, or a server fails.
    pub async fn serve(self) -> io::Result<()> {
        let Server { listen, workers, max_connections, drain, .. } = self.server;
        let max_connections = within_descriptors(max_connections);
        let listener = bind("server.listen", listen)?;
        let (address, door) = (listener.local_addr()?, listener.try_clone()?);
        let server = connection::serve(listener, self.state.clone(), workers, max_connections, drain)?;
        let ops_listener = bind("server.ops_listen", self.server.ops_listen)?;
        let (ops_address, state) = (ops_listener.local_addr()?, self.state.clone());
        let ops_server = serve(ops_listener, move |config| {
            config.app_data(state.clone()).configure(ops::routes).default_service(ops::not_found());
        })?;
        actix_web::rt::spawn(ops_server.inspect_err(|error| error!(cause = %error, "the ops listener failed")));
        info!(address = %ops_address, listener = "ops", "listening");
        info!(%address, listener = "public", workers = workers.get(), "listening");
        self.until_told(server, Some(door)).await
    }

    /// Serves everything, and the demo's routes beside it, at one listener.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn serve_demo(self, listener: TcpListener, demo: Demo) -> io::Result<()> {
        let (demo, state) = (Data::new(demo), self.state.clone());
        let server = serve(listener, move |config| {
            config.app_data(state.clone()).app_data(demo.clone()).configure(demo::routes).configure(tickets::routes);
        })?;
        self.until_told(server, None).await
    }

    /// Runs until SIGTERM or SIGINT, then drains; a second signal ends it at once.
    async fn until_told(mut self, server: ActixServer, door: Option<TcpListener>) -> io::Result<()> {
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
        for key_set in self.state.rules.iter().filter_map(|watched| watched.rule.key_set().cloned()) {
            actix_web::rt::spawn(async move { key_set.run().await });
        }
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.state.started.store(true, Ordering::Relaxed);
        loop {
            tokio::select! {
                name = end() => {
                    info!(signal = name, "draining");
                    break;
                }
                result = &mut server => return result.map_err(io::Error::other)?,
                _ = hang_up.recv() => {}
                _ = poll.tick() => self.state.limiter.forget_strangers(),
            }
            self.reload_secrets();
        }
        self.state.draining.store(true, Ordering::Relaxed);
        let drained = async {
            sleep(self.server.lame_duck).await;
            if let Some(door) = door {
                connection::shut(door).await;
            }
            tokio::select! {
                () = handle.stop(true) => {}
                () = self.idle() => {}
            }
        };
        tokio::select! {
            () = drained => info!("drained"),
            // The log's end is a part of it.
            () = sleep(self.server.drain.saturating_sub(FLUSH)) => warn!(in_flight = self.state.metrics.in_flight.get(), "drain is over, requests are cut off"),
            name = end() => warn!(signal = name, "second signal, ending at once"),
        }
        Ok(())
    }

    /// Reads the apps' secrets again and uses those that are others; one that cannot be used changes nothing.
    fn reload_secrets(&mut self) {
        let metrics = &self.state.metrics;
        for ConfiguredApp { app, secret, .. } in &self.apps {
            let Some(source) = secret else { continue };
            let (id, old) = (app.id.get(), app.signer());
            match source.read_key() {
                Ok(secret) => {
                    self.complaints.remove(&app.id);
                    if old.key != secret {
                        let new = secret.fingerprint().to_owned();
                        app.replace_key(secret);
                        metrics.show_key(app.id, Some(old.key.fingerprint()), &new);
                        info!(app = id, key = new, old_key = old.key.fingerprint(), "secret replaced");
                    }
                }
                Err(complaint) => {
                    metrics.app(app.id).reload_failures.inc();
                    if self.complaints.get(&app.id) != Some(&complaint) {
                        error!(app = id, cause = complaint, key = old.key.fingerprint(), "secret not replaced");
                        self.complaints.insert(app.id, complaint);
                    }
                }
            }
        }
    }

    /// Resolves when no request has been in flight for a while: connections that are only kept alive hold nothing up.
    async fn idle(&self) {
        const LOOK: Duration = Duration::from_millis(50);
        let mut idle_looks = 0;
        while idle_looks < 5 {
            sleep(LOOK).await;
            idle_looks = if self.state.metrics.in_flight.get() == 0 { idle_looks + 1 } else { 0 };
        }
    }
}

/// Serves `routes` by one worker on a thread of its own, so that probes are answered while the public side is saturated.
fn serve(
    listener: TcpListener,
    routes: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
) -> io::Result<ActixServer> {
    let server = HttpServer::new(move || ActixApp::new().configure(&routes));
    let server = server.workers(1).client_request_timeout(HEADER_TIMEOUT).disable_signals();
    Ok(server.listen(listener)?.run())
}

/// As many connections as wanted, but no more than three quarters of the descriptors that the process may have: the others
/// are for back ends, probes and itself.
fn within_descriptors(wanted: usize) -> usize {
    let most = usize::try_from(getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX) / 4 * 3).unwrap_or(wanted);
    if most < wanted {
        warn!(wanted, most, "max_connections is cut to what the limit of open files (ulimit -n) admits");
    }
    most.min(wanted)
}

/// Listens at the address that this key gives.
pub(crate) fn bind(key: &str, address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .map_err(|error| io::Error::new(error.kind(), format!("{key}: cannot listen at {address}: {error}")))
}
