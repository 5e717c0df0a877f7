//! When nobody is told: a pause judges nothing, a snooze or a maintenance window judges and is silent.

use chrono::{DateTime, Utc};

use super::Monitor;
use crate::alert::{Alert, AlertType, Fact};

/// What is quiet about a monitor.
#[derive(Debug, Clone, Default)]
pub(super) struct Quiet {
    pub(super) pause: Option<Pause>,
    /// Whether the next ping ends a pause.
    resume_on_ping: bool,
    snooze_ends_at: Option<DateTime<Utc>>,
    /// Maintenance windows: from, and up to but without.
    windows: Vec<(DateTime<Utc>, DateTime<Utc>)>,
    held: Vec<Held>,
    /// When to look again at what is held.
    pub(super) held_until: Option<DateTime<Utc>>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Pause {
    began_at: DateTime<Utc>,
    /// `None`: when somebody resumes it.
    pub(super) resumes_at: Option<DateTime<Utc>>,
}

/// An alert that nobody was told.
#[derive(Debug, Clone)]
struct Held {
    alert: Alert,
    incident: usize,
    /// Whether somebody had heard of its incident before.
    told: bool,
}

impl Monitor {
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.quiet.pause.is_some()
    }

    /// Whether an alert waits for the end of a quiet.
    #[must_use]
    pub fn holds_alerts(&self) -> bool {
        !self.quiet.held.is_empty()
    }

    /// Whether a ping that was received then ends the pause: one that waited since before it does not.
    pub(super) fn resumes_by_ping(&self, at: DateTime<Utc>) -> bool {
        self.quiet.resume_on_ping && self.quiet.pause.is_some_and(|pause| at >= pause.began_at)
    }

    pub fn set_resume_on_ping(&mut self, resume_on_ping: bool) {
        self.quiet.resume_on_ping = resume_on_ping;
    }

    /// The times of its maintenance windows, each from an instant up to another. What is held is looked at anew.
    pub fn set_windows(&mut self, windows: Vec<(DateTime<Utc>, DateTime<Utc>)>, now: DateTime<Utc>) {
        self.quiet.windows = windows;
        self.quiet.held_until = self.quiet.held_until.map(|held| held.min(now));
    }

    /// Nothing is judged from now on; open runs are abandoned.
    pub fn pause(&mut self, resumes_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Vec<Alert> {
        let alerts = self.look(now);
        if !self.is_paused() {
            for job in self.jobs.iter_mut().filter(|job| job.is_open()) {
                job.end = Some(now);
            }
            self.next_slot = None;
        }
        // Of one that is paused already only the end moves.
        let began_at = self.quiet.pause.map_or(now, |pause| pause.began_at);
        self.quiet.pause = Some(Pause { began_at, resumes_at });
        alerts
    }

    /// That never alerts by itself: the next slot after now is expected.
    pub fn resume(&mut self, now: DateTime<Utc>) -> Vec<Alert> {
        let alerts = self.look(now);
        if self.is_paused() {
            self.slots_from = now;
            self.end_pause(now);
        }
        alerts
    }

    pub(super) fn end_pause(&mut self, at: DateTime<Utc>) {
        self.quiet.pause = None;
        self.next_slot = if self.armed { self.first_slot(at) } else { None };
    }

    /// Nobody is told anything until `ends_at`; `None` ends that.
    pub fn snooze(&mut self, ends_at: Option<DateTime<Utc>>, now: DateTime<Utc>) -> Vec<Alert> {
        let mut alerts = self.look(now);
        self.quiet.snooze_ends_at = ends_at.filter(|ends_at| *ends_at > now);
        if self.quiet.held_until.is_some() {
            alerts.extend(self.release_held(now));
        }
        alerts
    }

    /// When the quiet ends that covers this instant; `None`: it is not quiet then.
    pub(super) fn quiet_until(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let windows = self.quiet.windows.iter().filter(|(from, until)| *from <= at && at < *until);
        let snooze = self.quiet.snooze_ends_at.filter(|ends_at| *ends_at > at);
        windows.map(|(_, until)| *until).chain(snooze).max()
    }

    /// The alert, if anybody is to be told now; else it is held.
    pub(super) fn tell(&mut self, fact: Fact, at: DateTime<Utc>) -> Option<Alert> {
        let alert = self.alert(fact, at);
        let quiet_until = self.quiet_until(at);
        let incident = self.incident.as_mut()?;
        let Some(until) = quiet_until else {
            // Of its end hears who heard of the incident.
            incident.told |= alert.fact.alert_type() != AlertType::Recovered;
            return incident.told.then_some(alert);
        };
        if alert.fact.alert_type() == AlertType::Recovered {
            // What was wrong is so no more; and who heard nothing of it hears nothing of its end.
            let number = incident.number;
            self.quiet.held.retain(|held| held.incident != number);
            if !incident.told {
                return None;
            }
        }
        self.quiet.held_until = Some(self.quiet.held_until.map_or(until, |held| held.min(until)));
        self.quiet.held.push(Held { alert, incident: incident.number, told: incident.told });
        None
    }

    /// The quiet is over: what is still wrong is told, once; and the end of an incident that somebody had heard of.
    pub(super) fn release_held(&mut self, at: DateTime<Utc>) -> Vec<Alert> {
        self.quiet.held_until = self.quiet_until(at);
        if self.quiet.held_until.is_some() {
            return Vec::new();
        }
        let held = std::mem::take(&mut self.quiet.held);
        let is_recovery = |held: &&Held| held.alert.fact.alert_type() == AlertType::Recovered;
        let mut told: Vec<Alert> =
            held.iter().filter(is_recovery).filter(|held| held.told).map(|held| held.alert.clone()).collect();
        let status = self.status.name();
        if let Some(incident) = &mut self.incident {
            let newest = held.iter().filter(|held| held.incident == incident.number).max_by_key(|held| {
                let fact = &held.alert.fact;
                let started_at = match fact {
                    Fact::Overran { started_at, .. } => Some(*started_at),
                    Fact::Failed { started_at, .. } => *started_at,
                    _ => None,
                };
                (fact.alert_type().name() == status, held.alert.at, fact.cause().name(), started_at)
            });
            incident.told |= newest.is_some();
            told.extend(newest.map(|held| held.alert.clone()));
        }
        told
    }
}
