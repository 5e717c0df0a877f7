//! What becomes of each line and each monitor.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use domain::Cron;
use domain::crontab::{Crontab, Job, ZoneIs};
use serde_json::Value;
use uuid::Uuid;

use super::matches::{Existing, Matches};
use super::{Expected, FEWEST_SLOTS, grace_for};

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
    /// The grace that it gets, if it gets another one. In seconds.
    pub(super) grace: Option<i64>,
    /// Whether its zone is what was guessed, and not what it was already.
    pub(super) is_in_a_guessed_zone: bool,
    /// Whether it gets those tags of the import that it lacks.
    pub(super) gets_tags: bool,
    pub(super) whys: Vec<String>,
}

impl Planned {
    pub(super) fn expects_otherwise(&self) -> bool {
        matches!(self.outcome, Outcome::Created | Outcome::Changed { expects_otherwise: true })
    }
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

/// So many tell the smallest distance between slots of most schedules.
const SLOTS_FOR_A_GAP: usize = 16;

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
    let found = std::mem::take(&mut matches.found);
    let mut schedules =
        Schedules { crontab, expected, in_zones: HashMap::new(), graces: HashMap::new(), now };
    let mut jobs = Vec::with_capacity(crontab.jobs.len());
    // The tags of monitors that get more.
    let mut had: HashSet<&[String]> = HashSet::new();
    for (place, (job, found)) in crontab.jobs.iter().zip(found).enumerate() {
        let mut planned = match found {
            Some(found) => for_existing(job, &mut schedules, found, tags),
            None => {
                let planned = created(job, &schedules, matches.new_slug(place, job));
                let namesake = matches.namesake(job).filter(|_| job.ping_id.is_none());
                Planned { whys: namesake.into_iter().collect(), ..planned }
            }
        };
        if planned.gets_tags {
            had.extend(found.map(|found| found.tags.as_slice()));
        }
        planned.whys.splice(0..0, matches.passed_over(job, &planned.slug));
        if matches.pings_by_hand(job) {
            planned.whys.push("its command pings a monitor by itself too".to_owned());
        }
        jobs.push(planned);
    }
    let mut named: HashSet<Uuid> = jobs.iter().map(|job| job.monitor_id).collect();
    named.extend(matches.pinged_by_hand().map(|one| one.monitor_id));
    let tags: HashSet<&str> = tags.iter().map(String::as_str).collect();
    let is_of_this_import = |one: &&Existing| {
        let has_those =
            one.tags.len() == tags.len() && one.tags.iter().all(|tag| tags.contains(tag.as_str()));
        !named.contains(&one.monitor_id) && (has_those || had.contains(one.tags.as_slice()))
    };
    let mut gone: Vec<Existing> = existing.iter().filter(is_of_this_import).cloned().collect();
    gone.sort_by(|a, b| a.slug.cmp(&b.slug));
    let more_gone = gone.len().saturating_sub(MOST_GONE);
    gone.truncate(MOST_GONE);
    let warnings = guesses(crontab, &jobs, tags.len() == 1);
    Plan { jobs, expected: schedules.expected, gone, more_gone, warnings }
}

/// About the zone of schedules for which nobody gave one, and about crontabs that nobody tells apart.
fn guesses(crontab: &Crontab, jobs: &[Planned], has_no_tags: bool) -> Vec<String> {
    let is_so =
        |zone: ZoneIs| {
            crontab.jobs.iter().zip(jobs).any(|(job, planned)| {
                job.zone == zone && job.schedule.is_some() && planned.is_in_a_guessed_zone
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
    if has_no_tags && !jobs.is_empty() {
        let why = "no tags were given: crontabs that have none share the monitors of jobs with the same name; ?tags=web1-root \
                   keeps them apart";
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
    /// The graces that imports give, by expression and zone.
    graces: HashMap<(String, String), [i64; 2]>,
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

    fn grace(&self, schedule: Option<usize>, announces: bool) -> i64 {
        let expected = schedule.and_then(|place| self.expected.get(place));
        grace_for(expected.map_or(&[], |expected| &expected.slots), announces)
    }

    /// Those that an import would have given a monitor for what it expects, with one ping or two.
    fn graces_of(&mut self, found: &Existing) -> [i64; 2] {
        let key = (found.cron.clone().unwrap_or_default(), found.timezone.clone().unwrap_or_default());
        let now = self.now;
        *self.graces.entry(key).or_insert_with_key(|(cron, zone)| {
            let cron = Cron::read(cron, Some(zone.as_str()).filter(|zone| !zone.is_empty())).ok();
            let slots = cron.map_or_else(Vec::new, |cron| cron.first_slots_after(now, SLOTS_FOR_A_GAP));
            [true, false].map(|announces| grace_for(&slots, announces))
        })
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

fn created(job: &Job, schedules: &Schedules<'_>, slug: String) -> Planned {
    Planned {
        outcome: Outcome::Created,
        monitor_id: Uuid::new_v4(),
        ping_id: Uuid::new_v4(),
        slug,
        name: job.name.clone(),
        schedule: job.schedule,
        shown_schedule: None,
        grace: Some(schedules.grace(job.schedule, job.form.announces)),
        is_in_a_guessed_zone: true,
        gets_tags: false,
        whys: Vec::new(),
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
        grace: None,
        is_in_a_guessed_zone: found.is_imported() && is_guess(job, found, schedules.crontab),
        gets_tags: false,
        whys: Vec::new(),
    };
    let expects_otherwise = !found.has_that_of(job, schedules.crontab);
    if !found.is_imported() {
        let but = if expects_otherwise { ", and expects other times than the line" } else { "" };
        let why = format!("the monitor '{}' was not made by an import: it is used as it is{but}", found.slug);
        return Planned {
            name: found.name.clone(),
            shown_schedule: Some(found.shown_schedule()),
            whys: vec![why],
            ..planned
        };
    }
    let gets_tags = tags.iter().any(|tag| !found.tags.contains(tag));
    let is_unchanged = !expects_otherwise && !gets_tags && found.name == job.name;
    let outcome = if is_unchanged { Outcome::Unchanged } else { Outcome::Changed { expects_otherwise } };
    let whys = shared(job, found, expects_otherwise, gets_tags, tags).into_iter().collect();
    let planned = Planned { outcome, gets_tags, whys, ..planned };
    match expects_otherwise {
        true => {
            let schedule = schedules.for_existing(job, found);
            // One that somebody chose stays.
            let grace = schedules
                .graces_of(found)
                .contains(&found.grace_duration)
                .then(|| schedules.grace(schedule, job.form.announces));
            Planned { schedule, grace, ..planned }
        }
        false => Planned { shown_schedule: Some(found.shown_schedule()), ..planned },
    }
}

/// A zone that nobody says is guessed, unless the monitor has another one already.
fn is_guess(job: &Job, found: &Existing, crontab: &Crontab) -> bool {
    let cron = job.schedule.and_then(|place| crontab.schedules.get(place));
    let guess = cron.and_then(Cron::zone).map(Tz::name);
    found.timezone.as_deref().is_none_or(|zone| guess == Some(zone))
}

/// What to know of a monitor that may be another crontab's too: whoever edits this one knows, the other one should.
fn shared(
    job: &Job,
    found: &Existing,
    expects_otherwise: bool,
    gets_tags: bool,
    tags: &[String],
) -> Option<String> {
    let more: Vec<&str> = found.tags.iter().filter(|tag| !tags.contains(tag)).map(String::as_str).collect();
    let is_pinged = job.ping_id == Some(found.ping_id);
    let mut said = Vec::new();
    if expects_otherwise && (!is_pinged || !more.is_empty()) {
        said.push(format!("expected {} until now", found.times_in_words()));
    }
    if gets_tags && !is_pinged {
        said.push("gets the tags of this import".to_owned());
    }
    if !more.is_empty() && (!is_pinged || expects_otherwise) {
        said.push(format!("has tags that this import has not ({})", more.join(", ")));
    }
    (!said.is_empty()).then(|| {
        let (slug, said) = (&found.slug, said.join(" and "));
        format!("its monitor '{slug}' {said}; if it is another crontab's, give each crontab tags of its own")
    })
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
