//! The rules of the state machine as a pure model: what a monitor becomes, and which alerts it makes,
//! when signals come, time passes and its owner edits it.
//!
//! The database decides: `fall_due` and `apply_signal` in `migrations/V0010__isolated_ticks.sql` say the same in
//! PL/pgSQL, step by step. The stories in `tests/stories/` run against both.

use std::collections::BTreeSet;

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
    /// A run that begins sooner after the one before makes a warning.
    pub min_interval_duration: Option<i64>,
    /// A run that succeeds sooner after its start makes a warning.
    pub min_duration: Option<i64>,
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
    /// Tells it from those before.
    number: usize,
    began_at: DateTime<Utc>,
    cause: Cause,
    alerted: Vec<Cause>,
    /// Whether anybody was told of it.
    told: bool,
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
    /// Since when its slots are found: a signal that was received before an edit expects none before that.
    slots_from: DateTime<Utc>,
    /// Of signals that count: a log is none.
    last_signal_at: Option<DateTime<Utc>>,
    pub jobs: Vec<Job>,
    /// When its newest run began.
    last_run_at: Option<DateTime<Utc>>,
    /// Whether its newest run came too often, or ended too fast.
    too_often: bool,
    too_fast: bool,
    bad_results: i32,
    good_results: i32,
    incident: Option<Incident>,
    incidents: usize,
    /// Those that made an alert: each makes one.
    alerted_slots: BTreeSet<DateTime<Utc>>,
    quiet: Quiet,
    /// When no ping could come through; without an end while that lasts.
    pub blind: Vec<(DateTime<Utc>, Option<DateTime<Utc>>)>,
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
            slots_from: now,
            last_signal_at: None,
            jobs: Vec::new(),
            last_run_at: None,
            too_often: false,
            too_fast: false,
            bad_results: 0,
            good_results: 0,
            incident: None,
            incidents: 0,
            alerted_slots: BTreeSet::new(),
            quiet: Quiet::default(),
            blind: Vec::new(),
        }
    }

    #[must_use]
    pub fn running(&self) -> bool {
        self.jobs.iter().any(Job::is_open)
    }

    /// A signal came: first everything falls due that was due before it, then it applies.
    pub fn apply(&mut self, signal: &Signal, at: DateTime<Utc>) -> Vec<Alert> {
        let calm_before = self.incident.is_none();
        let mut alerts = self.look(at);
        if signal.kind == SignalKind::Log {
            return alerts;
        }
        self.last_signal_at = Some(at);
        if self.is_paused() {
            if !self.resumes_by_ping(at) {
                // It is recorded, and nothing else.
                if signal.kind == SignalKind::Success {
                    self.last_success_at = Some(at);
                }
                return alerts;
            }
            self.end_pause(at);
        }
        let open = match signal.kind {
            SignalKind::Start => None,
            _ => self.job_that_ends(signal.rid),
        };
        let answers = self.answer_slot(signal.kind, open, at);
        let goes_on = match signal.kind {
            SignalKind::Start => {
                signal.rid.is_some() && self.jobs.iter().any(|job| job.is_open() && job.rid == signal.rid)
            }
            _ => open.is_some(),
        };
        if !goes_on {
            alerts.extend(self.run_begins(at));
        }
        match signal.kind {
            SignalKind::Start => self.start(signal.rid, answers, at),
            SignalKind::Success => {
                let started_at = self.end(open, signal.rid, answers, true, at);
                alerts.extend(self.good(at, calm_before));
                if calm_before && self.incident.is_none() {
                    told_with_their_end(&mut alerts, at);
                }
                if let Some(started_at) = started_at {
                    alerts.extend(self.run_took(started_at, at));
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
            _ if self.is_paused() => {}
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
        if expects_otherwise {
            self.slots_from = now;
        }
        if self.armed && expects_otherwise && !self.is_paused() {
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
            self.next_slot = self.first_slot(at);
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

    /// The slot to expect when none was expected before.
    fn first_slot(&self, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
        match &self.rules.schedule {
            Schedule::Cron(cron) => cron.next_after(at.max(self.slots_from)),
            schedule => first_slot(schedule, at),
        }
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

mod fall_due;
mod quiet;
mod results;

use quiet::Quiet;
use results::told_with_their_end;

#[cfg(test)]
mod tests;
