//! Connections of the public listener: how many there are, and what each may hold of the service.
//!
//! actix bounds a request's head, and how long a connection's first may take. It would go on reading while a client takes
//! no answers, though, and wait for ever for the rest of a later head: a stream of our own sees to both.

use std::io;
use std::net::TcpListener;
use std::num::NonZeroUsize;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use actix_http::HttpService;
use actix_service::{IntoServiceFactory, ServiceFactoryExt, fn_service, map_config};
use actix_web::App;
use actix_web::dev::{AppConfig, Server};
use actix_web::rt::net::TcpStream;
use actix_web::web::Data;
use prometheus::IntCounter;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

use crate::http::State;
use crate::http::routes::tickets;
use crate::telemetry::metrics::{Counted, Metrics};

/// How long the head of a connection's first request may take.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// How long an idle connection is kept: longer than the 60 s after which nginx and most proxies drop theirs, since the
/// side that closes first must be the one that sends requests.
const KEEP_ALIVE: Duration = Duration::from_secs(75);

/// How long after an answer the next must have begun: an idle time, a body and the slowest check fit into it. A stream
/// cannot tell a head from a body, so this bounds a later head too, which holds hardly more than an idle connection.
const STALL: Duration = Duration::from_secs(120);

/// How many bytes are read before what they ask for is answered and others have a turn: requests of 50 bytes have answers
/// of 600.
const BURST: usize = 4 * 1024;

/// How many connections may wait to be accepted.
const BACKLOG: i32 = 2048;

/// Serves the public routes at `listener`: `max_connections` at once, while more wait until one of them ends. When it is
/// stopped, requests may take as long as `drain` to end.
///
/// # Errors
/// When the listener cannot be used.
pub fn serve(
    listener: TcpListener,
    state: Data<State>,
    workers: NonZeroUsize,
    max_connections: usize,
    drain: Duration,
) -> io::Result<Server> {
    SockRef::from(&listener).listen(BACKLOG)?;
    let builder = Server::build()
        .workers(workers.get())
        .max_concurrent_connections(max_connections.div_ceil(workers.get()))
        .shutdown_timeout(drain.as_secs())
        .disable_signals();
    let stopping = builder.graceful_shutdown_signal();
    let server = builder.listen("public", listener, move || {
        let (state, stopping) = (state.clone(), stopping.clone());
        let app = App::new().app_data(state.clone()).configure(tickets::routes);
        let http = HttpService::build()
            .keep_alive(KEEP_ALIVE)
            .client_request_timeout(HEADER_TIMEOUT)
            .client_disconnect_timeout(Duration::from_secs(1))
            .graceful_shutdown_signal(move || {
                let stopping = stopping.clone();
                async move { stopping.notified().await }
            })
            .h1(map_config(app.into_factory().map_err(|error| error.error_response()), |()| AppConfig::default()));
        let accept = move |stream: TcpStream| {
            let peer = stream.peer_addr().ok();
            let connection = Connection::new(stream, STALL, &state.metrics);
            async move { Ok((connection, peer)) }
        };
        fn_service(accept).and_then(http)
    })?;
    Ok(server.run())
}

/// A connection that is read only while its answers are taken, and only while there are answers.
struct Connection {
    stream: TcpStream,
    /// How long after an answer the next is due at the latest.
    stall: Duration,
    due: Pin<Box<Sleep>>,
    /// Whether an answer waits for the client to take what was written before.
    is_blocked: bool,
    /// Bytes read in one go.
    burst: usize,
    stalled: IntCounter,
    _open: Counted,
}

impl Connection {
    fn new(stream: TcpStream, stall: Duration, metrics: &Metrics) -> Self {
        Self {
            stream,
            stall,
            due: Box::pin(sleep(stall)),
            is_blocked: false,
            burst: 0,
            stalled: metrics.connections_stalled.clone(),
            _open: Counted::new(&metrics.connections),
        }
    }

    /// What a read or a write that must wait returns: it waits, but not beyond the time that the next answer is due.
    fn wait<T>(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<T>> {
        ready!(self.due.as_mut().poll(cx));
        self.stalled.inc();
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Connection {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        if self.is_blocked {
            return self.wait(cx);
        }
        if self.burst >= BURST {
            self.burst = 0;
            cx.waker().wake_by_ref();
            return self.wait(cx);
        }
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_read(cx, buffer) {
            self.burst += buffer.filled().len() - before;
            return Poll::Ready(result);
        }
        self.burst = 0;
        self.wait(cx)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if let Poll::Ready(result) = Pin::new(&mut self.stream).poll_write(cx, bytes) {
            // Costs reading the clock: a timer that is set to later moves when it would have fired.
            let due = Instant::now() + self.stall;
            self.due.as_mut().reset(due);
            if std::mem::take(&mut self.is_blocked) {
                cx.waker().wake_by_ref();
            }
            return Poll::Ready(result);
        }
        self.is_blocked = true;
        self.wait(cx)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    const STALL: Duration = Duration::from_millis(100);

    async fn connected() -> (TcpStream, Connection) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let client = TcpStream::connect(listener.local_addr().expect("an address")).await.expect("a listener");
        (client, Connection::new(listener.accept().await.expect("a client").0, STALL, &Metrics::default()))
    }

    #[tokio::test]
    async fn a_request_that_never_ends_is_given_up() {
        let (mut client, mut connection) = connected().await;
        client.write_all(b"GET").await.expect("a peer");
        let mut bytes = [0; 8];
        assert_eq!(connection.read(&mut bytes).await.expect("bytes"), 3);
        let error = connection.read(&mut bytes).await.expect_err("no more comes");
        assert_eq!((error.kind(), connection.stalled.get()), (io::ErrorKind::TimedOut, 1));
    }

    #[tokio::test]
    async fn an_answer_begins_the_time_anew() {
        let (_client, mut connection) = connected().await;
        sleep(STALL * 2).await;
        connection.write_all(b"answer").await.expect("a peer");
        let answered_at = Instant::now();
        connection.read(&mut [0]).await.expect_err("nothing comes");
        assert!(answered_at.elapsed() >= STALL);
    }

    #[tokio::test]
    async fn who_takes_no_answers_is_not_read_from() {
        let (mut client, mut connection) = connected().await;
        let mut written = 0;
        let error = loop {
            match connection.write(&vec![0; 65_536]).await {
                Ok(count) => written += count,
                Err(error) => break error,
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut, "nobody takes more than {written} bytes");
        client.write_all(b"GET").await.expect("a peer");
        connection.due.as_mut().reset(Instant::now() + STALL);
        let error = connection.read(&mut [0; 8]).await.expect_err("is not read");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
