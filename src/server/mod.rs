//! The service as a whole: binds its listeners, runs, follows changed secrets, and drains.

pub mod connection;
pub mod platform;
mod secrets;
mod shutdown;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::dev::Server as ActixServer;
use actix_web::rt::System;
use actix_web::web::{Data, ServiceConfig};
use actix_web::{App as ActixApp, HttpServer};
use futures_util::TryFutureExt;
use tokio::time::{MissedTickBehavior, interval};
use tracing::{error, info, warn};

use crate::config::{AppConfig, Config, ServerConfig};
use crate::http::routes::{ops, tickets};
use crate::http::{ServedApp, State};
use crate::issue::App;
use crate::limit::{LimitSettings, Limiter};
use crate::session::{Rule, RuleSettings};
use crate::telemetry::log::{DroppedLines, Log};
use crate::telemetry::metrics::Metrics;
use connection::HEADER_TIMEOUT;
use platform::{ReloadSignal, ShutdownSignal};
use secrets::SecretWatcher;

/// Logs and runs the service until it ends, and the log to its own end.
///
/// # Errors
/// When the log cannot be started, or the service cannot be built or fails.
pub fn run(config: Config, serve: impl AsyncFnOnce(Service) -> io::Result<()>) -> io::Result<()> {
    let log = Log::start(&config.log, config.traces.as_ref())?;
    let service = Service::new(config, log.dropped.clone()).map_err(io::Error::other);
    let result = service.and_then(|service| System::new().block_on(serve(service)));
    log.end();
    result
}

/// How often secret files are read and expired entries of the limits are evicted.
const POLL: Duration = Duration::from_secs(1);
const _: () = assert!(POLL.as_secs() < 2, "a changed secret is in use within 2 s");

/// The service, built and not yet running.
pub struct Service {
    server: ServerConfig,
    state: Data<State>,
    secrets: SecretWatcher,
}

impl Service {
    /// Builds what the configuration describes.
    ///
    /// # Errors
    /// When the client of a rule or of the limit's store cannot be made; the text names it.
    pub fn new(config: Config, dropped: DroppedLines) -> Result<Self, String> {
        let rules = config.rules.into_iter().map(build_rule).collect::<Result<_, _>>()?;
        let limiter = build_limiter(&config.limit)?;
        let metrics = Metrics::default();
        if let Some(collector) = platform::process_collector() {
            metrics.register(collector);
        }
        let (mut apps, mut secrets) = (Vec::new(), Vec::new());
        for AppConfig { id, secret, secret_source, rules, policy } in config.apps {
            metrics.show_key(id, None, secret.fingerprint());
            let app = Arc::new(App::new(id, secret, policy));
            secrets.extend(secret_source.map(|source| (Arc::clone(&app), source)));
            apps.push(ServedApp { app, rules, metrics: metrics.app(id) });
        }
        let origins = config.server.allowed_origins.clone();
        let state = State::new(apps, rules, origins, limiter, config.trusted_hops, metrics, dropped);
        Ok(Self { server: config.server, state: Data::new(state), secrets: SecretWatcher::new(secrets) })
    }

    /// Serves both listeners until a signal ends the process.
    ///
    /// # Errors
    /// When a listener cannot be bound, or a server fails.
    pub async fn serve(self) -> io::Result<()> {
        let ServerConfig { listen, workers, max_connections, drain, .. } = self.server;
        let max_connections = within_descriptors(max_connections);
        let listener = bind("server.listen", listen)?;
        let address = listener.local_addr()?;
        let server = connection::serve(listener, self.state.clone(), workers, max_connections, drain)?;
        let ops_listener = bind("server.ops_listen", self.server.ops_listen)?;
        let (ops_address, state) = (ops_listener.local_addr()?, self.state.clone());
        let ops_server = serve(ops_listener, move |config| {
            config.app_data(state.clone()).configure(ops::routes).default_service(ops::not_found());
        })?;
        actix_web::rt::spawn(ops_server.inspect_err(|error| error!(cause = %error, "ops listener failed")));
        info!(address = %ops_address, listener = "ops", "listening");
        info!(%address, listener = "public", workers = workers.get(), "listening");
        self.run_until_shutdown(server).await
    }

    /// Serves all routes, and those of `more` beside them, at one listener.
    ///
    /// # Errors
    /// When the server fails.
    pub async fn serve_beside(
        self,
        listener: TcpListener,
        more: impl Fn(&mut ServiceConfig) + Clone + Send + 'static,
    ) -> io::Result<()> {
        let state = self.state.clone();
        let server = serve(listener, move |config| {
            config.app_data(state.clone()).configure(&more).configure(ops::routes).configure(tickets::routes);
        })?;
        self.run_until_shutdown(server).await
    }

    /// Runs until SIGTERM or SIGINT, then drains; a second signal ends it at once.
    async fn run_until_shutdown(mut self, server: ActixServer) -> io::Result<()> {
        let handle = server.handle();
        let mut server = actix_web::rt::spawn(server);
        let (mut shutdown, mut reload) = (ShutdownSignal::listen()?, ReloadSignal::listen()?);
        for key_set in self.state.rules.iter().filter_map(|rule| rule.rule.key_set().cloned()) {
            actix_web::rt::spawn(async move { key_set.run().await });
        }
        let mut poll = interval(POLL);
        poll.set_missed_tick_behavior(MissedTickBehavior::Delay);
        self.state.started.store(true, Ordering::Relaxed);
        loop {
            tokio::select! {
                signal = shutdown.recv() => {
                    info!(signal, "draining");
                    break;
                }
                result = &mut server => return result.map_err(io::Error::other)?,
                () = reload.recv() => {}
                _ = poll.tick() => {
                    self.state.limiter.evict_expired();
                    self.state.sampler.summarize();
                }
            }
            self.secrets.reload(&self.state.metrics);
        }
        shutdown::drain(&self.server, &self.state, &handle, &mut shutdown).await;
        Ok(())
    }
}

/// A rule with its clients; an error names it.
pub(crate) fn build_rule(settings: RuleSettings) -> Result<Rule, String> {
    let name = settings.name.clone();
    Rule::new(settings).map_err(|error| format!("session rule \"{name}\": {error}"))
}

/// The limits with their store; an error names its key.
pub(crate) fn build_limiter(settings: &LimitSettings) -> Result<Limiter, String> {
    Limiter::new(settings).map_err(|error| format!("limit.store: {error}"))
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

/// As many connections as wanted, but no more than three quarters of the descriptors that the process may have: the
/// remaining ones are for back ends, probes and itself.
fn within_descriptors(wanted: usize) -> usize {
    let most = platform::descriptor_limit().map_or(wanted, |limit| limit / 4 * 3);
    if most < wanted {
        warn!(wanted, most, "max_connections is cut to what the limit of open files (ulimit -n) admits");
    }
    most.min(wanted)
}

/// Listens at the address that this key gives.
///
/// # Errors
/// When that is not possible; the text names the key.
pub fn bind(key: &str, address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address)
        .map_err(|error| io::Error::new(error.kind(), format!("{key}: cannot listen at {address}: {error}")))
}
