//! Traces: a span for each request and for each session check, sent by OTLP/HTTP to the collector that the configuration
//! names.
//!
//! Spans are `tracing` spans of the target [`TARGET`]. While no collector is named, nothing is interested in that target,
//! and a span costs a look at one atomic. Only the cargo feature `otlp` brings what sends them.

use tracing::Span;
use url::Url;

/// The target of all spans, which no log shows.
pub const TARGET: &str = "usersig::trace";

/// The header that continues a trace.
pub const TRACEPARENT: &str = "traceparent";

/// Where traces go, and how many.
pub struct TraceSettings {
    /// The collector's base URL; spans go to `/v1/traces` below it.
    pub endpoint: Url,
    /// Which part of the traces that begin here is recorded, 0 to 1; others are as their caller decided.
    pub ratio: f64,
}

/// Whether this build can send traces.
pub const AVAILABLE: bool = cfg!(feature = "otlp");

#[cfg(feature = "otlp")]
pub use otlp::{continue_from, outgoing};
#[cfg(feature = "otlp")]
pub(super) use otlp::{layer, start};

/// Makes `span` a part of the trace that a caller's `traceparent` names (W3C Trace Context).
#[cfg(not(feature = "otlp"))]
pub fn continue_from<'a>(_span: &Span, _traceparent: impl FnOnce() -> Option<&'a str>) {}

/// The `traceparent` with which a back end continues the trace of the current span; `None` where nothing is traced.
#[cfg(not(feature = "otlp"))]
pub fn outgoing() -> Option<String> {
    None
}

#[cfg(feature = "otlp")]
mod otlp {
    use std::collections::HashMap;
    use std::io;
    use std::time::Duration;

    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry::trace::TracerProvider;
    use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tracing::Subscriber;
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::layer::Layer;
    use tracing_subscriber::registry::LookupSpan;

    use super::{Span, TARGET, TRACEPARENT, TraceSettings};

    /// How long the collector may take to accept a batch.
    const TIMEOUT: Duration = Duration::from_secs(5);

    /// Sends spans in batches from a thread of its own, and drops them while the collector is away.
    pub(in super::super) fn start(settings: &TraceSettings) -> io::Result<SdkTracerProvider> {
        // Like every client here: no proxy of the environment's, no redirect.
        let client = reqwest::blocking::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .timeout(TIMEOUT)
            .build()
            .map_err(io::Error::other)?;
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(format!("{}/v1/traces", settings.endpoint.as_str().trim_end_matches('/')))
            .build()
            .map_err(io::Error::other)?;
        Ok(SdkTracerProvider::builder()
            .with_resource(Resource::builder().with_service_name(env!("CARGO_PKG_NAME")).build())
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(settings.ratio))))
            .with_batch_exporter(exporter)
            .build())
    }

    /// What turns spans of [`TARGET`], and nothing else, into traces.
    pub(in super::super) fn layer<S: Subscriber + for<'a> LookupSpan<'a>>(
        exporter: &SdkTracerProvider,
    ) -> impl Layer<S> + use<S> {
        let layer = tracing_opentelemetry::layer()
            .with_tracer(exporter.tracer(env!("CARGO_PKG_NAME")))
            .with_location(false)
            .with_threads(false)
            .with_target(false)
            .with_tracked_inactivity(false);
        layer.with_filter(Targets::new().with_target(TARGET, tracing::Level::INFO))
    }

    /// Makes `span` a part of the trace that a caller's `traceparent` names (W3C Trace Context).
    ///
    /// Its `tracestate` is not looked at: nothing that a caller has written goes on to a back end.
    pub fn continue_from<'a>(span: &Span, traceparent: impl FnOnce() -> Option<&'a str>) {
        if !span.is_disabled() {
            let named = traceparent().map(|value| (TRACEPARENT.to_owned(), value.to_owned()));
            let context: HashMap<_, _> = named.into_iter().collect();
            // An error says that the span has begun, which it has not.
            let _ = span.set_parent(TraceContextPropagator::new().extract(&context));
        }
    }

    /// The `traceparent` with which a back end continues the trace of the current span; `None` where nothing is traced.
    pub fn outgoing() -> Option<String> {
        let span = Span::current();
        if span.is_disabled() {
            return None;
        }
        let mut headers = HashMap::new();
        TraceContextPropagator::new().inject_context(&span.context(), &mut headers);
        headers.remove(TRACEPARENT)
    }
}
