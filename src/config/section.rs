//! Reads one table of the configuration key by key, and collects every problem instead of stopping at the first.

use std::cell::RefCell;
use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde_json::{Map, Value};

/// One thing that is wrong with a configuration, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The key, as in `app[0].secret`.
    pub key: String,
    /// What is wrong and what would be accepted; never a secret.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.key, self.message)
    }
}

/// A table that is being read. What nobody has asked for when it is finished is unknown.
pub(super) struct Section<'p> {
    path: String,
    table: Map<String, Value>,
    asked: Vec<&'static str>,
    problems: &'p RefCell<Vec<Problem>>,
}

impl<'p> Section<'p> {
    pub(super) fn root(table: Map<String, Value>, problems: &'p RefCell<Vec<Problem>>) -> Self {
        Self { path: String::new(), table, asked: Vec::new(), problems }
    }

    /// The full name of a key of this table, as TOML writes it.
    pub(super) fn key(&self, key: &str) -> String {
        let is_bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        let key = if is_bare { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    /// Notes a problem with a key.
    pub(super) fn reject(&self, key: &str, message: impl Into<String>) {
        self.problems.borrow_mut().push(Problem { key: self.key(key), message: message.into() });
    }

    /// Whether a key is there and has not been read.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.contains_key(key)
    }

    /// The value of a key, if it is there and `read` takes it.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Option<T> {
        match read(self.take(key)?) {
            Ok(value) => Some(value),
            Err(message) => {
                self.reject(key, message);
                None
            }
        }
    }

    /// The same for a key that must be there; `meaning` tells the person who left it out what to write.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        meaning: &str,
        read: impl FnOnce(Value) -> Result<T, String>,
    ) -> Option<T> {
        if !self.has(key) {
            self.asked.push(key);
            self.reject(key, format!("is missing; give {meaning}"));
            return None;
        }
        self.optional(key, read)
    }

    /// The table under a key; an empty one when it is not there.
    pub(super) fn table(&mut self, key: &'static str) -> Section<'p> {
        self.optional_table(key).unwrap_or_else(|| self.child(self.key(key), Map::new()))
    }

    /// The table under a key, if there is one.
    pub(super) fn optional_table(&mut self, key: &'static str) -> Option<Section<'p>> {
        let table = self.optional(key, |value| match value {
            Value::Object(table) => Ok(table),
            other => Err(format!("is {}; expected a table [{key}]", shown(&other))),
        })?;
        Some(self.child(self.key(key), table))
    }

    /// The tables of an array of tables.
    pub(super) fn tables(&mut self, key: &'static str) -> Vec<Section<'p>> {
        let expected = format!("expected tables [[{key}]]");
        let tables = self.optional(key, |value| match value {
            Value::Array(tables) => Ok(tables),
            other => Err(format!("is {}; {expected}", shown(&other))),
        });
        let tables = tables.unwrap_or_default().into_iter().enumerate();
        tables
            .filter_map(|(index, table)| match table {
                Value::Object(table) => Some(self.child(format!("{}[{index}]", self.key(key)), table)),
                other => {
                    self.reject(key, format!("holds {}; {expected}", shown(&other)));
                    None
                }
            })
            .collect()
    }

    /// Lets the keys that are left pass: what they should be hangs on one that is missing.
    pub(super) fn leave_rest(&mut self) {
        self.table.clear();
    }

    /// Ends the reading: every key that was not asked for is a problem.
    pub(super) fn finish(self) {
        let accepted = self.asked.join(", ");
        for key in self.table.keys() {
            self.reject(key, format!("is not a key here; there are: {accepted}"));
        }
    }

    fn take(&mut self, key: &'static str) -> Option<Value> {
        self.asked.push(key);
        self.table.remove(key)
    }

    fn child(&self, path: String, table: Map<String, Value>) -> Section<'p> {
        Section { path, table, asked: Vec::new(), problems: self.problems }
    }
}

/// Text.
pub(super) fn text(value: Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text),
        other => Err(format!("is {}; expected text in quotes", shown(&other))),
    }
}

/// Text that `T` can be parsed from; the type's error says what is wrong.
pub(super) fn parsed<T: FromStr<Err: fmt::Display>>(value: Value) -> Result<T, String> {
    let text = text(value)?;
    text.parse().map_err(|error| format!("is \"{text}\"; {error}"))
}

/// A whole number within a range.
pub(super) fn integer(range: RangeInclusive<u64>) -> impl FnOnce(Value) -> Result<u64, String> {
    move |value| {
        value.as_u64().filter(|number| range.contains(number)).ok_or_else(|| {
            format!("is {}; expected a whole number from {} to {}", shown(&value), range.start(), range.end())
        })
    }
}

/// `true` or `false`.
#[expect(clippy::needless_pass_by_value, reason = "readers take their value")]
pub(super) fn boolean(value: Value) -> Result<bool, String> {
    value.as_bool().ok_or_else(|| format!("is {}; expected true or false", shown(&value)))
}

/// A duration as text, within a range.
pub(super) fn duration(range: RangeInclusive<Duration>) -> impl FnOnce(Value) -> Result<Duration, String> {
    move |value| {
        let parsed = value.as_str().and_then(parse_duration);
        parsed.filter(|duration| range.contains(duration)).ok_or_else(|| {
            let (from, to) = (show_duration(*range.start()), show_duration(*range.end()));
            format!(
                "is {}; expected a duration from \"{from}\" to \"{to}\", such as \"90s\", \"15m\", \"24h\" or \"7d\"",
                shown(&value)
            )
        })
    }
}

/// A list, each element read by `read`.
pub(super) fn list<T>(read: impl Fn(Value) -> Result<T, String>) -> impl FnOnce(Value) -> Result<Vec<T>, String> {
    move |value| match value {
        Value::Array(values) => {
            let (read, wrong): (Vec<_>, Vec<_>) = values.into_iter().map(read).partition(Result::is_ok);
            let wrong: Vec<_> = wrong.into_iter().filter_map(Result::err).collect();
            if wrong.is_empty() { Ok(read.into_iter().flatten().collect()) } else { Err(wrong.join("; also: ")) }
        }
        other => Err(format!("is {}; expected a list in [ ]", shown(&other))),
    }
}

/// One of some words.
pub(super) fn one_of<T: Copy, const N: usize>(
    words: [(&'static str, T); N],
) -> impl FnOnce(Value) -> Result<T, String> {
    move |value| {
        let word = words.iter().find(|(word, _)| value.as_str() == Some(word));
        word.map(|(_, meaning)| *meaning).ok_or_else(|| {
            let accepted = words.map(|(word, _)| format!("\"{word}\"")).join(", ");
            format!("is {}; expected one of {accepted}", shown(&value))
        })
    }
}

/// A duration as people write it: a whole number and `ms`, `s`, `m`, `h` or `d`.
pub(crate) fn parse_duration(text: &str) -> Option<Duration> {
    let unit_at = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = text.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    let seconds = match unit {
        "ms" => return Some(Duration::from_millis(number)),
        "s" => 1,
        "m" => 60,
        "h" => 3600,
        "d" => 86_400,
        _ => return None,
    };
    number.checked_mul(seconds).map(Duration::from_secs)
}

fn show_duration(duration: Duration) -> String {
    let (seconds, millis) = (duration.as_secs(), duration.subsec_millis());
    match seconds {
        _ if millis != 0 => format!("{}ms", duration.as_millis()),
        0 => "0s".to_owned(),
        _ if seconds % 86_400 == 0 => format!("{}d", seconds / 86_400),
        _ if seconds % 3600 == 0 => format!("{}h", seconds / 3600),
        _ if seconds % 60 == 0 => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

/// A value as a message shows it, cut where it is long.
pub(super) fn shown(value: &Value) -> String {
    const LONGEST: usize = 60;
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        other => {
            let text = other.to_string();
            match text.char_indices().nth(LONGEST) {
                Some((cut, _)) => format!("{}…", &text[..cut]),
                None => text,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_a_number_and_a_unit() {
        assert_eq!(parse_duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(parse_duration("7d"), Some(Duration::from_secs(604_800)));
        for text in ["", "5", "s", "5 s", "-5s", "1.5h", "5S", "99999999999999999999d", "18446744073709551615d"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
    }
}
