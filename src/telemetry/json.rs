//! Writes an event as one line of JSON: time, level, target, message, then the event's own fields.

use std::cell::RefCell;
use std::fmt::{self, Write as _};
use std::io::Write as _;

use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer};

/// The layer that does so. tracing-subscriber's own JSON takes three times as long, which a signed ticket would show.
pub(super) struct JsonLines {
    writer: NonBlocking,
}

impl JsonLines {
    pub(super) fn new(writer: NonBlocking) -> Self {
        Self { writer }
    }
}

thread_local! {
    /// The line being written; kept, so that a line costs no allocation here.
    static LINE: RefCell<String> = const { RefCell::new(String::new()) };
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            line.push_str(r#"{"timestamp":""#);
            let metadata = event.metadata();
            // A String takes all that is written to it, and the clock always has a time.
            let _ = SystemTime.format_time(&mut Writer::new(line));
            let _ = write!(line, r#"","level":"{}","target":"{}""#, metadata.level(), metadata.target());
            event.record(&mut Fields { line });
            line.push_str("}\n");
            // The queue counts what it drops.
            let _ = self.writer.clone().write_all(line.as_bytes());
        });
    }
}

/// Appends an event's fields to the line.
struct Fields<'a> {
    line: &'a mut String,
}

impl Fields<'_> {
    fn name(&mut self, field: &Field) {
        self.line.push_str(",\"");
        self.line.push_str(field.name());
        self.line.push_str("\":");
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.name(field);
        push_json_text(self.line, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.name(field);
        let _ = write!(self.line, "{value}");
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.name(field);
        let _ = write!(self.line, "{value}");
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.name(field);
        let _ = write!(self.line, "{value}");
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.name(field);
        if value.is_finite() {
            let _ = write!(self.line, "{value}");
        } else {
            self.line.push_str("null");
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.name(field);
        push_json_text(self.line, &format!("{value:?}"));
    }
}

fn push_json_text(line: &mut String, text: &str) {
    line.push('"');
    let mut rest = text;
    // All that JSON must escape is ASCII, so cutting there cuts no character.
    while let Some(at) = rest.find(|c: char| c < ' ' || c == '"' || c == '\\' || c == '\u{7f}') {
        line.push_str(&rest[..at]);
        let _ = write!(line, "\\u{:04x}", rest.as_bytes()[at]);
        rest = &rest[at + 1..];
    }
    line.push_str(rest);
    line.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_survives_json() {
        for text in ["", "plain", "a\"b\\c", "line\nbreak\u{7f}\u{0}", "中文 ü", "\\\\\"\""] {
            let mut line = String::new();
            push_json_text(&mut line, text);
            assert_eq!(serde_json::from_str::<String>(&line).expect("JSON text"), text);
        }
    }
}
