//! Asks a back end over HTTP: one deadline, bounded answers, bounded concurrency, no redirect, no proxy.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Certificate, Client, RequestBuilder, redirect};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::Fault;
use super::home::at_home;
use crate::telemetry::trace;

/// The longest answer about a credential that is read, in bytes.
pub(super) const MAX_ANSWER: usize = 64 * 1024;

/// How a back end is reached.
pub struct BackendSettings {
    /// How long a whole answer may take.
    pub timeout: Duration,
    /// How many questions may be under way at once.
    pub max_in_flight: usize,
    /// PEM certificates of a private authority, trusted beside the system's.
    pub ca: Option<Vec<u8>>,
    /// Addresses for host names that the resolver does not know, or knows differently.
    pub resolve: Vec<(String, SocketAddr)>,
}

/// A client for one rule's back end.
pub(super) struct Backend {
    client: Client,
    timeout: Duration,
    slots: Semaphore,
}

/// What a back end answered.
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) cache_control: Option<String>,
    pub(super) body: Vec<u8>,
}

/// A client that cannot be built. The text completes "`key` …".
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// The private authority's certificates.
    #[error("holds no PEM certificate that can be used")]
    Ca,
    /// Anything else, such as a system without certificates.
    #[error("no HTTP client can be made: {0}")]
    Client(reqwest::Error),
}

impl Backend {
    pub(super) fn new(settings: BackendSettings) -> Result<Self, BackendError> {
        let mut client = Client::builder()
            .user_agent(concat!("usersig/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(settings.timeout)
            .pool_max_idle_per_host(settings.max_in_flight);
        for (host, address) in settings.resolve {
            client = client.resolve(&host, address);
        }
        if let Some(pem) = settings.ca {
            let certificates = Certificate::from_pem_bundle(&pem).map_err(|_| BackendError::Ca)?;
            if certificates.is_empty() {
                return Err(BackendError::Ca);
            }
            client = client.tls_certs_merge(certificates);
        }
        Ok(Self {
            client: client.build().map_err(BackendError::Client)?,
            timeout: settings.timeout,
            slots: Semaphore::new(settings.max_in_flight),
        })
    }

    /// Sends one request and reads its answer of at most `max_body` bytes.
    pub(super) async fn ask(
        &self,
        request: impl FnOnce(&Client) -> RequestBuilder,
        max_body: usize,
    ) -> Result<Reply, Fault> {
        let _slot = self.slots.try_acquire().map_err(|_| Fault::Busy)?;
        let exchange = async {
            let mut request = request(&self.client);
            if let Some(traceparent) = trace::outgoing() {
                request = request.header(trace::TRACEPARENT, traceparent);
            }
            let request = request.build().map_err(|error| transport(&error))?;
            let again = request.try_clone();
            let mut response = match (self.client.execute(request).await, again) {
                // A connection that the back end has just closed may still look good. Asking once more does no harm.
                (Err(error), Some(again)) if error.is_request() && !error.is_connect() => {
                    self.client.execute(again).await
                }
                (result, _) => result,
            }
            .map_err(|error| transport(&error))?;
            let cache_control = response.headers().get("cache-control").and_then(|value| value.to_str().ok());
            let cache_control = cache_control.map(str::to_owned);
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await.map_err(|error| transport(&error))? {
                if body.len() + chunk.len() > max_body {
                    return Err(Fault::TooLarge(max_body));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Reply { status: response.status().as_u16(), cache_control, body })
        };
        timeout(self.timeout, at_home(exchange)).await.map_err(|_| Fault::Timeout(self.timeout))??
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }
}

/// The innermost cause, which names what happened and neither URL nor credential.
fn transport(error: &reqwest::Error) -> Fault {
    let mut cause: &dyn std::error::Error = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    // reqwest's own errors show the URL; those beneath do not.
    let text = if std::ptr::addr_eq(cause, error) { "the request failed".to_owned() } else { cause.to_string() };
    Fault::Transport(text)
}
