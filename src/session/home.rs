//! Where the connections to back ends live: on a thread of their own, which outlives every worker that uses them.

use std::future::{Future, pending, poll_fn};
use std::pin::pin;
use std::sync::LazyLock;
use std::{io, thread};

use tokio::runtime::{Builder, Handle};

use super::Fault;

/// The thread's runtime, or why there is none. It is started when it is first needed.
static HOME: LazyLock<Result<Handle, String>> = LazyLock::new(|| {
    let start = || -> io::Result<Handle> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        thread::Builder::new().name("back-ends".to_owned()).spawn(move || runtime.block_on(pending::<()>()))?;
        Ok(handle)
    };
    start().map_err(|error| format!("no thread for connections: {error}"))
});

/// Does `work` where it is awaited, but lets all connections that it makes be driven from home.
///
/// Driven by the worker that happens to make it, a connection would break in a drain as soon as that worker has nothing
/// left to do, under the checks of the others.
///
/// # Errors
/// When the system has no thread left.
pub(super) async fn at_home<T>(work: impl Future<Output = T>) -> Result<T, Fault> {
    let home = HOME.as_ref().map_err(|cause| Fault::Transport(cause.clone()))?;
    let mut work = pin!(work);
    let done = poll_fn(|context| {
        let _entered = home.enter();
        work.as_mut().poll(context)
    });
    Ok(done.await)
}
