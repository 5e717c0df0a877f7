//! What was expected of a monitor at an instant, what came of it, and that in one sentence.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;

use crate::alert::{Alert, AlertType, Fact, names};
use crate::replay::{Event, Replay, TooManyDeadlines};
use crate::rules::{SignalKind, Status};
use crate::schedule::{Cron, Schedule};
use crate::sentence::{Clock, sentence, span};

/// A slot, and what became of it as far as is known now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    pub slot: DateTime<Utc>,
    /// When it counts as missed.
    pub deadline: DateTime<Utc>,
    pub outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    Pending,
    /// By the signal at this place of the history.
    Answered {
        by: usize,
    },
    /// `silence`: why there is no alert about it.
    Missed {
        silence: Option<Silence>,
    },
    /// A pause began before it was judged.
    NotJudged,
}

/// Why a miss makes no alert.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Silence {
    /// Fewer bad results in a row than `failure_threshold`.
    BelowThreshold,
    /// The first of its cause in the incident was told.
    NotTheFirst,
}

/// The slot that an instant belongs to: the last one that was answered or passed by then; before that, the next
/// one. `start` stands at `began`, where the history begins; that is ascending and ends at `now`.
///
/// # Errors
/// [`TooManyDeadlines`].
pub fn slot_at(
    start: &Replay,
    began: DateTime<Utc>,
    history: &[(DateTime<Utc>, Event)],
    at: DateTime<Utc>,
    now: DateTime<Utc>,
) -> Result<Option<Expected>, TooManyDeadlines> {
    let mut replay = start.clone();
    let mut answered = None;
    // When a signal, or a resume, last said from where the schedule counts.
    let mut counts_from = began;
    let (before, after) = history.split_at(history.partition_point(|(received_at, _)| *received_at <= at));
    for (by, (received_at, event)) in before.iter().enumerate() {
        replay.pass(*received_at)?;
        let (slot, deadline) = (replay.monitor.next_slot, replay.monitor.slot_deadline());
        replay.happen(event, *received_at)?;
        if replay.monitor.next_slot == slot {
            continue;
        }
        counts_from = *received_at;
        answered = match (event, slot, deadline) {
            (Event::Signal(_), Some(slot), Some(deadline)) => {
                Some(Expected { slot, deadline, outcome: Outcome::Answered { by } })
            }
            _ => None,
        };
    }
    replay.pass(at.min(now))?;
    let (Some(next), Some(deadline)) = (replay.monitor.next_slot, replay.monitor.slot_deadline()) else {
        return Ok(answered);
    };
    let expected = |slot, outcome| Ok(Some(Expected { slot, deadline: slot + (deadline - next), outcome }));
    let missed = |slot: DateTime<Utc>| {
        let silence = silence(start, history, slot, slot + (deadline - next))?;
        expected(slot, Outcome::Missed { silence })
    };
    let last = last_slot(&replay.monitor.rules.schedule, next, at);
    if at > now {
        return expected(last.map_or(next, |last| last.max(next)), Outcome::Pending);
    }
    if next > at {
        // What it waited for and did not get, unless something came after it or already before it.
        return match (last, answered) {
            (Some(slot), answered)
                if slot > counts_from && answered.as_ref().is_none_or(|answered| answered.slot < slot) =>
            {
                missed(slot)
            }
            (_, Some(answered)) => Ok(Some(answered)),
            (_, None) => expected(next, Outcome::Pending),
        };
    }
    // It was open then; what came later decides.
    for (i, (received_at, event)) in after.iter().enumerate() {
        replay.pass(*received_at)?;
        if replay.monitor.next_slot != Some(next) {
            return missed(next);
        }
        replay.happen(event, *received_at)?;
        if replay.monitor.next_slot != Some(next) {
            let outcome = match event {
                Event::Signal(_) => Outcome::Answered { by: before.len() + i },
                Event::Pause { .. } | Event::Resume => Outcome::NotJudged,
            };
            return expected(next, outcome);
        }
    }
    replay.pass(now)?;
    if replay.monitor.next_slot == Some(next) { expected(next, Outcome::Pending) } else { missed(next) }
}

/// Why the miss of a slot made no alert, if it made none: played once more, up to a moment after its deadline.
fn silence(
    start: &Replay,
    history: &[(DateTime<Utc>, Event)],
    slot: DateTime<Utc>,
    deadline: DateTime<Utc>,
) -> Result<Option<Silence>, TooManyDeadlines> {
    let mut replay = start.clone();
    let moment_after = deadline + Duration::microseconds(1);
    let mut alerts = Vec::new();
    for (received_at, event) in history.iter().take_while(|(received_at, _)| *received_at < moment_after) {
        alerts.extend(replay.happen(event, *received_at)?);
    }
    alerts.extend(replay.pass(moment_after)?);
    let told = alerts.iter().any(|alert| matches!(alert.fact, Fact::Missed { slot: of, .. } if of == slot));
    Ok(match replay.monitor.status {
        _ if told => None,
        Status::New | Status::Up => Some(Silence::BelowThreshold),
        Status::Late | Status::Failed => Some(Silence::NotTheFirst),
    })
}

/// The last slot up to an instant; `next` lies on the schedule.
fn last_slot(schedule: &Schedule, next: DateTime<Utc>, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    match schedule {
        Schedule::None => None,
        Schedule::Every(n) if next > at => Some(next - Duration::seconds(*n)),
        Schedule::Every(_) => Some(next),
        Schedule::Cron(cron) => last_slot_of(cron, at),
    }
}

/// The last slot of a cron schedule up to an instant.
#[must_use]
pub fn last_slot_of(cron: &Cron, at: DateTime<Utc>) -> Option<DateTime<Utc>> {
    let zone = cron.zone().unwrap_or(Tz::UTC);
    // Found backward, and then walked to as everybody else does: around a change of the clocks the way back may
    // see it otherwise. It starts some hours before, for that may be off by the hours that a clock jumps.
    let found = cron.pattern.find_previous_occurrence(&at.with_timezone(&zone), true).ok()?.to_utc();
    if cron.next_after(found - Duration::seconds(1)) == Some(found)
        && cron.next_after(found).is_none_or(|next| next > at)
    {
        return Some(found);
    }
    let mut from = found - Duration::hours(3);
    for _ in 0..2 {
        let mut last = None;
        while let Some(slot) = cron.next_after(last.unwrap_or(from)).filter(|slot| *slot <= at) {
            last = Some(slot);
        }
        if last.is_some() {
            return last;
        }
        from = cron.pattern.find_previous_occurrence(&from.with_timezone(&zone), true).ok()?.to_utc()
            - Duration::hours(3);
    }
    None
}

/// What is said of a monitor at an instant, worst first where it is several things.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Missed,
    Overran,
    Failed,
    /// CronMon could not see whether it came.
    Unknown,
    Paused,
    /// Its owner changed the monitor, or paused it, before it was judged.
    NotJudged,
    /// A run goes on.
    Running,
    Answered,
    /// Nothing came yet, and that is no lateness yet.
    Pending,
    NothingExpected,
}

names!(Verdict {
    Missed = "missed",
    Overran = "overran",
    Failed = "failed",
    Unknown = "unknown",
    Paused = "paused",
    NotJudged = "not_judged",
    Running = "running",
    Answered = "answered",
    Pending = "pending",
    NothingExpected = "nothing_expected",
});

/// A run, as far as its sentence needs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    pub started_at: DateTime<Utc>,
    /// Whether a start announced it.
    pub announced: bool,
    pub ended_at: Option<DateTime<Utc>>,
    /// `None` while it runs, and when it was abandoned.
    pub succeeded: Option<bool>,
    pub exit_status: Option<i16>,
    pub due_at: Option<DateTime<Utc>>,
    pub overran_at: Option<DateTime<Utc>>,
    /// It was open when the monitor was paused.
    pub abandoned_by_pause: bool,
}

/// From when until when; `None`: it goes on.
pub type Span = (DateTime<Utc>, Option<DateTime<Utc>>);

/// Everything that is known about an instant.
#[derive(Debug, Clone)]
pub struct Account {
    pub at: DateTime<Utc>,
    pub now: DateTime<Utc>,
    pub zone: Tz,
    pub created_at: DateTime<Utc>,
    pub has_schedule: bool,
    pub armed: bool,
    pub expected: Option<Expected>,
    /// What answered the slot, when that was a signal without a run that is still there.
    pub answered: Option<(DateTime<Utc>, SignalKind)>,
    pub run: Option<Run>,
    /// Alerts about the slot or the run, the oldest first.
    pub alerts: Vec<Alert>,
    pub paused: Option<Span>,
    /// CronMon could not see whether pings came in when it had to judge this.
    pub blind: Option<Span>,
    /// When its owner changed it, between the slot and its deadline.
    pub edited_at: Option<DateTime<Utc>>,
    pub last_success_at: Option<DateTime<Utc>>,
    pub failure_threshold: i32,
}

impl Account {
    #[must_use]
    pub fn verdict(&self) -> Verdict {
        if self.at < self.created_at {
            return Verdict::NothingExpected;
        }
        if self.paused.is_some() {
            return Verdict::Paused;
        }
        if let Some(alert) = self.decisive_alert() {
            return match (alert.fact.alert_type(), &alert.fact) {
                (AlertType::Failed, _) => Verdict::Failed,
                (_, Fact::Missed { .. }) => Verdict::Missed,
                _ => Verdict::Overran,
            };
        }
        if self.blind.is_some() {
            return Verdict::Unknown;
        }
        let outcome = self.expected.as_ref().map(|expected| expected.outcome);
        match (outcome, &self.run) {
            (Some(Outcome::Missed { .. } | Outcome::NotJudged), _) if self.edited_at.is_some() => {
                Verdict::NotJudged
            }
            (Some(Outcome::NotJudged), _) => Verdict::NotJudged,
            (Some(Outcome::Missed { .. }), _) => Verdict::Missed,
            // A run that goes on now says nothing of a slot to come.
            (Some(Outcome::Pending), _) if self.at > self.now => Verdict::Pending,
            (_, Some(run)) if run.overran_at.is_some() => Verdict::Overran,
            (_, Some(run)) if run.succeeded == Some(false) => Verdict::Failed,
            (_, Some(run)) if run.ended_at.is_none() => Verdict::Running,
            (Some(Outcome::Answered { .. }), _) | (None, Some(_)) => Verdict::Answered,
            (Some(Outcome::Pending), _) => Verdict::Pending,
            (None, None) => Verdict::NothingExpected,
        }
    }

    /// The bad news about the slot or the run: the newest, for it says most.
    fn decisive_alert(&self) -> Option<&Alert> {
        self.alerts
            .iter()
            .rev()
            .find(|alert| matches!(alert.fact.alert_type(), AlertType::Late | AlertType::Failed))
    }

    /// What happened, in one sentence without a full stop. Where there is an alert about it, the alert's.
    #[must_use]
    pub fn sentence(&self) -> String {
        let verdict = self.verdict();
        let clock = Clock { zone: self.zone, today: self.now };
        let time = |instant: DateTime<Utc>| clock.time(instant);
        if matches!(verdict, Verdict::Missed | Verdict::Overran | Verdict::Failed)
            && let Some(alert) = self.decisive_alert()
        {
            return sentence(alert);
        }
        let text = match verdict {
            Verdict::Missed | Verdict::Overran | Verdict::Failed => return self.bad_news(verdict),
            Verdict::Unknown => {
                let what = match (&self.expected, &self.run) {
                    (Some(expected), _) => format!("expected {}", time(expected.slot)),
                    (None, Some(run)) => format!("started {}", time(run.started_at)),
                    (None, None) => "something was expected".to_owned(),
                };
                let (began, ended) = self.blind.unwrap_or((self.at, None));
                let until = ended.map_or("on".to_owned(), |ended| format!("to {}", time(ended)));
                format!(
                    "{what}, but from {} {until} CronMon could not see whether pings came in",
                    time(began)
                )
            }
            Verdict::Paused => {
                let (began, ended) = self.paused.unwrap_or((self.at, None));
                let text = match ended {
                    Some(ended) => {
                        format!("paused from {} to {}: nothing is judged then", time(began), time(ended))
                    }
                    None => format!("paused since {}: nothing is judged until it is resumed", time(began)),
                };
                match self.abandoned_by_pause().filter(|run| run.ended_at == Some(began)) {
                    Some(run) => {
                        format!("{text}, and the run that started {} was abandoned", time(run.started_at))
                    }
                    None => text,
                }
            }
            Verdict::NotJudged => {
                let slot = self.expected.as_ref().map_or(self.at, |expected| expected.slot);
                match self.edited_at {
                    Some(edited) => format!(
                        "expected {}, but the monitor was changed at {}, before that was judged",
                        time(slot),
                        time(edited)
                    ),
                    None => {
                        let text = format!(
                            "expected {}, but the monitor was paused before that was judged",
                            time(slot)
                        );
                        match self.abandoned_by_pause() {
                            Some(run) => format!(
                                "{text}; the run that started {} was abandoned then",
                                time(run.started_at)
                            ),
                            None => text,
                        }
                    }
                }
            }
            Verdict::Running | Verdict::Answered => self.good_news(&clock),
            Verdict::Pending => {
                let (slot, deadline) = self
                    .expected
                    .as_ref()
                    .map_or((self.at, self.at), |expected| (expected.slot, expected.deadline));
                if slot > self.now {
                    format!("next expected {}, late after {}", time(slot), time(deadline))
                } else {
                    format!("expected {}, nothing came yet; late after {}", time(slot), time(deadline))
                }
            }
            Verdict::NothingExpected => self.nothing(&clock),
        };
        clock.with_zone(text)
    }

    /// Bad news that made no alert, as its alert would have said it.
    fn bad_news(&self, verdict: Verdict) -> String {
        let alert = |at, fact| Alert { at, fact, last_success_at: self.last_success_at, zone: self.zone };
        match (verdict, &self.expected, &self.run) {
            (Verdict::Missed, Some(expected), _) => {
                let fact = Fact::Missed { slot: expected.slot, succeeded_at: None };
                let text = sentence(&alert(expected.deadline, fact));
                match expected.outcome {
                    Outcome::Missed { silence: Some(Silence::BelowThreshold) } => {
                        format!("{text}; no alert before {} bad results in a row", self.failure_threshold)
                    }
                    Outcome::Missed { silence: Some(Silence::NotTheFirst) } => {
                        format!("{text}; no alert, for the incident was told of before")
                    }
                    _ => text,
                }
            }
            (Verdict::Overran, _, Some(run)) => {
                let fact = Fact::Overran { started_at: run.started_at, succeeded_at: None };
                sentence(&alert(run.overran_at.unwrap_or(self.at), fact))
            }
            (_, _, Some(run)) => {
                let started_at = run.announced.then_some(run.started_at);
                let fact = Fact::Failed { started_at, exit_status: run.exit_status };
                sentence(&alert(run.ended_at.unwrap_or(run.started_at), fact))
            }
            _ => String::new(),
        }
    }

    fn abandoned_by_pause(&self) -> Option<&Run> {
        self.run.as_ref().filter(|run| run.abandoned_by_pause)
    }

    /// That a run was given up, without a full stop; where the sentence tells bad news, it does not say so.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        let run = self.abandoned_by_pause()?;
        let clock = Clock { zone: self.zone, today: self.now };
        let (started, ended) = (clock.time(run.started_at), clock.time(run.ended_at?));
        matches!(self.verdict(), Verdict::Missed | Verdict::Overran | Verdict::Unknown).then(|| {
            clock.with_zone(format!(
                "the run that started {started} was abandoned at {ended}: the monitor was paused before its end came"
            ))
        })
    }

    fn good_news(&self, clock: &Clock) -> String {
        let expected = self.expected.as_ref().filter(|e| matches!(e.outcome, Outcome::Answered { .. }));
        let begins = expected.map(|expected| format!("expected {}, ", clock.time(expected.slot)));
        let begins = begins.unwrap_or_default();
        let Some(run) = &self.run else {
            return match self.answered {
                Some((at, kind)) => format!("{begins}a {} came at {}", kind.name(), clock.time(at)),
                None => format!("{begins}and it came"),
            };
        };
        let started = clock.time(run.started_at);
        match (run.ended_at, run.succeeded) {
            (None, _) => match run.due_at {
                Some(due) => {
                    format!("{begins}started {started}, still running, late after {}", clock.time(due))
                }
                None => format!("{begins}started {started}, still running"),
            },
            (Some(ended), None) => {
                let why = if run.abandoned_by_pause {
                    "the monitor was paused before its end came"
                } else {
                    "its end had not come"
                };
                format!("{begins}started {started}, abandoned at {}: {why}", clock.time(ended))
            }
            (Some(ended), Some(_)) if run.announced => format!(
                "{begins}started {started}, succeeded at {}, {} later",
                clock.time(ended),
                span(ended - run.started_at)
            ),
            (Some(ended), Some(_)) => format!("{begins}succeeded at {}", clock.time(ended)),
        }
    }

    fn nothing(&self, clock: &Clock) -> String {
        if self.at < self.created_at {
            format!("nothing was expected: the monitor was created at {}", clock.time(self.created_at))
        } else if !self.has_schedule {
            "nothing is expected: there is no schedule, and no run was open".to_owned()
        } else if !self.armed {
            "nothing is expected before the first start, success or fail".to_owned()
        } else {
            "nothing was expected yet".to_owned()
        }
    }
}

#[cfg(test)]
mod tests;
