//! TCP connections to back ends: how names resolve, and which side closes first.

use std::collections::HashMap;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use std::vec::IntoIter;

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::dns::{GaiResolver, Name};
use hyper_util::client::legacy::connect::{Connected, Connection, HttpConnector};
use hyper_util::rt::TokioIo;
use socket2::SockRef;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Sleep, sleep};
use tower_service::Service;

use super::http::Used;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
type BoxFuture<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// Asks the system for addresses, except for the names in a table.
#[derive(Clone)]
pub(super) struct Resolver {
    system: GaiResolver,
    table: Arc<HashMap<String, SocketAddr>>,
}

/// A name has no address.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unresolved(#[source] io::Error);

/// There is no TCP connection.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Unconnected(#[source] BoxError);

impl Resolver {
    pub(super) fn new(table: impl IntoIterator<Item = (String, SocketAddr)>) -> Self {
        Self { system: GaiResolver::new(), table: Arc::new(table.into_iter().collect()) }
    }
}

impl Service<Name> for Resolver {
    type Response = IntoIter<SocketAddr>;
    type Error = Unresolved;
    type Future = BoxFuture<Self::Response, Self::Error>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Unresolved>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        if let Some(address) = self.table.get(name.as_str()) {
            let address = *address;
            return Box::pin(async move { Ok(vec![address].into_iter()) });
        }
        let addresses = self.system.call(name);
        Box::pin(async { Ok(addresses.await.map_err(Unresolved)?.collect::<Vec<_>>().into_iter()) })
    }
}

/// Makes TCP connections.
#[derive(Clone)]
pub(super) struct TcpConnector {
    http: HttpConnector<Resolver>,
    /// How many connections may wait for the other side to close first; `None` where connections are reused.
    waiting: Option<Arc<Semaphore>>,
}

impl TcpConnector {
    /// With a limit for all attempts to connect together.
    pub(super) fn new(resolver: Resolver, timeout: Duration, waiting: Option<Arc<Semaphore>>) -> Self {
        const KEEP_ALIVE: Duration = Duration::from_secs(15);
        let mut http = HttpConnector::new_with_resolver(resolver);
        http.enforce_http(false);
        http.set_nodelay(true);
        http.set_connect_timeout(Some(timeout));
        if waiting.is_none() {
            http.set_keepalive(Some(KEEP_ALIVE));
            http.set_keepalive_interval(Some(KEEP_ALIVE));
            http.set_keepalive_retries(Some(3));
        }
        Self { http, waiting }
    }
}

impl Service<Uri> for TcpConnector {
    type Response = Tcp;
    type Error = BoxError;
    type Future = BoxFuture<Tcp, BoxError>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.http.poll_ready(context).map_err(Into::into)
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let (connecting, waiting) = (self.http.call(uri), self.waiting.clone());
        Box::pin(async move {
            let stream = connecting.await.map_err(|error| Unconnected(error.into()))?;
            Ok(Tcp { stream, waiting, has_answered: false, end: None })
        })
    }
}

/// A TCP connection that the other side closes first, or that is reset. Our own close would leave it in `TIME_WAIT`, which
/// keeps its port for a minute: there are some 28,000 towards one address, and each check takes one.
pub(super) struct Tcp {
    stream: TokioIo<TcpStream>,
    waiting: Option<Arc<Semaphore>>,
    /// Nobody waits for the end of a question that was abandoned: the reset tells the other side not to answer it.
    has_answered: bool,
    end: Option<End>,
}

/// A connection's end, as it waits.
struct End {
    _place: OwnedSemaphorePermit,
    until: Pin<Box<Sleep>>,
    discarded: usize,
    has_closed: bool,
}

impl End {
    /// How long it waits at most, and how many bytes it reads meanwhile.
    const WAIT: Duration = Duration::from_secs(1);
    const MAX_DISCARDED: usize = 64 * 1024;

    /// Reads and discards until the other side has closed, or for long enough.
    fn poll(&mut self, stream: &TcpStream, context: &mut Context<'_>) -> Poll<()> {
        let mut bytes = [0; 4096];
        while self.discarded < Self::MAX_DISCARDED && self.until.as_mut().poll(context).is_pending() {
            if ready!(stream.poll_read_ready(context)).is_err() {
                break;
            }
            match stream.try_read(&mut bytes) {
                Ok(0) => {
                    self.has_closed = true;
                    break;
                }
                Ok(count) => self.discarded += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => break,
            }
        }
        Poll::Ready(())
    }
}

impl Write for Tcp {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let Some(waiting) = &this.waiting else { return Pin::new(&mut this.stream).poll_shutdown(context) };
        if this.has_answered && this.end.is_none() {
            // Where too many wait already, as before a back end that leaves connections open, it does not.
            let place = Arc::clone(waiting).try_acquire_owned().ok();
            let end = |place| End { _place: place, until: Box::pin(sleep(End::WAIT)), discarded: 0, has_closed: false };
            this.end = place.map(end);
        }
        if let Some(end) = &mut this.end {
            ready!(end.poll(this.stream.inner(), context));
        }
        Poll::Ready(Ok(()))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }
}

impl Read for Tcp {
    fn poll_read(mut self: Pin<&mut Self>, context: &mut Context<'_>, to: ReadBufCursor<'_>) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.stream).poll_read(context, to));
        self.has_answered = true;
        Poll::Ready(read)
    }
}

impl Drop for Tcp {
    fn drop(&mut self) {
        if self.waiting.is_some() && !self.end.as_ref().is_some_and(|end| end.has_closed) {
            // An error says that there is no connection any more.
            let _ = SockRef::from(self.stream.inner()).set_linger(Some(Duration::ZERO));
        }
    }
}

impl Connection for Tcp {
    fn connected(&self) -> Connected {
        self.stream.connected().extra(Used::default())
    }
}
