//! Writes an event as one line of JSON: time, level, target, message, then the event's own fields.
//!
//! What comes from outside cannot fill the log or disguise a line: a field has at most [`MAX_FIELD`] characters, a line at most
//! [`MAX_LINE`] bytes, and control characters are escaped, those that reverse the order of text too.

use std::cell::Cell;
use std::fmt::{self, Write as _};
use std::io::Write;

use serde::Serialize;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_appender::non_blocking::NonBlocking;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::layer::{Context, Layer};

/// The most characters of a field.
const MAX_FIELD: usize = 256;

/// The most bytes of a line.
const MAX_LINE: usize = 8 * 1024;

/// What a line ends with that had no room for all of its fields.
const TRUNCATED: &[u8] = br#","truncated":true"#;

/// The layer that does so. tracing-subscriber's own JSON takes three times as long, which a signed ticket would show.
pub(super) struct JsonLines(pub NonBlocking);

thread_local! {
    /// A line's memory, kept so that a line costs no allocation here. It is taken out while it is written to, since a field
    /// that is being formatted may log as well.
    static LINE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

impl<S: Subscriber> Layer<S> for JsonLines {
    fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
        let mut line = LINE.take();
        write_line(&mut line, event);
        // The queue counts what it drops.
        let _ = self.0.clone().write_all(&line);
        LINE.set(line);
    }
}

fn write_line(line: &mut Vec<u8>, event: &Event<'_>) {
    line.clear();
    let metadata = event.metadata();
    let (level, target) = (metadata.level(), metadata.target());
    // A Vec takes all that is written to it.
    let _ = write!(line, r#"{{"timestamp":"{Now}","level":"{level}","target":"{target}""#);
    let mut fields = Fields { line, is_full: false };
    event.record(&mut fields);
    if fields.is_full {
        line.extend(TRUNCATED);
    }
    line.extend(b"}\n");
}

/// The time of day.
struct Now;

impl fmt::Display for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SystemTime.format_time(&mut Writer::new(f))
    }
}

/// Appends an event's fields to the line, as long as there is room.
struct Fields<'a> {
    line: &'a mut Vec<u8>,
    is_full: bool,
}

impl Fields<'_> {
    fn push(&mut self, field: &Field, value: impl Serialize) {
        if self.is_full {
            return;
        }
        let start = self.line.len();
        for part in [",\"", field.name(), "\":"] {
            self.line.extend(part.as_bytes());
        }
        // A Vec takes all that is written to it, and all that comes here is text, a number or a boolean.
        let _ = serde_json::to_writer(&mut *self.line, &value);
        escape_controls(self.line, start);
        if self.line.len() > MAX_LINE - TRUNCATED.len() - b"}\n".len() {
            self.line.truncate(start);
            self.is_full = true;
        }
    }
}

/// Escapes the control characters behind `start` that JSON leaves as they are: DEL and C1, and those for the direction of
/// text, by which a line could be shown as another (CVE-2021-42574).
fn escape_controls(line: &mut Vec<u8>, start: usize) {
    // All of them are beyond printable ASCII. A maximum is found many bytes at a time.
    if line[start..].iter().fold(0, |most: u8, byte| most.max(*byte)) < 0x7f {
        return;
    }
    let text = String::from_utf8_lossy(&line.split_off(start)).into_owned();
    for c in text.chars() {
        let _ = if is_disguise(c) { write!(line, "\\u{:04x}", u32::from(c)) } else { write!(line, "{c}") };
    }
}

/// Whether a character could make text look like other text.
pub(super) const fn is_disguise(c: char) -> bool {
    matches!(c, '\u{7f}'..='\u{9f}' | '\u{61c}' | '\u{200e}' | '\u{200f}')
        || matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// The first [`MAX_FIELD`] characters of what a value is formatted to.
pub(super) struct Cut<'a>(pub &'a dyn fmt::Debug);

impl fmt::Display for Cut<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(Rest { f, left: Some(MAX_FIELD) }, "{:?}", self.0)
    }
}

/// Passes on what is left of the characters that a field may have; `None` once it was cut.
struct Rest<'a, 'b> {
    f: &'a mut fmt::Formatter<'b>,
    left: Option<usize>,
}

impl fmt::Write for Rest<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let Some(left) = self.left else { return Ok(()) };
        if let Some((end, _)) = text.char_indices().nth(left) {
            self.left = None;
            self.f.write_str(&text[..end])?;
            return self.f.write_char('…');
        }
        self.left = Some(left - text.chars().count());
        self.f.write_str(text)
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
    record!(record_u64: u64, record_i64: i64, record_f64: f64, record_bool: bool);

    fn record_str(&mut self, field: &Field, value: &str) {
        // No more bytes, no more characters.
        if value.len() <= MAX_FIELD {
            self.push(field, value);
        } else {
            self.push(field, format_args!("{}", Cut(&format_args!("{value}"))));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.push(field, format_args!("{}", Cut(value)));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// Keeps each line as it would be written.
    struct Lines(Arc<Mutex<Vec<String>>>);

    impl<S: Subscriber> Layer<S> for Lines {
        fn on_event(&self, event: &Event<'_>, _context: Context<'_, S>) {
            let mut line = LINE.take();
            write_line(&mut line, event);
            self.0.lock().expect("no panic").push(String::from_utf8(line.clone()).expect("UTF-8"));
            LINE.set(line);
        }
    }

    fn lines(log: impl FnOnce()) -> Vec<String> {
        let lines = Arc::default();
        with_default(tracing_subscriber::registry().with(Lines(Arc::clone(&lines))), log);
        Arc::into_inner(lines).expect("the only one").into_inner().expect("no panic")
    }

    fn json(line: &str) -> serde_json::Value {
        serde_json::from_str(line).expect("JSON")
    }

    #[test]
    fn whatever_an_event_holds_survives_json() {
        let texts =
            ["", "plain", "a\"b\\c", "line\nbreak\u{7f}\u{0}", "中文 ü", "\\\\\"\"", "\u{85}\u{9b}\u{202e}\u{2066}"];
        let lines = lines(|| {
            for text in texts {
                let (least, most, none) = (i64::MIN, u64::MAX, f64::NAN);
                tracing::info!(said = text, shown = %text, numbers = ?[1, 2], least, most, half = 0.5, none, yes = true);
            }
        });
        assert_eq!(lines.len(), texts.len());
        for (line, text) in lines.iter().zip(texts) {
            let line = json(line);
            assert_eq!(
                (&line["said"], &line["shown"], &line["numbers"]),
                (&text.into(), &text.into(), &"[1, 2]".into())
            );
            assert_eq!((&line["least"], &line["most"]), (&i64::MIN.into(), &u64::MAX.into()));
            assert_eq!((&line["half"], &line["none"], &line["yes"]), (&0.5.into(), &().into(), &true.into()));
        }
    }

    #[test]
    fn controls_that_could_disguise_a_line_are_escaped() {
        let lines =
            lines(|| tracing::info!(user = "a\u{7f}\u{80}\u{9f}\u{61c}\u{200e}\u{2028}\u{202e}\u{2069}中é", "m"));
        let user = r#""user":"a\u007f\u0080\u009f\u061c\u200e\u2028\u202e\u2069中é""#;
        assert!(lines[0].contains(user), "{}", lines[0]);
    }

    #[test]
    fn a_field_is_cut_to_256_characters_and_a_line_to_8_kibibytes() {
        let (fits, long) = ("中".repeat(256), "中".repeat(257));
        let lines = lines(|| {
            tracing::info!(fits, long, shown = %long, debug = ?long, "{long}");
            let worst = "\u{80}".repeat(256);
            tracing::info!(a = worst, b = worst, c = worst, d = worst, e = worst, f = worst, g = 1, "m");
        });
        let line = json(&lines[0]);
        let cut = format!("{fits}…");
        assert_eq!((&line["fits"], &line["long"]), (&fits.as_str().into(), &cut.as_str().into()));
        assert_eq!((&line["shown"], &line["message"]), (&cut.as_str().into(), &cut.as_str().into()));
        assert_eq!(line["debug"].as_str().map(|text| text.chars().count()), Some(257));
        assert!(lines[1].len() <= MAX_LINE, "{}", lines[1].len());
        let line = json(&lines[1]);
        assert_eq!((&line["truncated"], line.get("f")), (&true.into(), None));
        assert_eq!((&line["message"], line["a"].as_str().map(str::len)), (&"m".into(), Some(512)));
    }

    #[test]
    fn a_field_that_logs_while_it_is_formatted_spoils_no_line() {
        struct Logs;
        impl fmt::Display for Logs {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let mut line = LINE.take();
                line.extend(b"of another event");
                LINE.set(line);
                f.write_str("outer")
            }
        }
        let lines = lines(|| tracing::info!(field = %Logs, "m"));
        assert_eq!(json(&lines[0])["field"], "outer");
    }
}
