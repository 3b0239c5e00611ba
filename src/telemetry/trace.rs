//! Traces: a span for each request and for each session check, sent by OTLP/HTTP to the collector that the configuration
//! names.
//!
//! Spans are `tracing` spans of the target [`TARGET`]. While no collector is named, nothing is interested in that target,
//! and a span costs reading one atomic. Only the cargo feature `otlp` brings what sends them.

use tracing::Span;
use url::Url;

/// The target of all spans, which no log shows.
pub const TARGET: &str = "usersig::trace";

/// The header that continues a trace.
pub const TRACEPARENT: &str = "traceparent";

/// Where traces go, and how many.
#[derive(Debug, Clone, PartialEq)]
pub struct TraceSettings {
    /// The collector's base URL; spans go to `/v1/traces` below it.
    pub endpoint: Url,
    /// Which part of the traces that begin here is recorded, 0 to 1; traces of a caller follow the caller's decision.
    pub ratio: f64,
}

/// Whether this build can send traces.
pub const AVAILABLE: bool = cfg!(feature = "otlp");

#[cfg(feature = "otlp")]
pub use otlp::{continue_from, outgoing};
#[cfg(feature = "otlp")]
pub(super) use otlp::{layer, start};

/// The trace that a caller's request belongs to: a `traceparent` of version 00 (W3C Trace Context), as it was written.
pub struct Traceparent([u8; 55]);

impl Traceparent {
    /// Reads the header's value; `None` where it is malformed.
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (known, rest) = value.split_first_chunk::<55>()?;
        let this = Self(*known);
        let is_hex = |part: &str| part.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        let is_id = |part: &str| is_hex(part) && part.bytes().any(|byte| byte != b'0');
        let text = str::from_utf8(&this.0).ok()?;
        // Later versions may append parts; version ff is invalid.
        let has_known_form = match &text[..2] {
            "ff" => false,
            "00" => rest.is_empty(),
            later => is_hex(later) && (rest.is_empty() || rest.starts_with(b"-")),
        };
        let has_separators = [2, 35, 52].iter().all(|at| known[*at] == b'-');
        let is_valid = has_known_form
            && has_separators
            && is_id(this.trace_id())
            && is_id(this.parent_id())
            && is_hex(&text[53..]);
        is_valid.then_some(this)
    }

    /// The trace, 32 hex digits.
    pub fn trace_id(&self) -> &str {
        self.part(3..35)
    }

    /// The caller's span in it, 16 hex digits.
    pub fn parent_id(&self) -> &str {
        self.part(36..52)
    }

    fn part(&self, range: std::ops::Range<usize>) -> &str {
        str::from_utf8(&self.0[range]).unwrap_or_default()
    }
}

/// Makes `span` a part of the caller's trace.
#[cfg(not(feature = "otlp"))]
pub fn continue_from(_span: &Span, _caller: Option<&Traceparent>) {}

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

    use opentelemetry::Context;
    use opentelemetry::propagation::TextMapPropagator;
    use opentelemetry::trace::{SpanContext, SpanId, TraceContextExt, TraceFlags, TraceId, TraceState, TracerProvider};
    use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig, WithHttpConfig};
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::propagation::TraceContextPropagator;
    use opentelemetry_sdk::trace::{Sampler, SdkTracerProvider};
    use tracing::Subscriber;
    use tracing_opentelemetry::OpenTelemetrySpanExt;
    use tracing_subscriber::filter::Targets;
    use tracing_subscriber::layer::Layer;
    use tracing_subscriber::registry::LookupSpan;

    use super::{Span, TARGET, TRACEPARENT, TraceSettings, Traceparent};

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

    /// Makes `span` a part of the caller's trace.
    ///
    /// A `tracestate` is not read: nothing that a caller has written goes on to a back end.
    pub fn continue_from(span: &Span, caller: Option<&Traceparent>) {
        let Some(caller) = caller.filter(|_| !span.is_disabled()) else { return };
        let (Ok(trace), Ok(parent)) = (TraceId::from_hex(caller.trace_id()), SpanId::from_hex(caller.parent_id()))
        else {
            return;
        };
        let flags = u8::from_str_radix(caller.part(53..55), 16).map_or(TraceFlags::NOT_SAMPLED, TraceFlags::new);
        let caller = SpanContext::new(trace, parent, flags, true, TraceState::NONE);
        // An error says that the span has begun, which it has not.
        let _ = span.set_parent(Context::new().with_remote_span_context(caller));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_traceparent_is_read_only_when_well_formed() {
        let trace_id = |value: &str| Traceparent::parse(value.as_bytes()).map(|caller| caller.trace_id().to_owned());
        let trace = Some("4bf92f3577b34da6a3ce929d0e0e4736".to_owned());
        for good in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(trace_id(good), trace, "{good}");
        }
        for bad in [
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
            "01-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01x",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0g",
            "00-4bf92f3577b34da6a3ce929d0e0e473\u{e9}-0f067aa0ba902b7-01",
            "00",
            "",
        ] {
            assert_eq!(trace_id(bad), None, "{bad}");
        }
    }
}
