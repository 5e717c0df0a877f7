//! The monitors of the test data, and what happens to each. What they show should last for a day, so they expect
//! nothing sooner or are patient.

use chrono::{DateTime, TimeDelta, Utc};
use domain::{Cron, Schedule, SignalKind};

pub(super) const WINDOW_TAG: &str = "warehouse";
pub(super) const WINDOW_BEGAN_BEFORE: TimeDelta = TimeDelta::hours(2);
pub(super) const WINDOW_SECONDS: i32 = 26 * 3600;

const MINUTE: TimeDelta = TimeDelta::minutes(1);
const HOUR: TimeDelta = TimeDelta::hours(1);
const DAY: TimeDelta = TimeDelta::days(1);
const PATIENT: i32 = 86_400;

pub(super) struct Plan {
    pub(super) name: &'static str,
    pub(super) shows: &'static str,
    pub(super) tags: Vec<&'static str>,
    pub(super) created_at: DateTime<Utc>,
    pub(super) schedule: Schedule,
    pub(super) expected_duration: Option<i32>,
    pub(super) grace_duration: i32,
    pub(super) armed: bool,
    pub(super) fail_keywords: Option<Vec<&'static str>>,
    pub(super) min_duration: Option<i32>,
    /// In their order.
    pub(super) events: Vec<(DateTime<Utc>, Event)>,
}

#[derive(Debug, Clone)]
pub(super) enum Event {
    Signal { kind: SignalKind, exit_status: Option<i16>, body: Option<&'static str> },
    Pause,
    Snooze { until: DateTime<Utc> },
}

/// A plan that is told step by step.
impl Plan {
    fn new(name: &'static str, shows: &'static str, created_at: DateTime<Utc>) -> Self {
        Self {
            name,
            shows,
            tags: Vec::new(),
            created_at,
            schedule: Schedule::None,
            expected_duration: Some(1800),
            grace_duration: 3600,
            armed: false,
            fail_keywords: None,
            min_duration: None,
            events: Vec::new(),
        }
    }

    fn tags(mut self, tags: &[&'static str]) -> Self {
        self.tags = tags.to_vec();
        self
    }

    fn every(mut self, gap: TimeDelta) -> Self {
        self.schedule = Schedule::Every(gap.num_seconds());
        self
    }

    fn lasting(mut self, expected_duration: i32, grace_duration: i32) -> Self {
        self.expected_duration = Some(expected_duration);
        self.grace_duration = grace_duration;
        self
    }

    fn signal(mut self, at: DateTime<Utc>, kind: SignalKind) -> Self {
        self.events.push((at, Event::Signal { kind, exit_status: None, body: None }));
        self
    }

    fn says(mut self, at: DateTime<Utc>, body: &'static str) -> Self {
        self.events
            .push((at, Event::Signal { kind: SignalKind::Success, exit_status: Some(0), body: Some(body) }));
        self
    }

    fn fails(mut self, at: DateTime<Utc>, exit_status: i16, body: &'static str) -> Self {
        let fail = Event::Signal { kind: SignalKind::Fail, exit_status: Some(exit_status), body: Some(body) };
        self.events.push((at, fail));
        self
    }

    fn run(self, start: DateTime<Utc>, length: TimeDelta) -> Self {
        self.signal(start, SignalKind::Start).signal(start + length, SignalKind::Success)
    }

    /// So many good runs, a day apart, the last of which began so long ago.
    fn daily_runs(self, count: i32, last: DateTime<Utc>, length: TimeDelta) -> Self {
        (0..count).rev().fold(self, |plan, n| plan.run(last - DAY * n, length))
    }
}

pub(super) fn all(now: DateTime<Utc>) -> Vec<Plan> {
    let created = now - DAY * 30;
    let plan = |name, shows| Plan::new(name, shows, created);
    vec![
        nightly_backup(now),
        long_history(now),
        plan("search index rebuild", "runs since 25 minutes, after good days")
            .tags(&["running", "web"])
            .every(DAY)
            .lasting(6 * 3600, PATIENT)
            .daily_runs(3, now - DAY, HOUR * 2)
            .signal(now - MINUTE * 25, SignalKind::Start),
        plan("photo migration", "runs for the first time")
            .tags(&["running", "once"])
            .lasting(PATIENT * 2, 3600)
            .signal(now - HOUR * 3, SignalKind::Start),
        plan("invoice mails", "missed: its last run was 50 hours ago")
            .tags(&["late", "billing"])
            .every(DAY)
            .daily_runs(5, now - HOUR * 50, MINUTE * 4),
        plan("video encoding", "overran: it hangs since its start 5 hours ago")
            .tags(&["late", "media"])
            .every(DAY)
            .lasting(3600, 600)
            .daily_runs(5, now - HOUR * 29, MINUTE * 41)
            .signal(now - HOUR * 5, SignalKind::Start),
        plan("weekly cleanup", "missed: it was expected from the beginning, and never came")
            .tags(&["late", "web"])
            .every(DAY * 7)
            .armed(),
        plan("offsite copy", "fails again and again, with output")
            .tags(&["failing", "db"])
            .every(HOUR * 6)
            .lasting(3600, PATIENT)
            .run(now - HOUR * 25, MINUTE * 20)
            .run(now - HOUR * 19, MINUTE * 22)
            .failed_copy(now - HOUR * 13)
            .failed_copy(now - HOUR * 7)
            .failed_copy(now - HOUR),
        plan("log scan", "said success, but a keyword in its output says fail")
            .tags(&["failing", "web"])
            .every(DAY)
            .lasting(1800, PATIENT)
            .fail_keyword("ERROR")
            .says(now - HOUR * 26, "scanned 18,204 lines, nothing found")
            .says(now - HOUR * 2, "scanned 19,377 lines\nERROR in line 4,012: out of memory"),
        plan("old importer", "paused two days ago, until somebody resumes it")
            .tags(&["paused", "billing"])
            .every(DAY)
            .daily_runs(4, now - HOUR * 70, MINUTE * 9)
            .event(now - HOUR * 48, Event::Pause),
        plan("new server backup", "never pinged: nothing is expected yet").tags(&["new", "db"]).every(DAY),
        plan("queue cleanup", "fails, and is snoozed: nobody is told until tomorrow")
            .tags(&["failing", "snoozed"])
            .every(DAY)
            .lasting(1800, PATIENT)
            .daily_runs(3, now - HOUR * 26, MINUTE)
            .event(now - HOUR * 3, Event::Snooze { until: now + HOUR * 24 })
            .fails(now - HOUR * 2, 1, "redis: connection refused"),
        plan("warehouse load", "fails in a maintenance window: nobody is told while it lasts")
            .tags(&["failing", WINDOW_TAG])
            .every(DAY)
            .lasting(1800, PATIENT)
            .daily_runs(3, now - HOUR * 25, MINUTE * 17)
            .fails(now - HOUR, 2, "could not connect to warehouse.example.com"),
        plan("certificate renewal", "failed yesterday, and recovered an hour later")
            .tags(&["healthy", "recovered"])
            .every(DAY)
            .lasting(1800, PATIENT)
            .daily_runs(3, now - HOUR * 50, MINUTE)
            .fails(now - HOUR * 26, 1, "rate limit of the authority: try again in an hour")
            .run(now - HOUR * 25, MINUTE),
        plan("cache warmup", "healthy, but its last run was over too soon: a warning")
            .tags(&["healthy", "warning"])
            .every(DAY)
            .lasting(1800, PATIENT)
            .at_least(60)
            .daily_runs(3, now - HOUR * 26, MINUTE * 6)
            .run(now - HOUR * 2, TimeDelta::seconds(2)),
        plan("report by hand", "no schedule: only its runs are watched")
            .tags(&["healthy", "no-schedule"])
            .lasting(900, 300)
            .run(now - DAY * 12, MINUTE * 8)
            .run(now - DAY * 3, MINUTE * 9),
    ]
}

/// The steps that few plans have.
impl Plan {
    fn armed(mut self) -> Self {
        self.armed = true;
        self
    }

    fn fail_keyword(mut self, keyword: &'static str) -> Self {
        self.fail_keywords = Some(vec![keyword]);
        self
    }

    fn at_least(mut self, seconds: i32) -> Self {
        self.min_duration = Some(seconds);
        self
    }

    fn event(mut self, at: DateTime<Utc>, event: Event) -> Self {
        self.events.push((at, event));
        self
    }

    fn failed_copy(self, start: DateTime<Utc>) -> Self {
        self.signal(start, SignalKind::Start).fails(
            start + MINUTE * 14,
            23,
            "sending incremental file list\nrsync: write failed: No space left on device (28)\n\
             rsync error: some files/attrs were not transferred (code 23)",
        )
    }
}

/// Every night at half past two, wherever Riga's clocks stand.
fn nightly_backup(now: DateTime<Utc>) -> Plan {
    let created = now - DAY * 30;
    let plan = Plan::new("nightly backup", "healthy: every night at 2:30 in Riga", created)
        .tags(&["healthy", "db"])
        .lasting(1800, 3600);
    let Ok(cron) = Cron::read("30 2 * * *", Some("Europe/Riga")) else { return plan };
    let nights = cron.slots_after(now - DAY * 14);
    let length = MINUTE * 12;
    let plan = nights
        .into_iter()
        .filter(|night| *night + length + MINUTE < now)
        .fold(plan, |plan, night| plan.run(night + TimeDelta::seconds(4), length));
    Plan { schedule: Schedule::Cron(cron), ..plan }
}

/// An hourly job of two months, of which a run fails now and then.
fn long_history(now: DateTime<Utc>) -> Plan {
    let hours = 60 * 24;
    let plan =
        Plan::new("hourly sync", "healthy, with a long history: two months of hourly runs", now - DAY * 61)
            .tags(&["healthy", "long-history"])
            .every(HOUR)
            .lasting(900, PATIENT);
    (1..=hours).rev().fold(plan, |plan, n| {
        let start = now - HOUR * n + MINUTE * 30;
        if n % 97 == 0 {
            plan.signal(start, SignalKind::Start).fails(
                start + MINUTE,
                1,
                "HTTP 503 from partner.example.com",
            )
        } else {
            // Longer at some hours than at others.
            plan.run(start, MINUTE * 2 + TimeDelta::seconds(i64::from(n * 37 % 240)))
        }
    })
}
