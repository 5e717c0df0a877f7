//! What becomes of each line and each monitor.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use domain::crontab::{Crontab, Job, ZoneIs};
use domain::{Cron, Schedule};
use serde_json::Value;
use uuid::Uuid;

use super::matches::{Existing, Matches};
use super::{Expected, FEWEST_SLOTS};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Created,
    Unchanged,
    /// `expects_otherwise`: not its name alone.
    Changed {
        expects_otherwise: bool,
    },
}

/// What becomes of one job.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) outcome: Outcome,
    pub(super) monitor_id: Uuid,
    pub(super) ping_id: Uuid,
    pub(super) slug: String,
    pub(super) name: String,
    /// What it expects from now on: which one of the plan's.
    pub(super) schedule: Option<usize>,
    /// Where it is not that.
    pub(super) shown_schedule: Option<Value>,
    /// Whether its beginning is pinged.
    pub(super) announces: bool,
    /// Whether it gets those tags of the import that it lacks.
    pub(super) gets_tags: bool,
    pub(super) why: Option<String>,
}

#[derive(Debug)]
pub(super) struct Plan {
    /// In the order of the crontab's.
    pub(super) jobs: Vec<Planned>,
    /// The crontab's schedules, and behind them those that are read in the zone of a monitor.
    pub(super) expected: Vec<Expected>,
    /// Those of an earlier import with the same tags that no line is about: as many as are named, by slug.
    pub(super) gone: Vec<Existing>,
    pub(super) more_gone: usize,
    /// What was guessed about the whole.
    pub(super) warnings: Vec<String>,
}

/// So many are named; the answer has a limit.
const MOST_GONE: usize = 1_000;

pub(super) fn plan(
    crontab: &Crontab,
    expected: Vec<Expected>,
    existing: &[Existing],
    tags: &[String],
    now: DateTime<Utc>,
) -> Plan {
    let mut matches = Matches::new(crontab, existing, tags);
    matches.by_ping_id();
    matches.by_name();
    let found = std::mem::take(&mut matches.found);
    let mut schedules = Schedules { crontab, expected, in_zones: HashMap::new(), now };
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut jobs = Vec::with_capacity(crontab.jobs.len());
    for (job, found) in crontab.jobs.iter().zip(found) {
        let found = match found {
            Some(found) => Ok(found),
            None => matches.by_slug(job, &mut numbers),
        };
        let mut planned = match found {
            Ok(found) => for_existing(job, &mut schedules, found, tags),
            Err(slug) => created(job, slug),
        };
        planned.why = matches.passed_over(job, planned.ping_id).or(planned.why);
        jobs.push(planned);
    }
    let mut named: HashSet<Uuid> = jobs.iter().map(|job| job.monitor_id).collect();
    let pinged_by_hand = crontab.left.iter().flat_map(|left| &left.ping_ids);
    named.extend(pinged_by_hand.filter_map(|id| matches.by_ping_id.get(id)).map(|one| one.monitor_id));
    let tags: HashSet<&str> = tags.iter().map(String::as_str).collect();
    let is_of_this_import = |one: &&Existing| {
        !named.contains(&one.monitor_id)
            && one.tags.len() == tags.len()
            && one.tags.iter().all(|tag| tags.contains(tag.as_str()))
    };
    let mut gone: Vec<Existing> = existing.iter().filter(is_of_this_import).cloned().collect();
    gone.sort_by(|a, b| a.slug.cmp(&b.slug));
    let more_gone = gone.len().saturating_sub(MOST_GONE);
    gone.truncate(MOST_GONE);
    let warnings = guesses(crontab, &jobs);
    Plan { jobs, expected: schedules.expected, gone, more_gone, warnings }
}

/// About the lines whose schedules are read in a zone that nobody gave.
fn guesses(crontab: &Crontab, jobs: &[Planned]) -> Vec<String> {
    let is_so = |zone: ZoneIs| {
        let mut both = crontab.jobs.iter().zip(jobs);
        both.any(|(job, planned)| {
            job.zone == zone && planned.schedule == job.schedule && job.schedule.is_some()
        })
    };
    let mut guesses = Vec::new();
    if is_so(ZoneIs::Unknown) {
        let why = "no timezone was given: the schedules are read in UTC; ?timezone=Europe/Riga or a line CRON_TZ says another";
        guesses.push(why.to_owned());
    }
    if is_so(ZoneIs::Guessed) {
        let why = "no timezone was given: below TZ the schedules are read in its zone, but few crons go by it; \
                   ?timezone=Europe/Riga or a line CRON_TZ says another";
        guesses.push(why.to_owned());
    }
    guesses
}

/// The schedules of the lines.
struct Schedules<'a> {
    crontab: &'a Crontab,
    expected: Vec<Expected>,
    /// Those that are read in the zone of a monitor, by the line's and the zone.
    in_zones: HashMap<(usize, String), Option<usize>>,
    now: DateTime<Utc>,
}

impl Schedules<'_> {
    /// Of a line, when the monitor is there already: a zone that nobody says now stays.
    fn for_existing(&mut self, job: &Job, found: &Existing) -> Option<usize> {
        let line_s = job.schedule?;
        match (job.zone, &found.timezone) {
            (ZoneIs::Guessed | ZoneIs::Unknown, Some(zone)) => self.in_zone(line_s, zone).or(Some(line_s)),
            _ => Some(line_s),
        }
    }

    fn in_zone(&mut self, line_s: usize, zone: &str) -> Option<usize> {
        let cron = self.crontab.schedules.get(line_s)?;
        if cron.zone().is_some_and(|already| already.name() == zone) {
            return Some(line_s);
        }
        let key = (line_s, zone.to_owned());
        if let Some(known) = self.in_zones.get(&key) {
            return *known;
        }
        let place = Cron::parse(cron.expression(), Some(zone), self.now).ok().map(|cron| {
            self.expected.push(Expected::of(&cron, self.now, FEWEST_SLOTS));
            self.expected.len() - 1
        });
        self.in_zones.insert(key, place);
        place
    }
}

fn created(job: &Job, slug: String) -> Planned {
    Planned {
        outcome: Outcome::Created,
        monitor_id: Uuid::new_v4(),
        ping_id: Uuid::new_v4(),
        slug,
        name: job.name.clone(),
        schedule: job.schedule,
        shown_schedule: None,
        announces: job.form.announces,
        gets_tags: false,
        why: None,
    }
}

fn for_existing(job: &Job, schedules: &mut Schedules<'_>, found: &Existing, tags: &[String]) -> Planned {
    let planned = Planned {
        outcome: Outcome::Unchanged,
        monitor_id: found.monitor_id,
        ping_id: found.ping_id,
        slug: found.slug.clone(),
        name: job.name.clone(),
        schedule: None,
        shown_schedule: None,
        announces: job.form.announces,
        gets_tags: false,
        why: None,
    };
    if !found.is_imported() {
        let line_s = job.schedule.and_then(|place| schedules.expected.get(place));
        let is_same = found.has(line_s.map_or(&Schedule::None, |one| &one.schedule));
        let but = if is_same { "" } else { ", and expects other times than the line" };
        let why = format!("the monitor '{}' was not made by an import: it is used as it is{but}", found.slug);
        return Planned {
            name: found.name.clone(),
            shown_schedule: Some(found.shown_schedule()),
            why: Some(why),
            ..planned
        };
    }
    let schedule = schedules.for_existing(job, found);
    let expected =
        schedule.and_then(|place| schedules.expected.get(place)).map_or(&Schedule::None, |one| &one.schedule);
    let expects_otherwise = !found.has(expected);
    let gets_tags = lacks_tags(found, tags);
    let is_unchanged = !expects_otherwise && !gets_tags && found.name == job.name;
    let outcome = if is_unchanged { Outcome::Unchanged } else { Outcome::Changed { expects_otherwise } };
    // Whoever edits a crontab knows; who has another one with the same tags should.
    let why = (expects_otherwise && job.ping_id.is_none()).then(|| {
        format!(
            "its monitor '{}' expected {} until now; if that is for another crontab, give each crontab tags of its own",
            found.slug,
            found.times_in_words()
        )
    });
    Planned { outcome, schedule, gets_tags, why, ..planned }
}

/// Whether it lacks some of the import's, and has room for them.
fn lacks_tags(found: &Existing, tags: &[String]) -> bool {
    let lacking = tags.iter().filter(|tag| !found.tags.contains(tag));
    let all: Vec<String> = found.tags.iter().chain(lacking).cloned().collect();
    all.len() > found.tags.len() && domain::tags::check(all).is_ok()
}

impl Outcome {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Unchanged => "unchanged",
            Self::Changed { .. } => "changed",
        }
    }
}

#[cfg(test)]
mod tests;
