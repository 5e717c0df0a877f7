//! The rules, played over a history: which alerts there would have been, had late-check looked at once whenever
//! something fell due.

use std::fmt;

use chrono::{DateTime, Duration, Utc};

use crate::alert::Alert;
use crate::rules::{AlertOn, Monitor, Rules, Signal, SignalKind, Status};

/// As many open jobs as a monitor has in the database; one more, and the oldest is abandoned.
const MOST_OPEN_JOBS: usize = 1_000;

/// What happened to a monitor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    Signal(Signal),
    /// Nothing is judged from here on, until the instant or until it is resumed.
    Pause {
        until: Option<DateTime<Utc>>,
    },
    Resume,
}

/// More deadlines passed than one replay is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooManyDeadlines(pub usize);

impl fmt::Display for TooManyDeadlines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {} deadlines pass: take less time, or a schedule with fewer slots", self.0)
    }
}

impl std::error::Error for TooManyDeadlines {}

/// A monitor that goes through its history.
#[derive(Debug, Clone)]
pub struct Replay {
    pub monitor: Monitor,
    most_deadlines: usize,
    deadlines: usize,
}

impl Replay {
    /// `most_deadlines` bounds the work.
    #[must_use]
    pub fn new(rules: Rules, armed: bool, now: DateTime<Utc>, most_deadlines: usize) -> Self {
        let monitor = Monitor::new(rules, armed, now);
        Self { monitor, most_deadlines, deadlines: 0 }
    }

    /// Time passes, and everything falls due whose deadline lies before `now`.
    ///
    /// # Errors
    /// [`TooManyDeadlines`].
    pub fn pass(&mut self, now: DateTime<Utc>) -> Result<Vec<Alert>, TooManyDeadlines> {
        let mut alerts = Vec::new();
        while let Some(due) = self.monitor.due_at().filter(|due| *due < now) {
            self.deadlines += 1;
            if self.deadlines > self.most_deadlines {
                return Err(TooManyDeadlines(self.most_deadlines));
            }
            // A moment after it, as a tick. In an incident of which the first of each cause is told, looking once
            // says the same: slots that are missed after the first one add nothing.
            let open = matches!(self.monitor.status, Status::Late | Status::Failed);
            let at_once = open && self.monitor.rules.alert_on == AlertOn::First;
            let look_at = if at_once { now } else { (due + Duration::microseconds(1)).min(now) };
            alerts.extend(self.monitor.look(look_at));
        }
        Ok(alerts)
    }

    /// Something happens, after everything fell due that was due before it.
    ///
    /// # Errors
    /// [`TooManyDeadlines`].
    pub fn happen(&mut self, event: &Event, at: DateTime<Utc>) -> Result<Vec<Alert>, TooManyDeadlines> {
        let mut alerts = self.pass(at)?;
        match event {
            Event::Signal(signal) => {
                alerts.extend(self.monitor.apply(signal, at));
                if signal.kind != SignalKind::Log {
                    self.tidy(at);
                }
            }
            Event::Pause { until } => alerts.extend(self.monitor.pause(*until, at)),
            Event::Resume => alerts.extend(self.monitor.resume(at)),
        }
        Ok(alerts)
    }

    /// How many runs are open.
    #[must_use]
    pub fn open_jobs(&self) -> usize {
        self.monitor.jobs.iter().filter(|job| job.end.is_none()).count()
    }

    /// Forgets the runs that are over, but for the newest: the rules look at open ones, again and again.
    fn tidy(&mut self, at: DateTime<Utc>) {
        self.abandon(self.open_jobs().saturating_sub(MOST_OPEN_JOBS), at);
        let newest = self.monitor.jobs.len().saturating_sub(1);
        let mut place = 0;
        self.monitor.jobs.retain(|job| {
            let keep = job.end.is_none() || place == newest;
            place += 1;
            keep
        });
    }

    /// The oldest open runs, at most so many.
    fn abandon(&mut self, most: usize, at: DateTime<Utc>) {
        for job in self.monitor.jobs.iter_mut().filter(|job| job.end.is_none()).take(most) {
            job.end = Some(at);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alert::{Cause, Fact};
    use crate::schedule::{Cron, Schedule};
    use uuid::Uuid;

    fn utc(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn signal(kind: SignalKind, rid: Option<u128>) -> Event {
        Event::Signal(Signal { kind, rid: rid.map(Uuid::from_u128), exit_status: None })
    }

    fn rules(schedule: Schedule, alert_on: AlertOn) -> Rules {
        Rules {
            schedule,
            expected_duration: None,
            grace_duration: 60,
            start_grace_duration: None,
            early_duration: None,
            failure_threshold: 1,
            recovery_threshold: 1,
            alert_on,
            min_interval_duration: None,
            min_duration: None,
        }
    }

    fn causes(alerts: &[Alert]) -> Vec<Cause> {
        alerts.iter().map(|alert| alert.fact.cause()).collect()
    }

    #[test]
    fn every_miss_is_told_of_where_every_fact_is() {
        let began = utc("2026-11-22T00:00:00Z");
        for (alert_on, misses) in [(AlertOn::Every, 10), (AlertOn::First, 1)] {
            let mut replay = Replay::new(rules(Schedule::Every(3_600), alert_on), true, began, 100);
            let alerts = replay.pass(began + Duration::hours(10) + Duration::seconds(61)).unwrap();
            assert_eq!(causes(&alerts), vec![Cause::Missed; misses], "{alert_on:?}");
            assert_eq!(alerts[0].at, began + Duration::seconds(3_660));
            assert_eq!(replay.monitor.next_slot, Some(began + Duration::hours(11)));
            // It was found before the success came: two alerts, not one in the past tense.
            let at = began + Duration::hours(10) + Duration::minutes(30);
            let recovered = replay.happen(&signal(SignalKind::Success, None), at).unwrap();
            assert!(matches!(recovered[..], [Alert { fact: Fact::Recovered { .. }, .. }]), "{recovered:?}");
        }
    }

    #[test]
    fn looking_once_in_an_incident_says_the_same_as_looking_every_time() {
        let began = utc("2026-11-22T00:00:00Z");
        for threshold in [1, 3] {
            let mut rules = rules(Schedule::Every(600), AlertOn::First);
            (rules.failure_threshold, rules.expected_duration) = (threshold, Some(1_500));
            let mut once = Replay::new(rules.clone(), true, began, 1_000);
            let mut often = Monitor::new(rules, true, began);
            let (mut by_once, mut by_often) = (Vec::new(), Vec::new());
            let kinds = [SignalKind::Start, SignalKind::Fail, SignalKind::Start, SignalKind::Success];
            for i in 0..60_i64 {
                let kind = kinds[usize::try_from(i % 7 % 4).unwrap()];
                let at = began + Duration::seconds(i * i * 7 % 4_000 + i * 2_500);
                let rid = Some(u128::try_from(i % 3).unwrap());
                let event = signal(kind, rid);
                by_once.extend(once.happen(&event, at).unwrap());
                while let Some(due) = often.due_at().filter(|due| *due < at) {
                    by_often.extend(often.look(due + Duration::microseconds(1)));
                }
                let Event::Signal(signal) = event else { unreachable!() };
                by_often.extend(often.apply(&signal, at));
                assert_eq!(
                    (once.monitor.due_at(), once.monitor.status),
                    (often.due_at(), often.status),
                    "{i}"
                );
            }
            assert_eq!(by_once, by_often);
            assert!(by_once.len() > 10, "{}", by_once.len());
        }
    }

    #[test]
    fn too_many_deadlines_are_an_error() {
        let began = utc("2026-11-22T00:00:00Z");
        let mut replay = Replay::new(rules(Schedule::Every(1), AlertOn::Every), true, began, 10_000);
        assert_eq!(replay.pass(began + Duration::days(366)), Err(TooManyDeadlines(10_000)));
        // Once it is told of, a year of misses is one look.
        let mut replay = Replay::new(rules(Schedule::Every(1), AlertOn::First), true, began, 10);
        assert_eq!(replay.pass(began + Duration::days(366)).unwrap().len(), 1);
    }

    #[test]
    fn nothing_is_judged_in_a_pause_and_the_next_slot_is_expected_after_it() {
        let cron = Cron::read("0 3 * * *", None).unwrap();
        let began = utc("2026-11-22T00:00:00Z");
        let mut replay = Replay::new(rules(Schedule::Cron(cron), AlertOn::First), true, began, 100);
        replay.happen(&signal(SignalKind::Start, None), began).unwrap();
        replay.happen(&Event::Pause { until: None }, utc("2026-11-22T01:00:00Z")).unwrap();
        assert_eq!((replay.open_jobs(), replay.monitor.due_at()), (0, None));
        assert!(replay.monitor.is_paused());
        assert_eq!(replay.happen(&signal(SignalKind::Fail, None), utc("2026-11-22T02:00:00Z")).unwrap(), []);
        assert_eq!(replay.happen(&Event::Resume, utc("2026-11-24T03:30:00Z")).unwrap(), []);
        assert_eq!(replay.monitor.next_slot, Some(utc("2026-11-25T03:00:00Z")));
        let until = Some(utc("2026-11-25T06:00:00Z"));
        replay.happen(&Event::Pause { until }, utc("2026-11-25T02:00:00Z")).unwrap();
        assert_eq!(replay.pass(utc("2026-11-26T02:59:00Z")).unwrap(), []);
        assert_eq!(replay.monitor.next_slot, Some(utc("2026-11-26T03:00:00Z")));
    }

    #[test]
    fn of_more_open_runs_than_a_monitor_has_the_oldest_is_abandoned() {
        let began = utc("2026-11-22T00:00:00Z");
        let mut replay = Replay::new(rules(Schedule::None, AlertOn::Every), false, began, 100);
        for i in 0..1_500_u32 {
            let at = began + Duration::seconds(i.into());
            replay.happen(&signal(SignalKind::Start, Some(i.into())), at).unwrap();
        }
        assert_eq!(replay.open_jobs(), 1_000);
        assert_eq!(replay.monitor.jobs[0].start, began + Duration::seconds(500));
        replay.happen(&signal(SignalKind::Success, Some(700)), began + Duration::hours(1)).unwrap();
        assert_eq!((replay.open_jobs(), replay.monitor.jobs.len()), (999, 999));
    }
}
