//! Follows the files that the apps' secrets are in.

use std::collections::HashMap;
use std::sync::Arc;

use tracing::{error, info};

use crate::config::SecretSource;
use crate::issue::App;
use crate::telemetry::metrics::Metrics;
use crate::ticket::SdkAppId;

/// The apps whose secrets may change, each with where its secret is.
pub(super) struct SecretWatcher {
    apps: Vec<(Arc<App>, SecretSource)>,
    /// Why an app's secret could not be read the last time; logged once, counted each time.
    last_error: HashMap<SdkAppId, String>,
}

impl SecretWatcher {
    pub(super) fn new(apps: Vec<(Arc<App>, SecretSource)>) -> Self {
        Self { apps, last_error: HashMap::new() }
    }

    /// Reads the apps' secrets again and uses those that have changed; one that cannot be used changes nothing.
    pub(super) fn reload(&mut self, metrics: &Metrics) {
        for (app, source) in &self.apps {
            let (id, old) = (app.id.get(), app.signer());
            match source.read_key() {
                Ok(secret) => {
                    self.last_error.remove(&app.id);
                    if old.key != secret {
                        let new = secret.fingerprint().to_owned();
                        app.replace_key(secret);
                        metrics.show_key(app.id, Some(old.key.fingerprint()), &new);
                        info!(app = id, key = new, old_key = old.key.fingerprint(), "secret replaced");
                    }
                }
                Err(cause) => {
                    metrics.app(app.id).reload_failures.inc();
                    if self.last_error.get(&app.id) != Some(&cause) {
                        error!(app = id, cause, key = old.key.fingerprint(), "secret not replaced");
                        self.last_error.insert(app.id, cause);
                    }
                }
            }
        }
    }
}
