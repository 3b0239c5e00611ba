//! Reads Prometheus' text format.

use std::collections::BTreeMap;

/// What `/metrics` showed: the value of each series, by its name with its labels as they stand.
#[derive(Debug)]
pub(crate) struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    /// Reads the text; each line must be a comment or a series.
    pub(crate) fn parse(text: &str) -> Self {
        let series = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("not a series: {line}"));
            (name.to_owned(), value.parse().unwrap_or_else(|_| panic!("not a number: {line}")))
        });
        Self(series.collect())
    }

    /// The value of a series, such as `usersig_tickets_total{app="1400000000",kind="usersig"}`; labels in the order of
    /// their names. A series that is not there counts nothing.
    pub(crate) fn of(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or_default()
    }

    /// The value of a series that counts.
    pub(crate) fn count(&self, series: &str) -> u64 {
        let value = self.of(series);
        format!("{value}").parse().unwrap_or_else(|_| panic!("{series} is {value}, which is no count"))
    }

    /// Every series whose name begins so.
    pub(crate) fn beginning(&self, prefix: &str) -> Vec<(&str, f64)> {
        let series = self.0.iter().filter(|(name, _)| name.starts_with(prefix));
        series.map(|(name, value)| (name.as_str(), *value)).collect()
    }
}
