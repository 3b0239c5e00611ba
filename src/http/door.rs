//! The way in to the public listener, and how it is shut without cutting anybody off.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use socket2::{Domain, Protocol, SockFilter, SockRef, Socket, Type};
use tokio::time::sleep;
use tracing::warn;

/// The public listener's socket, which can be closed without cutting off who has just come in.
#[derive(Debug)]
pub struct Door(TcpListener);

impl Door {
    /// How many connections may wait to be accepted.
    const BACKLOG: i32 = 2048;

    /// Binds the address; the listener for actix, and the door to it.
    pub(super) fn open(address: SocketAddr) -> io::Result<(TcpListener, Self)> {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        // A restart takes the port over while connections of the process before it are still being forgotten.
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())?;
        socket.listen(Self::BACKLOG)?;
        let listener = TcpListener::from(socket);
        let door = listener.try_clone()?;
        Ok((listener, Self(door)))
    }

    /// Lets nobody in any more, and waits until all who are in have been taken to a worker.
    ///
    /// actix drops what is accepted and not yet with a worker when it is told to stop, and a closed socket resets what
    /// has not been accepted. So the kernel is told first to overlook whoever knocks (a filter that keeps no byte of a
    /// packet, `BPF_RET` 0): he knocks again within a second, and is refused in a way that sends him elsewhere.
    pub async fn close(self) {
        const KEEP_NOTHING: SockFilter = SockFilter::new(0x06, 0, 0, 0);
        const TO_A_WORKER: Duration = Duration::from_millis(200);
        if let Err(error) = SockRef::from(&self.0).attach_filter(&[KEEP_NOTHING]) {
            warn!(cause = %error, "connections that arrive in this moment may be cut off");
        }
        sleep(TO_A_WORKER).await;
    }
}
