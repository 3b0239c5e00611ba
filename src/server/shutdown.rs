//! The end of the process: out of rotation first, still accepting, then nothing new, then done.

use std::sync::atomic::Ordering;
use std::time::Duration;

use actix_web::dev::ServerHandle;
use tokio::time::sleep;
use tracing::{info, warn};

use super::platform::ShutdownSignal;
use crate::config::ServerConfig;
use crate::http::State;
use crate::telemetry::log::FLUSH;

/// Takes new connections for `lame_duck`, since Kubernetes routes for seconds after its signal; then finishes what is in
/// flight. Ends within `drain`, of which the log's end is a part, or at a second signal.
pub(super) async fn drain(server: &ServerConfig, state: &State, handle: &ServerHandle, signal: &mut ShutdownSignal) {
    state.draining.store(true, Ordering::Relaxed);
    let drained = async {
        sleep(server.lame_duck).await;
        tokio::select! {
            () = handle.stop(true) => {}
            () = idle(state) => {}
        }
    };
    tokio::select! {
        () = drained => info!("drained"),
        () = sleep(server.drain.saturating_sub(FLUSH)) => {
            warn!(in_flight = state.metrics.in_flight.get(), "drain is over, requests are cut off");
        }
        signal = signal.recv() => warn!(signal, "second signal, ending at once"),
    }
    state.sampler.summarize();
}

/// Resolves when no request has been in flight for a while: connections that are only kept alive hold nothing up.
async fn idle(state: &State) {
    const PAUSE: Duration = Duration::from_millis(50);
    let mut idle_checks = 0;
    while idle_checks < 5 {
        sleep(PAUSE).await;
        idle_checks = if state.metrics.in_flight.get() == 0 { idle_checks + 1 } else { 0 };
    }
}
