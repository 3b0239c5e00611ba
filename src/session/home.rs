//! Where the connections to back ends live: on a thread of their own, which outlives every worker that uses them.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Duration;
use std::{io, thread};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::time::timeout;

use super::Fault;

/// The thread's runtime, once it has been needed and could be started.
static HOME: Mutex<Option<Handle>> = Mutex::new(None);

/// Starts the thread where there is none. A failure is not remembered: the next check finds what has become free.
fn home() -> io::Result<Handle> {
    let mut home = HOME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(home) = &*home {
        return Ok(home.clone());
    }
    // The thread first: without one the runtime would be dropped here, inside another, which it must not be.
    let (to_thread, built) = mpsc::channel::<Runtime>();
    let drive = move || built.recv().map(|runtime| runtime.block_on(pending::<()>()));
    thread::Builder::new().name("back-ends".to_owned()).spawn(drive)?;
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let handle = runtime.handle().clone();
    // The thread waits for exactly this.
    let _ = to_thread.send(runtime);
    Ok(home.insert(handle).clone())
}

/// Does `work` where it is awaited, within `limit`, but lets all connections that it makes be driven from home.
///
/// Driven by the worker that happens to make it, a connection would break in a drain as soon as that worker has nothing
/// left to do, under the checks of the others.
///
/// # Errors
/// Those of `work`, and a fault when it takes too long or the system has no thread left.
pub(super) async fn at_home<T, E: Into<Fault>>(
    limit: Duration,
    work: impl Future<Output = Result<T, E>>,
) -> Result<T, Fault> {
    let home = home().map_err(|error| Fault::Transport(format!("no thread for connections: {error}")))?;
    let mut work = pin!(work);
    let done = poll_fn(|context| {
        let _entered = home.enter();
        work.as_mut().poll(context)
    });
    timeout(limit, done).await.map_err(|_| Fault::Timeout(limit))?.map_err(Into::into)
}
