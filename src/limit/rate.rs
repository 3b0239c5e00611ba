//! A rate as people write it.

use std::str::FromStr;
use std::time::Duration;

/// A number of times in a second, a minute or an hour.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How often.
    pub(super) count: u32,
    /// The time between two of them.
    pub(super) interval: Duration,
}

impl FromStr for Rate {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parse = || {
            let (count, unit) = text.split_once('/')?;
            let (_, seconds) = [("s", 1), ("m", 60), ("h", 3600)].into_iter().find(|(name, _)| *name == unit)?;
            // Up to a million, so that an interval never rounds to nothing.
            let count = count.parse().ok().filter(|count| (1..=1_000_000).contains(count))?;
            Some(Self { count, interval: Duration::from_secs(seconds) / count })
        };
        parse().ok_or("expected a number and a unit, such as \"10/s\", \"30/m\" or \"500/h\", or \"off\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_are_a_number_and_a_unit() {
        let interval = |text: &str| text.parse().map(|rate: Rate| rate.interval);
        assert_eq!(interval("30/m"), Ok(Duration::from_secs(2)));
        assert_eq!(interval("1000000/s"), Ok(Duration::from_micros(1)));
        for text in ["", "30", "0/m", "-1/m", "30/d", "1.5/s", "1000001/s"] {
            assert!(text.parse::<Rate>().is_err(), "{text}");
        }
    }
}
