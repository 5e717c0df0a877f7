//! What is counted.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

#[derive(Debug, Default)]
pub(crate) struct Tally {
    latencies: Vec<Duration>,
    /// By what they said.
    errors: BTreeMap<String, usize>,
}

impl Tally {
    pub(crate) fn count(&mut self, answer: Result<(), String>, latency: Duration) {
        match answer {
            Ok(()) => self.latencies.push(latency),
            Err(why) => *self.errors.entry(why).or_default() += 1,
        }
    }

    pub(crate) fn add(&mut self, other: Self) {
        self.latencies.extend(other.latencies);
        for (why, times) in other.errors {
            *self.errors.entry(why).or_default() += times;
        }
    }

    /// To be called before percentiles are asked for.
    pub(crate) fn sort(&mut self) {
        self.latencies.sort_unstable();
    }

    pub(crate) fn pings(&self) -> usize {
        self.latencies.len()
    }

    pub(crate) fn errors(&self) -> usize {
        self.errors.values().sum()
    }

    /// In milliseconds; null when nothing was answered.
    pub(crate) fn percentile(&self, percent: usize) -> Value {
        let at = (self.latencies.len() * percent).div_ceil(100).saturating_sub(1);
        self.latencies.get(at).map_or(Value::Null, |latency| json!(milliseconds(*latency)))
    }

    pub(crate) fn errors_by_kind(&self) -> Value {
        json!(self.errors)
    }
}

fn milliseconds(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e6).round() / 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_answers_that_came() {
        let mut tally = Tally::default();
        assert_eq!(tally.percentile(50), Value::Null);
        for ms in (1..=200).rev() {
            tally.count(Ok(()), Duration::from_millis(ms));
        }
        let mut other = Tally::default();
        other.count(Err("no".to_owned()), Duration::from_secs(9));
        tally.add(other);
        tally.sort();
        assert_eq!((tally.pings(), tally.errors()), (200, 1));
        assert_eq!(tally.percentile(50), json!(100.0));
        assert_eq!(tally.percentile(99), json!(198.0));
        assert_eq!(tally.percentile(100), json!(200.0));
        assert_eq!(tally.errors_by_kind(), json!({ "no": 1 }));
    }
}
