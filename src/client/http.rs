//! Asks a back end over HTTP/1.1: one deadline, bounded answers, bounded concurrency, no redirect, no proxy.
//!
//! Nothing on a connection says which question an answer belongs to. A back end, or a proxy before it, that sends one answer
//! too many on a connection gives each later question the answer of another. So each question has a connection of its
//! own, unless the configuration trusts the back end in this.

use std::error::Error as StdError;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AGE, CACHE_CONTROL, CONNECTION, USER_AGENT};
use http::{Extensions, HeaderMap, HeaderValue, Request, StatusCode, Uri, request};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{self, Client};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use rustls_platform_verifier::Verifier;
use tokio::sync::Semaphore;

use super::connect::{Resolver, TcpConnector, Unconnected, Unresolved};
use super::{Deadline, Error, Phase, causes, runtime};
use crate::telemetry::trace;

/// The longest answer about a credential that is read, in bytes.
const MAX_ANSWER: usize = 64 * 1024;

type Connections = Client<HttpsConnector<TcpConnector>, Full<Bytes>>;

/// A client for one rule's back end.
pub struct HttpClient {
    connections: Connections,
    timeout: Duration,
    slots: Semaphore,
    reuse_connections: bool,
}

/// How a back end is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpSettings {
    /// How long a whole answer may take.
    pub timeout: Duration,
    /// How many questions may be under way at once.
    pub max_in_flight: usize,
    /// Certificates of private authorities, trusted beside the system's.
    pub authorities: Vec<CertificateDer<'static>>,
    /// Addresses of host names that the resolver does not know, or knows differently.
    pub resolve: Vec<(String, SocketAddr)>,
    /// Whether a connection serves more than one question.
    pub reuse_connections: bool,
}

impl HttpClient {
    /// A client of these settings.
    ///
    /// # Errors
    /// When the system has no certificates of authorities.
    pub fn new(settings: &HttpSettings) -> Result<Self, String> {
        let HttpSettings { timeout, max_in_flight, reuse_connections, .. } = *settings;
        let waiting = (!reuse_connections).then(|| Arc::new(Semaphore::new(max_in_flight)));
        let tcp = TcpConnector::new(Resolver::new(settings.resolve.clone()), timeout, waiting);
        let connections = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_max_idle_per_host(if reuse_connections { max_in_flight } else { 0 })
            .build(HttpsConnector::from((tcp, tls(&settings.authorities)?)));
        Ok(Self { connections, timeout, slots: Semaphore::new(max_in_flight), reuse_connections })
    }

    /// Asks about a credential. The answer, a 200 of at most 64 KiB, must come from the back end itself.
    ///
    /// # Errors
    /// When it does not come, or is another.
    pub async fn ask(&self, request: request::Builder, body: impl Into<Bytes>) -> Result<Vec<u8>, Error> {
        let request = request.header(CACHE_CONTROL, "no-store");
        Ok(self.exchange(request, body.into(), is_first_hand, MAX_ANSWER).await?.1)
    }

    /// Fetches what is the same for everybody and may come from a cache: a 200 of at most `max_body` bytes, with its headers.
    ///
    /// # Errors
    /// When it does not come, or is another.
    pub async fn fetch(&self, url: &str, max_body: usize) -> Result<(HeaderMap, Vec<u8>), Error> {
        self.exchange(Request::get(url), Bytes::new(), |_| true, max_body).await
    }

    async fn exchange(
        &self,
        mut request: request::Builder,
        body: Bytes,
        is_first_hand: fn(&HeaderMap) -> bool,
        max_body: usize,
    ) -> Result<(HeaderMap, Vec<u8>), Error> {
        let _slot = self.slots.try_acquire().map_err(|_| Error::Busy)?;
        request = request.header(ACCEPT, "application/json").header(USER_AGENT, AGENT);
        if let Some(traceparent) = trace::outgoing() {
            request = request.header(trace::TRACEPARENT, traceparent);
        }
        if !self.reuse_connections {
            request = request.header(CONNECTION, "close");
        }
        let request = request.body(Full::new(body)).map_err(|error| Error::transport(Phase::Start, &error))?;
        let connections = self.connections.clone();
        let exchange = async move {
            let response = send(&connections, request).await?;
            let (head, mut body) = response.into_parts();
            if !is_first_hand(&head.headers) {
                return Err(Error::Cached);
            }
            if head.status != StatusCode::OK {
                return Err(Error::Status(head.status.as_u16()));
            }
            let mut answer = Vec::new();
            while let Some(frame) = body.frame().await {
                let frame = frame.map_err(|error| Error::transport(Phase::Read, &error))?;
                let data = frame.into_data().unwrap_or_default();
                if answer.len() + data.len() > max_body {
                    return Err(Error::TooLarge(max_body));
                }
                answer.extend_from_slice(&data);
            }
            Ok((head.headers, answer))
        };
        runtime::run(Deadline::after(self.timeout), exchange).await
    }
}

const AGENT: HeaderValue = HeaderValue::from_static(concat!("usersig/", env!("CARGO_PKG_VERSION")));

/// Whether a connection has served a question before.
#[derive(Clone, Default)]
pub(super) struct Used(Arc<AtomicBool>);

/// Sends a request, and once more where the connection had served before and broke: the back end has just closed it, and
/// asking again does no harm.
async fn send(
    connections: &Connections,
    request: Request<Full<Bytes>>,
) -> Result<http::Response<hyper::body::Incoming>, Error> {
    let again = request.clone();
    let result = match connections.request(request).await {
        Err(error) if was_used(&error) => connections.request(again).await,
        result => result,
    };
    let response = result.map_err(|error| transport(&error))?;
    if let Some(used) = response.extensions().get::<Used>() {
        used.0.store(true, Ordering::Relaxed);
    }
    Ok(response)
}

fn was_used(error: &legacy::Error) -> bool {
    let mut extensions = Extensions::new();
    if let Some(connection) = error.connect_info() {
        connection.get_extras(&mut extensions);
    }
    extensions.get::<Used>().is_some_and(|used| used.0.load(Ordering::Relaxed))
}

fn transport(error: &legacy::Error) -> Error {
    let phase = if causes(error).any(<dyn StdError>::is::<Unresolved>) {
        Phase::Resolve
    } else if causes(error).any(<dyn StdError>::is::<Unconnected>) {
        Phase::Connect
    } else if error.is_connect() {
        Phase::Tls
    } else {
        Phase::Exchange
    };
    let mut io_errors = causes(error).filter_map(|cause| cause.downcast_ref::<io::Error>());
    if io_errors.any(|error| error.kind() == io::ErrorKind::AddrNotAvailable) {
        let cause = "no free local port for another connection; reuse_connections = true takes fewer".to_owned();
        return Error::Transport { phase, cause };
    }
    Error::transport(phase, error)
}

/// Whether an answer says of itself that it waited in no cache (RFC 9111, 5.1).
fn is_first_hand(headers: &HeaderMap) -> bool {
    let is_new = |age: &HeaderValue| age.to_str().is_ok_and(|age| age.parse() == Ok(0_u64));
    headers.get_all(AGE).iter().all(is_new)
}

/// The certificates of authorities in PEM, at least one.
///
/// # Errors
/// When no certificate is found, or one cannot be used. The text completes "`ca_file` …".
pub fn parse_certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, &'static str> {
    let certificates = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().unwrap_or_default();
    let (usable, unusable) = RootCertStore::empty().add_parsable_certificates(certificates.iter().cloned());
    if usable > 0 && unusable == 0 { Ok(certificates) } else { Err("holds no PEM certificate that can be used") }
}

/// TLS with the system's authorities, and these.
fn tls(authorities: &[CertificateDer<'static>]) -> Result<ClientConfig, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let failed = |error: rustls::Error| format!("no HTTP client can be made: {error}");
    let verifier = Verifier::new_with_extra_roots(authorities.to_vec(), Arc::clone(&provider)).map_err(failed)?;
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().map_err(failed)?;
    let config = config.dangerous().with_custom_certificate_verifier(Arc::new(verifier));
    let mut config = config.with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}

/// The status that a URL of plain HTTP answers with. It needs no certificates.
///
/// # Errors
/// When nothing answers in time.
pub async fn plain_status(url: Uri, limit: Duration) -> Result<StatusCode, Error> {
    let ask = async move {
        let client: Client<HttpConnector, Full<Bytes>> = Client::builder(TokioExecutor::new()).build_http();
        Ok(client.get(url).await.map_err(|error| transport(&error))?.status())
    };
    runtime::run(Deadline::after(limit), ask).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_above_0_or_unreadable_is_a_caches() {
        let is_first = |ages: &[&'static str]| {
            let header = |age: &&'static str| (AGE, HeaderValue::from_static(age));
            is_first_hand(&ages.iter().map(header).collect())
        };
        assert!(is_first(&[]) && is_first(&["0"]) && is_first(&["0", "00"]));
        for ages in [&["1"][..], &["0", "60"], &[""], &["soon"], &["-1"], &["0.5"], &["0, 0"]] {
            assert!(!is_first(ages), "{ages:?}");
        }
    }
}
