//! What a run comes to: bad results, good ones, and those that are odd.

use chrono::{DateTime, Duration, Utc};

use super::{AlertOn, Incident, Monitor, Status};
use crate::alert::{Alert, Cause, Fact};

impl Monitor {
    /// A bad result. Makes an alert if the incident begins with it, or if it is `wanted` and new in it.
    pub(super) fn bad(&mut self, fact: Fact, at: DateTime<Utc>, wanted: bool) -> Option<Alert> {
        let cause = fact.cause();
        self.good_results = 0;
        self.bad_results += 1;
        let begins = self.incident.is_none() && self.bad_results >= self.rules.failure_threshold;
        if begins {
            self.incidents += 1;
            let number = self.incidents;
            self.incident = Some(Incident { number, began_at: at, cause, alerted: Vec::new(), told: false });
        }
        let incident = self.incident.as_mut()?;
        if self.status != Status::Failed {
            self.status = if cause == Cause::Failed { Status::Failed } else { Status::Late };
        }
        let new = self.rules.alert_on == AlertOn::Every || !incident.alerted.contains(&cause);
        if !(begins || wanted && new) {
            return None;
        }
        if let Fact::Missed { slot, .. } = &fact
            && !self.alerted_slots.insert(*slot)
        {
            // An edit by a clock that is behind expects again what was missed already.
            return None;
        }
        incident.alerted.push(cause);
        self.tell(fact, at)
    }

    /// A run began: is that too soon after the one before?
    pub(super) fn run_begins(&mut self, at: DateTime<Utc>) -> Option<Alert> {
        let before = self.last_run_at.replace(at);
        let too_soon = before
            .zip(self.rules.min_interval_duration)
            .filter(|(before, at_least)| at < *before + Duration::seconds(*at_least));
        let was_too_often = std::mem::replace(&mut self.too_often, too_soon.is_some());
        let (before, at_least) = too_soon?;
        self.warn(was_too_often, Fact::TooOften { before, at_least }, at)
    }

    /// A run succeeded: was it suspiciously fast?
    pub(super) fn run_took(&mut self, started_at: DateTime<Utc>, at: DateTime<Utc>) -> Option<Alert> {
        let at_least =
            self.rules.min_duration.filter(|seconds| at < started_at + Duration::seconds(*seconds));
        let was_too_fast = std::mem::replace(&mut self.too_fast, at_least.is_some());
        self.warn(was_too_fast, Fact::TooFast { started_at, at_least: at_least? }, at)
    }

    /// With `alert_on` first, the first in a row. What falls into a quiet nobody hears, then or later.
    fn warn(&self, was_so_before: bool, fact: Fact, at: DateTime<Utc>) -> Option<Alert> {
        let wanted = self.rules.alert_on == AlertOn::Every || !was_so_before;
        (wanted && self.quiet_until(at).is_none()).then(|| self.alert(fact, at))
    }

    /// A success. Ends the incident once there were enough of them.
    pub(super) fn good(&mut self, at: DateTime<Utc>, calm_before: bool) -> Option<Alert> {
        self.bad_results = 0;
        self.good_results += 1;
        let Some(incident) = &self.incident else {
            self.status = Status::Up;
            return None;
        };
        if self.good_results < self.rules.recovery_threshold {
            return None;
        }
        let fact = Fact::Recovered { began_at: incident.began_at, cause: incident.cause };
        // Begun and ended within this signal: the late alert says both.
        let alert = if calm_before { None } else { self.tell(fact, at) };
        self.incident = None;
        self.status = Status::Up;
        alert
    }

    pub(super) fn alert(&self, fact: Fact, at: DateTime<Utc>) -> Alert {
        Alert { at, fact, last_success_at: self.last_success_at, zone: self.rules.zone() }
    }
}

/// Lateness and its end became known together: the alerts tell both.
pub(super) fn told_with_their_end(alerts: &mut [Alert], at: DateTime<Utc>) {
    for alert in alerts {
        match &mut alert.fact {
            Fact::Missed { succeeded_at, .. } | Fact::Overran { succeeded_at, .. } => {
                *succeeded_at = Some(at);
            }
            _ => {}
        }
    }
}
