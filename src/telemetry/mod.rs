//! What is logged: JSON or text on stdout, through a bounded queue that never holds up a request. And what is traced.

mod json;
pub mod trace;

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

pub use trace::TraceSettings;

/// Lines that wait for a slow stdout; what comes on top of them is dropped and counted.
const QUEUE_LINES: usize = 8192;

/// How long the end of the process waits for a slow stdout.
pub const FLUSH: Duration = Duration::from_secs(1);

/// What to log, and how.
pub struct LogSettings {
    /// The least important level that is logged.
    pub level: LevelFilter,
    /// How a line looks.
    pub format: LogFormat,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

impl LogFormat {
    /// Text where a person looks on, JSON elsewhere.
    pub fn for_stdout() -> Self {
        if io::stdout().is_terminal() { Self::Text } else { Self::Json }
    }
}

/// The log's queue.
pub struct Log {
    dropped: DroppedLines,
    worker: WorkerGuard,
    #[cfg(feature = "otlp")]
    exporter: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

impl Log {
    /// Starts to log, and to trace where that is wanted; once for the process.
    ///
    /// # Errors
    /// When stdout cannot be duplicated, or the process logs already.
    pub fn start(settings: &LogSettings, traces: Option<&TraceSettings>) -> io::Result<Self> {
        // Buffered here and flushed by the worker when its queue is empty: one write for many lines.
        let stdout = BufWriter::new(File::from(io::stdout().as_fd().try_clone_to_owned()?));
        let unwritten = Arc::new(AtomicU64::new(0));
        let stdout = Stdout { stdout, unwritten: Arc::clone(&unwritten) };
        let (writer, worker) = NonBlockingBuilder::default()
            .buffered_lines_limit(QUEUE_LINES)
            .lossy(true)
            .thread_name("log")
            .finish(stdout);
        let dropped = DroppedLines { unqueued: Some(writer.error_counter()), unwritten };
        let layer = match settings.format {
            LogFormat::Json => json::JsonLines(writer).boxed(),
            LogFormat::Text => tracing_subscriber::fmt::layer().with_ansi(false).with_writer(writer).boxed(),
        };
        // Libraries may log what they send; only our own events are known to hold no credential.
        let filter =
            // actix_http logs every malformed head as an error: anybody could fill the log with them.
            Targets::new()
                .with_default(settings.level.min(LevelFilter::WARN))
                .with_target("usersig", settings.level)
                .with_target(trace::TARGET, LevelFilter::OFF)
                .with_target("actix_http", LevelFilter::OFF);
        let subscriber = tracing_subscriber::registry().with(layer.with_filter(filter));
        #[cfg(feature = "otlp")]
        let exporter = traces.map(trace::start).transpose()?;
        match traces {
            #[cfg(feature = "otlp")]
            Some(_) => subscriber.with(exporter.as_ref().map(trace::layer)).try_init(),
            _ => subscriber.try_init(),
        }
        .map_err(io::Error::other)?;
        std::panic::set_hook(Box::new(log_panic));
        Ok(Self {
            dropped,
            worker,
            #[cfg(feature = "otlp")]
            exporter,
        })
    }

    /// A handle that tells how many lines were dropped.
    pub fn dropped(&self) -> DroppedLines {
        self.dropped.clone()
    }

    /// Writes what still waits, for a second at most.
    pub fn end(self) {
        let (ended, end) = mpsc::channel::<()>();
        #[cfg(feature = "otlp")]
        if let Some(exporter) = self.exporter {
            let ended = ended.clone();
            thread::spawn(move || {
                // What is lost then, the collector was not there for.
                let _ = exporter.shutdown_with_timeout(FLUSH);
                drop(ended);
            });
        }
        // On a thread of its own: where the queue is full, the worker complains on the very stdout that takes nothing.
        thread::spawn(move || {
            drop(self.worker);
            drop(ended);
        });
        let _ = end.recv_timeout(FLUSH);
    }
}

/// Counts the lines that stdout does not take, as on a full disk.
struct Stdout<W> {
    stdout: W,
    unwritten: Arc<AtomicU64>,
}

impl<W: Write> Write for Stdout<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.stdout.write(bytes)
    }

    fn write_all(&mut self, line: &[u8]) -> io::Result<()> {
        let result = self.stdout.write_all(line);
        if result.is_err() {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

/// Tells how many log lines were dropped so far.
#[derive(Clone, Default)]
pub struct DroppedLines {
    unqueued: Option<ErrorCounter>,
    unwritten: Arc<AtomicU64>,
}

impl DroppedLines {
    /// The count since the start.
    pub fn count(&self) -> u64 {
        let unqueued = self.unqueued.as_ref().map_or(0, ErrorCounter::dropped_lines);
        u64::try_from(unqueued).unwrap_or(u64::MAX).saturating_add(self.unwritten.load(Ordering::Relaxed))
    }
}

/// Logs where a panic was, and its message only when that is a constant: a formatted one could quote a request.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    let message = panic.payload().downcast_ref::<&'static str>().copied();
    tracing::error!(location, cause = message, "panic");
}
