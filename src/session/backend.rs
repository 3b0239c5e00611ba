//! Asks a back end over HTTP: one deadline, bounded answers, bounded concurrency, no redirect, no proxy.

use std::mem;
use std::net::SocketAddr;
use std::time::Duration;

use reqwest::header::{ACCEPT, HeaderMap, HeaderValue};
use reqwest::{Certificate, Client, RequestBuilder, StatusCode, redirect};
use tokio::sync::Semaphore;

use super::Fault;
use super::home::at_home;
use crate::telemetry::trace;

/// The longest answer about a credential that is read, in bytes.
pub(super) const MAX_ANSWER: usize = 64 * 1024;

/// A client for one rule's back end.
pub struct Backend {
    pub(super) client: Client,
    /// How long a whole answer may take.
    pub(super) timeout: Duration,
    /// How many questions may be under way at once.
    pub(super) slots: Semaphore,
}

impl Backend {
    /// A client whose answers may take `timeout` as a whole, with at most `max_in_flight` questions under way. A `ca` is PEM
    /// certificates of a private authority, trusted beside the system's, and `resolve` the addresses of host names that the
    /// resolver does not know, or knows differently.
    ///
    /// # Errors
    /// When no client can be made of that, or on a system without certificates. The text completes "`ca_file` …".
    pub fn new(
        timeout: Duration,
        max_in_flight: usize,
        ca: Option<Vec<u8>>,
        resolve: Vec<(String, SocketAddr)>,
    ) -> Result<Self, String> {
        let accept = (ACCEPT, HeaderValue::from_static("application/json"));
        let mut client = Client::builder()
            .default_headers(HeaderMap::from_iter([accept]))
            .user_agent(concat!("usersig/", env!("CARGO_PKG_VERSION")))
            .redirect(redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .connect_timeout(timeout)
            .pool_max_idle_per_host(max_in_flight);
        for (host, address) in resolve {
            client = client.resolve(&host, address);
        }
        if let Some(pem) = ca {
            let certificates = Certificate::from_pem_bundle(&pem).ok().filter(|all| !all.is_empty());
            client = client.tls_certs_merge(certificates.ok_or("holds no PEM certificate that can be used")?);
        }
        let client = client.build().map_err(|error| format!("no HTTP client can be made: {error}"))?;
        Ok(Self { client, timeout, slots: Semaphore::new(max_in_flight) })
    }

    /// Sends a request of our client and reads its answer, which must be a 200 of at most `max_body` bytes.
    pub(super) async fn ask(&self, request: RequestBuilder, max_body: usize) -> Result<(HeaderMap, Vec<u8>), Fault> {
        let _slot = self.slots.try_acquire().map_err(|_| Fault::Busy)?;
        let request = match trace::outgoing() {
            Some(traceparent) => request.header(trace::TRACEPARENT, traceparent),
            None => request,
        };
        let exchange = async {
            let again = request.try_clone();
            let mut response = match (request.send().await, again) {
                // A connection that the back end has just closed may still look good. Asking once more does no harm.
                (Err(error), Some(again)) if error.is_request() && !error.is_connect() => again.send().await,
                (result, _) => result,
            }?;
            let mut body = Vec::new();
            while let Some(chunk) = response.chunk().await? {
                if body.len() + chunk.len() > max_body {
                    return Err(Fault::TooLarge(max_body));
                }
                body.extend_from_slice(&chunk);
            }
            match response.status() {
                StatusCode::OK => Ok((mem::take(response.headers_mut()), body)),
                other => Err(Fault::Status(other.as_u16())),
            }
        };
        at_home(self.timeout, exchange).await
    }
}

/// The innermost cause, which names what happened and neither URL nor credential.
impl From<reqwest::Error> for Fault {
    fn from(error: reqwest::Error) -> Self {
        let error = error.without_url();
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        Self::Transport(cause.to_string())
    }
}
