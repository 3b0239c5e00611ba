//! Reads one table of the configuration key by key, and collects every problem instead of stopping at the first.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

/// What is wrong with a configuration: under each key, as in `app[0].secret`, what is wrong with it and what would be
/// accepted; never a secret.
pub type Problems = BTreeMap<String, String>;

/// Records a problem with a key. The first is reported: what else is found wrong with the key may follow from it.
pub(super) fn reject(problems: &mut Problems, key: String, message: impl Display) {
    problems.entry(key).or_insert_with(|| message.to_string());
}

/// A table while it is read; only [`read_table`] makes one.
///
/// Readers take a value, or say what is wrong with it.
pub(super) struct Section<'p> {
    path: String,
    table: Map<String, Value>,
    asked: Vec<&'static str>,
    /// Accepts the keys that are not asked for: what they should be depends on one that is wrong.
    pub(super) takes_any_key: bool,
    pub(super) problems: &'p mut Problems,
}

/// What `read` makes of the table at `path`, which is empty for the whole configuration. Every key that it has not asked for
/// is a problem.
pub(super) fn read_table<T>(
    path: String,
    table: Map<String, Value>,
    problems: &mut Problems,
    read: fn(&mut Section<'_>) -> T,
) -> T {
    let mut section = Section { path, table, asked: Vec::new(), takes_any_key: false, problems };
    let value = read(&mut section);
    section.reject_unknown_keys();
    value
}

impl Section<'_> {
    /// The full name of a key of this table, as TOML writes it.
    fn path_of(&self, key: &str) -> String {
        let is_bare = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
        let key = if is_bare { key.to_owned() } else { format!("{key:?}") };
        if self.path.is_empty() { key } else { format!("{}.{key}", self.path) }
    }

    /// Records a problem with a key.
    pub(super) fn reject(&mut self, key: &str, message: impl Display) {
        reject(self.problems, self.path_of(key), message);
    }

    /// What a result holds; an error is a problem with this key.
    pub(super) fn accept<T>(&mut self, key: &str, result: Result<T, impl Display>) -> Option<T> {
        result.map_err(|error| self.reject(key, error)).ok()
    }

    /// The raw value of a key.
    pub(super) fn raw(&self, key: &str) -> Option<&Value> {
        self.table.get(key)
    }

    /// The value of a key, if it is there and `read` takes it.
    pub(super) fn optional<T>(
        &mut self,
        key: &'static str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        self.asked.push(key);
        let result = read(self.raw(key)?);
        self.accept(key, result)
    }

    /// The same for a key that must be there; `meaning` says what to write to the person who left it out.
    pub(super) fn required<T>(
        &mut self,
        key: &'static str,
        meaning: &str,
        read: impl FnOnce(&Value) -> Result<T, String>,
    ) -> Option<T> {
        if self.raw(key).is_none() {
            self.reject(key, format_args!("is missing; give {meaning}"));
        }
        self.optional(key, read)
    }

    /// What `read` makes of the table under a key; of an empty one when it is not there.
    pub(super) fn table<T>(&mut self, key: &'static str, read: fn(&mut Section<'_>) -> T) -> T {
        let table = self.optional(key, |value| table(key, value)).unwrap_or_default();
        read_table(self.path_of(key), table, self.problems, read)
    }

    /// What `read` makes of the table under a key, if there is one.
    pub(super) fn optional_table<T>(&mut self, key: &'static str, read: fn(&mut Section<'_>) -> T) -> Option<T> {
        let table = self.optional(key, |value| table(key, value))?;
        Some(read_table(self.path_of(key), table, self.problems, read))
    }

    /// What `read` makes of each table of an array of tables, at least one; `meaning` says what to write to the person who
    /// left them out.
    pub(super) fn tables<T>(&mut self, key: &'static str, meaning: &str, read: fn(&mut Section<'_>) -> T) -> Vec<T> {
        let tables = |value: &Value| {
            let tables =
                value.as_array().and_then(|tables| tables.iter().map(|table| table.as_object().cloned()).collect());
            expected(tables, value, format_args!("tables [[{key}]]"))
        };
        let tables: Vec<_> = self.optional(key, tables).unwrap_or_default();
        if tables.is_empty() {
            self.reject(key, format_args!("is missing; add a table [[{key}]] {meaning}"));
        }
        let path = self.path_of(key);
        let read = |(index, table)| read_table(format!("{path}[{index}]"), table, self.problems, read);
        tables.into_iter().enumerate().map(read).collect()
    }

    fn reject_unknown_keys(mut self) {
        let is_unknown = |key: &&String| !self.takes_any_key && !self.asked.contains(&key.as_str());
        let unknown: Vec<_> = self.table.keys().filter(is_unknown).cloned().collect();
        let known = self.asked.join(", ");
        for key in unknown {
            self.reject(&key, format_args!("is not a key here; there are: {known}"));
        }
    }
}

fn table(key: &str, value: &Value) -> Result<Map<String, Value>, String> {
    expected(value.as_object().cloned(), value, format_args!("a table [{key}]"))
}

/// What was taken of a value, or else the message that shows the value and says what was expected.
pub(super) fn expected<T>(taken: Option<T>, value: &Value, expected: impl Display) -> Result<T, String> {
    taken.ok_or_else(|| format!("is {}; expected {expected}", shown(value)))
}

/// Text.
pub(super) fn text(value: &Value) -> Result<String, String> {
    matching(value, "text in quotes", |_| true)
}

/// Text of a certain form.
pub(super) fn matching(value: &Value, form: &str, has_form: impl FnOnce(&str) -> bool) -> Result<String, String> {
    expected(value.as_str().filter(|text| has_form(text)).map(str::to_owned), value, form)
}

/// Text that `T` can be parsed from; the type's error says what is wrong.
pub(super) fn parsed<T: FromStr<Err: Display>>(value: &Value) -> Result<T, String> {
    text(value)?.parse().map_err(|error| format!("is {}; {error}", shown(value)))
}

/// A whole number within a range.
pub(super) fn integer<T: DeserializeOwned>(range: RangeInclusive<u64>) -> impl FnOnce(&Value) -> Result<T, String> {
    move |value| {
        let number = value.as_u64().filter(|number| range.contains(number)).and_then(|_| T::deserialize(value).ok());
        expected(number, value, format_args!("a whole number from {} to {}", range.start(), range.end()))
    }
}

/// `true` or `false`.
pub(super) fn boolean(value: &Value) -> Result<bool, String> {
    expected(value.as_bool(), value, "true or false")
}

/// A duration as text, from one to another.
pub(super) fn duration(from: &str, to: &str) -> impl FnOnce(&Value) -> Result<Duration, String> {
    move |value| {
        let range = parse_duration(from)..=parse_duration(to);
        let duration = value.as_str().and_then(parse_duration).filter(|duration| range.contains(&Some(*duration)));
        let form = "such as \"90s\", \"15m\", \"24h\" or \"7d\"";
        expected(duration, value, format_args!("a duration from \"{from}\" to \"{to}\", {form}"))
    }
}

/// A list, each element read by `read`.
pub(super) fn list<T>(read: impl Fn(&Value) -> Result<T, String>) -> impl FnOnce(&Value) -> Result<Vec<T>, String> {
    move |value| {
        let elements: Vec<_> = expected(value.as_array(), value, "a list in [ ]")?.iter().map(read).collect();
        let wrong: Vec<_> = elements.iter().filter_map(|element| element.as_ref().err()).map(String::as_str).collect();
        if wrong.is_empty() { Ok(elements.into_iter().flatten().collect()) } else { Err(wrong.join("; also: ")) }
    }
}

/// One of some words, each with what it means.
pub(super) fn one_of<T, const N: usize>(words: [(&'static str, T); N]) -> impl FnOnce(&Value) -> Result<T, String> {
    move |value| {
        let accepted = words.each_ref().map(|(word, _)| format!("\"{word}\"")).join(", ");
        let meaning = words.into_iter().find(|(word, _)| value == word).map(|(_, meaning)| meaning);
        expected(meaning, value, format_args!("one of {accepted}"))
    }
}

/// A duration as people write it: a whole number and `ms`, `s`, `m`, `h` or `d`.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let units = [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];
    let (_, millis) = units.into_iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(millis).map(Duration::from_millis)
}

/// A value as a message shows it, cut where it is long.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "a table".to_owned(),
        other => match other.to_string() {
            long if long.chars().count() > 60 => format!("{long:.60}…"),
            short => short,
        },
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
