//! What is logged: JSON or text on stdout, through a bounded queue that never holds up a request. And what is traced.

mod json;
mod queue;
pub mod trace;

use std::io::{self, IsTerminal};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use prometheus::IntCounter;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

use queue::Queue;
pub use trace::TraceSettings;

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

/// The log, and what sends traces.
pub struct Log {
    queue: Queue,
    #[cfg(feature = "otlp")]
    exporter: Option<opentelemetry_sdk::trace::SdkTracerProvider>,
}

impl Log {
    /// Starts to log, and to trace where that is wanted; once for the process. Lines that are lost are counted in `dropped`.
    ///
    /// # Errors
    /// When stdout cannot be duplicated, or the process logs already.
    pub fn start(settings: &LogSettings, traces: Option<&TraceSettings>, dropped: IntCounter) -> io::Result<Self> {
        let queue = Queue::start(dropped)?;
        let writer = queue.clone();
        let layer = match settings.format {
            LogFormat::Json => json::JsonLines(writer).boxed(),
            LogFormat::Text => {
                tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone()).boxed()
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
            queue,
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
        // On a thread of its own: the queue may be full, and stdout take nothing.
        thread::spawn(move || self.queue.end(ended));
        let _ = end.recv_timeout(FLUSH);
    }
}

/// Logs where a panic was, and its message only when that is a constant: a formatted one could quote a request.
fn log_panic(panic: &std::panic::PanicHookInfo<'_>) {
    let location = panic.location().map(ToString::to_string);
    let message = panic.payload().downcast_ref::<&'static str>().copied();
    tracing::error!(location, cause = message, "panic");
}
