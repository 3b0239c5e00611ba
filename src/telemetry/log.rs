//! The log: JSON or text on stdout, through a bounded queue that never holds up a request.

use std::fmt;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use super::json::{self, Cut, is_disguise};
use super::trace::{self, TraceSettings};

/// Lines that wait for a slow stdout; what comes on top of them is dropped and counted.
const QUEUE_LINES: usize = 8192;

/// How long the end of the process waits for a slow stdout.
pub const FLUSH: Duration = Duration::from_secs(1);

/// What to log, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// Tells how many log lines were dropped so far.
pub type DroppedLines = Arc<dyn Fn() -> u64 + Send + Sync>;

/// The log's queue.
pub struct Log {
    /// How many lines were dropped so far.
    pub dropped: DroppedLines,
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
        let unqueued = writer.error_counter();
        let dropped = Arc::new(move || unqueued.dropped_lines() as u64 + unwritten.load(Ordering::Relaxed));
        let layer = match settings.format {
            LogFormat::Json => json::JsonLines(writer).boxed(),
            LogFormat::Text => {
                let fields = debug_fn(text_field).delimited(" ");
                tracing_subscriber::fmt::layer().fmt_fields(fields).with_ansi(false).with_writer(writer).boxed()
            }
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

/// A field as people read it, with the bounds and the escapes of the JSON lines.
fn text_field(writer: &mut Writer<'_>, field: &Field, value: &dyn fmt::Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{field}=")?;
    }
    for c in Cut(value).to_string().chars() {
        if c.is_control() || is_disguise(c) {
            write!(writer, "{}", c.escape_unicode())?;
        } else {
            writer.write_char(c)?;
        }
    }
    Ok(())
}

/// Counts the lines that stdout does not take, as on a full disk.
struct Stdout {
    stdout: BufWriter<File>,
    unwritten: Arc<AtomicU64>,
}

impl Write for Stdout {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let result = self.stdout.write(line);
        if result.is_err() {
            self.unwritten.fetch_add(1, Ordering::Relaxed);
        }
        result
    }

    fn flush(&mut self) -> io::Result<()> {
        self.stdout.flush()
    }
}

/// Logs where a panic was, and its message only when that is a constant: a formatted one could quote a request.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    let message = panic.payload().downcast_ref::<&'static str>().copied();
    tracing::error!(location, cause = message, "panic");
}
