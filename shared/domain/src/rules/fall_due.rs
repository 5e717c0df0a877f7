//! What happens while time passes and no signal comes.

use chrono::{DateTime, Duration, Utc};

use super::{AlertOn, Monitor, next_slot_after};
use crate::alert::{Alert, Fact};
use crate::schedule::Schedule;

impl Monitor {
    /// How long after its slot a missing signal counts as missed.
    pub(super) fn slot_allowance(&self) -> Duration {
        let run = if self.announces_starts { 0 } else { self.rules.expected_duration.unwrap_or(0) };
        let run = if matches!(self.rules.schedule, Schedule::Every(_)) { 0 } else { run };
        Duration::seconds(run + self.rules.start_grace_duration.unwrap_or(self.rules.grace_duration))
    }

    /// When the slot that is expected next counts as missed.
    #[must_use]
    pub fn slot_deadline(&self) -> Option<DateTime<Utc>> {
        self.next_slot.map(|slot| slot + self.slot_allowance())
    }

    fn next_overrun(&self) -> Option<(DateTime<Utc>, usize)> {
        self.jobs
            .iter()
            .enumerate()
            .filter(|(_, job)| job.is_open() && job.overran_at.is_none())
            .filter_map(|(i, job)| job.due_at.map(|due| (due, i)))
            .min()
    }

    /// The instant this monitor turns bad unless a signal comes first, or at which a quiet ends in which something
    /// was held. While it is paused: when that ends.
    #[must_use]
    pub fn due_at(&self) -> Option<DateTime<Utc>> {
        if let Some(pause) = self.quiet.pause {
            return pause.resumes_at;
        }
        let overrun = self.next_overrun().map(|(due, _)| due);
        self.slot_deadline().into_iter().chain(overrun).chain(self.quiet.held_until).min()
    }

    /// Time has passed: everything falls due whose deadline lies before `now`. Answers with the alerts that somebody
    /// is told.
    pub fn look(&mut self, now: DateTime<Utc>) -> Vec<Alert> {
        let mut alerts = Vec::new();
        // All slots that passed since the last look make one alert, whatever `alert_on` says.
        let mut missed_alerted = false;
        loop {
            if let Some(pause) = self.quiet.pause {
                match pause.resumes_at.filter(|resumes_at| *resumes_at < now) {
                    Some(resumes_at) => self.end_pause(resumes_at),
                    None => return alerts,
                }
            }
            let slot_due = self.slot_deadline();
            let overrun = self.next_overrun();
            let Some(next) = self.due_at().filter(|next| *next < now) else { return alerts };
            if self.quiet.held_until == Some(next) {
                alerts.extend(self.release_held(next));
            } else if let Some((due, i)) = overrun.filter(|(due, _)| *due == next) {
                // At the same instant the run comes first: it explains why its slot's successor is open.
                let Some(start) = self.jobs.get(i).map(|job| job.start) else { return alerts };
                let is_blind = self.blind_between(start, due).is_some();
                let Some(job) = self.jobs.get_mut(i) else { return alerts };
                if is_blind {
                    job.due_at = None;
                } else {
                    job.overran_at = Some(due);
                    alerts.extend(self.bad(
                        Fact::Overran { started_at: start, succeeded_at: None },
                        due,
                        true,
                    ));
                }
            } else {
                let (Some(slot), Some(due)) = (self.next_slot, slot_due) else { return alerts };
                let mut passed = slot;
                if let Some(blind_until) = self.blind_between(slot - self.earliest(), due) {
                    // Those that fell due since and lie in the span are no better known.
                    let blind_until = blind_until.unwrap_or(now) + self.earliest();
                    passed =
                        slot.max(blind_until.min(now - self.slot_allowance()) - Duration::microseconds(1));
                } else {
                    // A run that overran in this incident and is still open explains the slots it sits on.
                    let explained = self.incident.as_ref().is_some_and(|incident| {
                        self.jobs.iter().any(|job| job.is_open() && job.overran_at >= Some(incident.began_at))
                    });
                    let wanted = match self.rules.alert_on {
                        AlertOn::Every => !missed_alerted,
                        AlertOn::First => !explained,
                    };
                    alerts.extend(self.bad(Fact::Missed { slot, succeeded_at: None }, due, wanted));
                    missed_alerted |= self.incident.is_some();
                    // Once the incident is open the slots up to now add nothing more.
                    if self.incident.is_some() {
                        passed = slot.max(now - self.slot_allowance() - Duration::microseconds(1));
                    }
                }
                self.next_slot = next_slot_after(&self.rules.schedule, slot, passed);
            }
        }
    }

    /// How long before its slot a signal may come that answers it.
    pub(super) fn earliest(&self) -> Duration {
        Duration::seconds(match self.rules.schedule {
            Schedule::Every(n) => n.min((n / 10).max(60)),
            _ => self.rules.early_duration.unwrap_or(60),
        })
    }

    /// The end of the newest time without sight that touches this window.
    fn blind_between(&self, from: DateTime<Utc>, until: DateTime<Utc>) -> Option<Option<DateTime<Utc>>> {
        let touches = |(began_at, ended_at): &&(DateTime<Utc>, Option<DateTime<Utc>>)| {
            *began_at < until && ended_at.is_none_or(|ended_at| ended_at > from)
        };
        self.blind
            .iter()
            .filter(touches)
            .map(|(_, ended_at)| *ended_at)
            .max_by_key(|ended_at| ended_at.unwrap_or(DateTime::<Utc>::MAX_UTC))
    }
}
