//! The rules of the state machine as a pure model: what a monitor becomes, and which alerts it makes,
//! when signals come, time passes and its owner edits it.
//!
//! The database decides: `migrations/V0002__rules.sql` says the same in PL/pgSQL, step by step. The
//! stories in `tests/stories/` run against both.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use uuid::Uuid;

use crate::alert::{Alert, Cause, Fact, names};
use crate::schedule::{Cron, Schedule};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// No success and no bad news so far.
    New,
    Up,
    /// Something was missed or overran, and that was alerted.
    Late,
    Failed,
}

names!(Status { New = "new", Up = "up", Late = "late", Failed = "failed" });

/// Which bad facts of an incident become alerts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AlertOn {
    Every,
    /// The first of each cause.
    First,
}

names!(AlertOn { Every = "every", First = "first" });

/// What the owner of a monitor decided. Durations are whole seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rules {
    pub schedule: Schedule,
    /// `None`: a run may last until the next slot and its grace.
    pub expected_duration: Option<i64>,
    pub grace_duration: i64,
    /// Replaces `grace_duration` for missed slots.
    pub start_grace_duration: Option<i64>,
    /// How long before a slot a signal already answers it; cron schedules only. `None`: 60 s or a tenth
    /// of the distance to the slot after it, whichever is less.
    pub early_duration: Option<i64>,
    pub failure_threshold: i32,
    pub recovery_threshold: i32,
    pub alert_on: AlertOn,
}

impl Rules {
    /// The zone its owner thinks in.
    #[must_use]
    pub fn zone(&self) -> Tz {
        match &self.schedule {
            Schedule::Cron(cron) => cron.zone().unwrap_or(Tz::UTC),
            Schedule::None | Schedule::Every(_) => Tz::UTC,
        }
    }

    /// Whether an edit from `self` to `new` changes when something is late.
    #[must_use]
    pub fn expects_otherwise(&self, new: &Self) -> bool {
        self.schedule != new.schedule
            || self.expected_duration != new.expected_duration
            || self.grace_duration != new.grace_duration
            || self.start_grace_duration != new.start_grace_duration
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SignalKind {
    Start,
    Success,
    Fail,
    Log,
}

names!(SignalKind { Start = "start", Success = "success", Fail = "fail", Log = "log" });

/// What a client says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signal {
    pub kind: SignalKind,
    /// The run it belongs to.
    pub rid: Option<Uuid>,
    pub exit_status: Option<i16>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Job {
    pub rid: Option<Uuid>,
    pub start: DateTime<Utc>,
    pub end: Option<DateTime<Utc>>,
    /// `None` while it runs, and of a job that was abandoned.
    pub succeeded: Option<bool>,
    /// When it overruns, unless it ended before.
    pub due_at: Option<DateTime<Utc>>,
    /// Its deadline, once it passed.
    pub overran_at: Option<DateTime<Utc>>,
    /// Whether its start answered a slot.
    pub answered: bool,
    /// Whether a start announced it. Without one it has no duration.
    pub announced: bool,
}

impl Job {
    fn is_open(&self) -> bool {
        self.end.is_none()
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Incident {
    began_at: DateTime<Utc>,
    cause: Cause,
    alerted: Vec<Cause>,
}

/// A monitor and everything its rules look at.
#[derive(Debug, Clone)]
pub struct Monitor {
    pub rules: Rules,
    pub status: Status,
    /// Whether the schedule counts yet: set by the first signal.
    pub armed: bool,
    pub announces_starts: bool,
    pub next_slot: Option<DateTime<Utc>>,
    pub last_success_at: Option<DateTime<Utc>>,
    /// Of signals that count: a log is none.
    last_signal_at: Option<DateTime<Utc>>,
    pub jobs: Vec<Job>,
    bad_results: i32,
    good_results: i32,
    incident: Option<Incident>,
}

impl Monitor {
    /// A monitor without a deadline until its first signal, unless `armed`.
    #[must_use]
    pub fn new(rules: Rules, armed: bool, now: DateTime<Utc>) -> Self {
        let next_slot = if armed { first_slot(&rules.schedule, now) } else { None };
        Self {
            rules,
            status: Status::New,
            armed,
            announces_starts: false,
            next_slot,
            last_success_at: None,
            last_signal_at: None,
            jobs: Vec::new(),
            bad_results: 0,
            good_results: 0,
            incident: None,
        }
    }

    #[must_use]
    pub fn running(&self) -> bool {
        self.jobs.iter().any(Job::is_open)
    }

    /// How long after its slot a missing signal counts as missed.
    fn slot_allowance(&self) -> Duration {
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

    /// The instant this monitor turns bad unless a signal comes first.
    #[must_use]
    pub fn due_at(&self) -> Option<DateTime<Utc>> {
        self.slot_deadline().into_iter().chain(self.next_overrun().map(|(due, _)| due)).min()
    }

    /// Time has passed: everything falls due whose deadline lies before `now`.
    pub fn look(&mut self, now: DateTime<Utc>) -> Vec<Alert> {
        let mut alerts = Vec::new();
        // All slots that passed since the last look make one alert, whatever `alert_on` says.
        let mut missed_alerted = false;
        loop {
            let slot_due = self.slot_deadline().filter(|due| *due < now);
            let overrun = self.next_overrun().filter(|(due, _)| *due < now);
            match (slot_due, overrun) {
                // At the same instant the run comes first: it explains why its slot's successor is open.
                (_, Some((due, i))) if slot_due.is_none_or(|slot_due| due <= slot_due) => {
                    let Some(job) = self.jobs.get_mut(i) else { break };
                    job.overran_at = Some(due);
                    let fact = Fact::Overran { started_at: job.start, succeeded_at: None };
                    alerts.extend(self.bad(fact, due, true));
                }
                (Some(due), _) => {
                    let Some(slot) = self.next_slot else { break };
                    // A run that overran in this incident and is still open explains the slots it sits on.
                    let explained = self.incident.as_ref().is_some_and(|incident| {
                        self.jobs.iter().any(|job| job.is_open() && job.overran_at >= Some(incident.began_at))
                    });
                    let wanted = match self.rules.alert_on {
                        AlertOn::Every => !missed_alerted,
                        AlertOn::First => !explained,
                    };
                    let fact = Fact::Missed { slot, succeeded_at: None };
                    let alert = self.bad(fact, due, wanted);
                    missed_alerted |= alert.is_some();
                    alerts.extend(alert);
                    // Once the incident is open the slots up to now add nothing more.
                    let passed = if self.incident.is_some() {
                        slot.max(now - self.slot_allowance() - Duration::microseconds(1))
                    } else {
                        slot
                    };
                    self.next_slot = next_slot_after(&self.rules.schedule, slot, passed);
                }
                _ => break,
            }
        }
        alerts
    }

    /// A signal came: first everything falls due that was due before it, then it applies.
    pub fn apply(&mut self, signal: &Signal, at: DateTime<Utc>) -> Vec<Alert> {
        let calm_before = self.incident.is_none();
        let mut alerts = self.look(at);
        if signal.kind == SignalKind::Log {
            return alerts;
        }
        self.last_signal_at = Some(at);
        let open = match signal.kind {
            SignalKind::Start => None,
            _ => self.job_that_ends(signal.rid),
        };
        let answers = self.answer_slot(signal.kind, open, at);
        match signal.kind {
            SignalKind::Start => self.start(signal.rid, answers, at),
            SignalKind::Success => {
                self.end(open, signal.rid, answers, true, at);
                alerts.extend(self.good(at, calm_before));
                if calm_before && self.incident.is_none() {
                    told_with_their_end(&mut alerts, at);
                }
                self.last_success_at = Some(at);
            }
            SignalKind::Fail => {
                let started_at = self.end(open, signal.rid, answers, false, at);
                let fact = Fact::Failed { started_at, exit_status: signal.exit_status };
                alerts.extend(self.bad(fact, at, true));
            }
            SignalKind::Log => {}
        }
        alerts
    }

    /// A signal that waited in the spool since `received_at`. When the monitor has had a later one, it may end
    /// the run of its run id, and it answers the slot if that is still expected; it opens no job, moves neither slot
    /// nor status back, and makes no alert.
    ///
    /// What the model does not know is who was told: a lateness that the signal disproves, and that nobody heard
    /// of, the database takes back.
    pub fn apply_from_spool(&mut self, signal: &Signal, received_at: DateTime<Utc>) -> Vec<Alert> {
        if self.last_signal_at.is_none_or(|last| received_at >= last) {
            return self.apply(signal, received_at);
        }
        if signal.kind == SignalKind::Log {
            return Vec::new();
        }
        match (&self.rules.schedule, self.next_slot) {
            (Schedule::Every(n), _) => {
                self.next_slot = self.next_slot.max(Some(received_at + Duration::seconds(*n)));
            }
            (Schedule::Cron(cron), Some(slot)) if received_at >= slot - self.early(cron, slot) => {
                self.next_slot = cron.next_after(slot.max(received_at));
            }
            _ => {}
        }
        let succeeded = match signal.kind {
            SignalKind::Success => true,
            SignalKind::Fail => false,
            SignalKind::Start | SignalKind::Log => return Vec::new(),
        };
        if signal.rid.is_some()
            && let Some(job) = self
                .jobs
                .iter_mut()
                .rfind(|job| job.is_open() && job.rid == signal.rid && job.start <= received_at)
        {
            job.end = Some(received_at);
            job.succeeded = Some(succeeded);
        }
        if succeeded {
            self.last_success_at = self.last_success_at.max(Some(received_at));
        }
        Vec::new()
    }

    /// Its owner changed it. That never alerts by itself: the next slot after now is expected.
    pub fn edit(&mut self, new: Rules, now: DateTime<Utc>) -> Vec<Alert> {
        let alerts = self.look(now);
        let expects_otherwise = self.rules.expects_otherwise(&new);
        let old = std::mem::replace(&mut self.rules, new);
        if self.armed && expects_otherwise {
            self.next_slot = slot_after_edit(&old.schedule, &self.rules.schedule, self.next_slot, now);
        }
        alerts
    }

    /// The open job that a success or fail ends.
    fn job_that_ends(&self, rid: Option<Uuid>) -> Option<usize> {
        let open = || self.jobs.iter().enumerate().filter(|(_, job)| job.is_open());
        if rid.is_some() {
            return open().rfind(|(_, job)| job.rid == rid).map(|(i, _)| i);
        }
        if let Some((i, _)) = open().rfind(|(_, job)| job.rid.is_none()) {
            return Some(i);
        }
        let mut with_rid = open();
        match (with_rid.next(), with_rid.next()) {
            (Some((only, _)), None) => Some(only),
            _ => None,
        }
    }

    /// Moves the slot that is expected next, and says whether the signal answered one.
    fn answer_slot(&mut self, kind: SignalKind, ends: Option<usize>, at: DateTime<Utc>) -> bool {
        if kind == SignalKind::Start {
            self.announces_starts = true;
        } else if ends.is_none() {
            self.announces_starts = false;
        }
        let (was_armed, before) = (self.armed, self.next_slot);
        if !self.armed {
            self.armed = true;
            self.next_slot = first_slot(&self.rules.schedule, at);
        }
        // The end of a run whose start answered a slot must not answer the one after it before its time.
        let has_answered = ends.and_then(|i| self.jobs.get(i)).is_some_and(|job| job.answered);
        match (&self.rules.schedule, self.next_slot) {
            // Counted from the last start if starts are announced, else from the last end.
            (Schedule::Every(n), _) if self.announces_starts == (kind == SignalKind::Start) => {
                // A signal that waited must not move it back.
                self.next_slot = self.next_slot.max(Some(at + Duration::seconds(*n)));
            }
            (Schedule::Cron(cron), Some(slot))
                if at >= slot || !has_answered && at >= slot - self.early(cron, slot) =>
            {
                self.next_slot = cron.next_after(slot.max(at));
            }
            _ => {}
        }
        !was_armed || self.next_slot != before
    }

    /// How long before a slot a signal answers it already.
    fn early(&self, cron: &Cron, slot: DateTime<Utc>) -> Duration {
        match (self.rules.early_duration, cron.next_after(slot)) {
            (Some(seconds), _) => Duration::seconds(seconds),
            (None, Some(following)) => Duration::seconds(60).min((following - slot) / 10),
            (None, None) => Duration::seconds(60),
        }
    }

    fn start(&mut self, rid: Option<Uuid>, answered: bool, at: DateTime<Utc>) {
        let grace = Duration::seconds(self.rules.grace_duration);
        let due_at = match self.rules.expected_duration {
            Some(expected) => Some(at + Duration::seconds(expected) + grace),
            None => self.next_slot.map(|slot| slot + grace),
        };
        let same = self.jobs.iter_mut().rev().find(|job| job.is_open() && rid.is_some() && job.rid == rid);
        match same {
            Some(job) => {
                job.due_at = due_at;
                job.answered |= answered;
            }
            None => self.jobs.push(Job {
                rid,
                start: at,
                end: None,
                succeeded: None,
                due_at,
                overran_at: None,
                answered,
                announced: true,
            }),
        }
    }

    /// Ends the open job, or records a run of its own; answers with the start of an announced run.
    fn end(
        &mut self,
        open: Option<usize>,
        rid: Option<Uuid>,
        answered: bool,
        succeeded: bool,
        at: DateTime<Utc>,
    ) -> Option<DateTime<Utc>> {
        let mut started_at = None;
        let mut without_rid = false;
        if let Some(job) = open.and_then(|i| self.jobs.get_mut(i)) {
            job.end = Some(at);
            job.succeeded = Some(succeeded);
            started_at = Some(job.start);
            without_rid = job.rid.is_none();
        } else {
            self.jobs.push(Job {
                rid,
                start: at,
                end: Some(at),
                succeeded: Some(succeeded),
                due_at: None,
                overran_at: None,
                answered,
                announced: false,
            });
        }
        if without_rid {
            // Older jobs without a run id will never be told apart: abandoned, without alert.
            for job in self.jobs.iter_mut().filter(|job| job.is_open() && job.rid.is_none()) {
                job.end = Some(at);
            }
        }
        started_at
    }

    /// A bad result. Makes an alert if the incident begins with it, or if it is `wanted` and new in it.
    fn bad(&mut self, fact: Fact, at: DateTime<Utc>, wanted: bool) -> Option<Alert> {
        let cause = fact.cause();
        self.good_results = 0;
        self.bad_results += 1;
        let begins = self.incident.is_none() && self.bad_results >= self.rules.failure_threshold;
        if begins {
            self.incident = Some(Incident { began_at: at, cause, alerted: Vec::new() });
        }
        let incident = self.incident.as_mut()?;
        if self.status != Status::Failed {
            self.status = if cause == Cause::Failed { Status::Failed } else { Status::Late };
        }
        let new = self.rules.alert_on == AlertOn::Every || !incident.alerted.contains(&cause);
        if !(begins || wanted && new) {
            return None;
        }
        incident.alerted.push(cause);
        Some(self.alert(fact, at))
    }

    /// A success. Ends the incident once there were enough of them.
    fn good(&mut self, at: DateTime<Utc>, calm_before: bool) -> Option<Alert> {
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
        self.incident = None;
        self.status = Status::Up;
        // Begun and ended within this signal: the late alert says both.
        (!calm_before).then(|| self.alert(fact, at))
    }

    fn alert(&self, fact: Fact, at: DateTime<Utc>) -> Alert {
        Alert { at, fact, last_success_at: self.last_success_at, zone: self.rules.zone() }
    }
}

/// Lateness and its end became known together: the alerts tell both.
fn told_with_their_end(alerts: &mut [Alert], at: DateTime<Utc>) {
    for alert in alerts {
        match &mut alert.fact {
            Fact::Missed { succeeded_at, .. } | Fact::Overran { succeeded_at, .. } => {
                *succeeded_at = Some(at);
            }
            Fact::Failed { .. } | Fact::Recovered { .. } => {}
        }
    }
}

/// The first slot of a schedule that counts from `now`.
#[must_use]
pub fn first_slot(schedule: &Schedule, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match schedule {
        Schedule::None => None,
        Schedule::Every(n) => Some(now + Duration::seconds(*n)),
        Schedule::Cron(cron) => cron.next_after(now),
    }
}

/// The first slot after `passed` on the schedule that `slot` lies on.
fn next_slot_after(schedule: &Schedule, slot: DateTime<Utc>, passed: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match schedule {
        Schedule::None => None,
        Schedule::Every(n) => {
            let step = n * 1_000_000;
            let since = (passed - slot).num_microseconds()?;
            Some(slot + Duration::microseconds((since.div_euclid(step) + 1) * step))
        }
        Schedule::Cron(cron) => cron.next_after(passed),
    }
}

/// The slot to expect after an edit: the next one after `now`. A run every so often goes on counting from
/// where it counted before.
#[must_use]
pub fn slot_after_edit(
    old: &Schedule,
    new: &Schedule,
    next_slot: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
) -> Option<DateTime<Utc>> {
    match (old, new, next_slot) {
        (Schedule::Every(n), Schedule::Every(_), Some(slot)) => {
            let counted_from = slot - Duration::seconds(*n);
            next_slot_after(new, counted_from, counted_from.max(now))
        }
        _ => first_slot(new, now),
    }
}

#[cfg(test)]
mod tests;
