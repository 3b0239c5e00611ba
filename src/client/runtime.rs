//! The back-end runtime: drives all connections to back ends, and outlives every worker that uses them.

use std::future::Future;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use std::{io, thread};

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};

use super::{Error, Phase};

/// The runtime, once it has been needed and could be started.
static RUNTIME: Mutex<Option<Runtime>> = Mutex::new(None);

/// One is enough for connections, none of which computes for long; a second would be woken for nothing at every question.
const THREADS: usize = 1;

/// When an answer must be there, and how long that was from the start.
#[derive(Clone, Copy)]
pub struct Deadline {
    at: Instant,
    limit: Duration,
}

impl Deadline {
    /// So long from now.
    pub fn after(limit: Duration) -> Self {
        Self { at: Instant::now() + limit, limit }
    }
}

/// Does `work` on the back-end runtime. It is aborted at the deadline, and when the returned future is dropped.
///
/// # Errors
/// Those of `work`, and when it takes too long or the runtime cannot be started.
pub(super) async fn run<T: Send + 'static>(
    deadline: Deadline,
    work: impl Future<Output = Result<T, Error>> + Send + 'static,
) -> Result<T, Error> {
    let runtime = handle().map_err(|error| start_error(format!("no runtime for connections: {error}")))?;
    // The timer lives there too: the worker that began to wait may end in a drain before others who wait for the same answer.
    let mut task = AbortOnDrop(runtime.spawn(timeout_at(deadline.at, work)));
    match (&mut task.0).await {
        Ok(Ok(result)) => result,
        Ok(Err(_)) => Err(Error::Timeout(deadline.limit)),
        // The log has the place of the panic; its message could quote a request.
        Err(_) => Err(start_error("the question ended in a panic".to_owned())),
    }
}

struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Starts the runtime where there is none. A failure is not remembered: the next question finds what has become free.
fn handle() -> io::Result<Handle> {
    let mut runtime = RUNTIME.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(runtime) = &*runtime {
        return Ok(runtime.handle().clone());
    }
    // On a thread of its own, since building panics where the system has no thread left for its workers.
    let build = || Builder::new_multi_thread().worker_threads(THREADS).thread_name("back-ends").enable_all().build();
    let builder = thread::Builder::new().name("back-ends".to_owned()).spawn(build)?;
    let started = builder.join().map_err(|_| io::Error::other("no thread is left"))??;
    Ok(runtime.insert(started).handle().clone())
}

const fn start_error(cause: String) -> Error {
    Error::Transport { phase: Phase::Start, cause }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::oneshot;

    use super::*;

    fn block_on<T>(work: impl Future<Output = T>) -> T {
        Builder::new_current_thread().enable_all().build().expect("a runtime").block_on(work)
    }

    #[test]
    fn a_panic_is_an_error() {
        let work = async { if true { panic!("as a test does") } else { Ok(()) } };
        let result = block_on(run(Deadline::after(Duration::from_secs(60)), work));
        assert_eq!(result, Err(start_error("the question ended in a panic".to_owned())));
    }

    #[test]
    fn work_ends_at_the_deadline_and_with_its_caller() {
        block_on(async {
            for limit in [Duration::from_millis(1), Duration::from_secs(60)] {
                let (held, dropped) = oneshot::channel::<()>();
                let work = async move {
                    let _held = held;
                    pending::<Result<(), Error>>().await
                };
                let result = tokio::time::timeout(Duration::from_millis(100), run(Deadline::after(limit), work)).await;
                assert!(matches!(result, Err(_) | Ok(Err(Error::Timeout(_)))), "{result:?}");
                dropped.await.expect_err("the work is dropped");
            }
        });
    }
}
