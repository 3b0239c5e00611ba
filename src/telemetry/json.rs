//! Writes an event as one line of JSON: time, level, target, message, then the event's own fields.

use std::cell::RefCell;
use std::fmt;
use std::io::Write;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer};

/// The layer that does so. tracing-subscriber's own JSON takes three times as long, which a signed ticket would show.
pub(super) struct JsonLines(pub NonBlocking);

thread_local! {
    /// The line being written; kept, so that a line costs no allocation here.
    static LINE: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        LINE.with_borrow_mut(|line| {
            line.clear();
            let metadata = event.metadata();
            let (level, target) = (metadata.level(), metadata.target());
            // A Vec takes all that is written to it.
            let _ = write!(line, r#"{{"timestamp":"{Now}","level":"{level}","target":"{target}""#);
            event.record(&mut Fields(line));
            line.extend(b"}\n");
            // The one control character that JSON leaves as it is.
            if line.contains(&b'\x7f') {
                *line = String::from_utf8_lossy(line).replace('\x7f', "\\u007f").into_bytes();
            }
            // The queue counts what it drops.
            let _ = self.0.clone().write_all(line);
        });
    }
}

/// The time of day.
struct Now;

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SystemTime.format_time(&mut Writer::new(f))
    }
}

/// Appends an event's fields to the line.
struct Fields<'a>(&'a mut Vec<u8>);

impl Fields<'_> {
    fn push(&mut self, field: &Field, value: impl Serialize) {
        for part in [",\"", field.name(), "\":"] {
            self.0.extend(part.as_bytes());
        }
        // A Vec takes all that is written to it, and all that comes here is text, a number or a boolean.
        let _ = serde_json::to_writer(&mut *self.0, &value);
    }
}

macro_rules! record {
    ($($record:ident: $value:ty),*) => {
        $(fn $record(&mut self, field: &Field, value: $value) {
            self.push(field, value);
        })*
    };
}

impl Visit for Fields<'_> {
    record!(record_str: &str, record_u64: u64, record_i64: i64, record_f64: f64, record_bool: bool);

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, format_args!("{value:?}"));
    }
}

#[cfg(test)]
mod tests {
    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    #[test]
    fn whatever_an_event_holds_survives_json() {
        struct Kept;
        impl<S: Subscriber> Layer<S> for Kept {
            fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
                let mut line = b"{\"\":0".to_vec();
                event.record(&mut Fields(&mut line));
                line.push(b'}');
                let line: serde_json::Value = serde_json::from_slice(&line).expect("JSON");
                assert_eq!(line["said"], line["shown"]);
                assert_eq!(line["numbers"], "[1, 2]");
                assert_eq!((&line["least"], &line["most"]), (&i64::MIN.into(), &u64::MAX.into()));
                assert_eq!((&line["half"], &line["none"], &line["yes"]), (&0.5.into(), &().into(), &true.into()));
                LINE.with_borrow_mut(|seen| seen.extend(line["said"].as_str().expect("text").bytes()));
            }
        }
        let texts = ["", "plain", "a\"b\\c", "line\nbreak\u{7f}\u{0}", "中文 ü", "\\\\\"\""];
        with_default(tracing_subscriber::registry().with(Kept), || {
            for text in texts {
                let (least, most, none) = (i64::MIN, u64::MAX, f64::NAN);
                tracing::info!(said = text, shown = %text, numbers = ?[1, 2], least, most, half = 0.5, none, yes = true);
            }
        });
        assert_eq!(LINE.take(), texts.concat().into_bytes(), "each was seen");
    }
}
