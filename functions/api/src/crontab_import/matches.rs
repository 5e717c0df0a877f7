//! Which line is about which of the monitors that there are.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use chrono_tz::Tz;
use domain::crontab::{Crontab, Job, ZoneIs};
use domain::slug;
use serde_json::{Value, json};
use uuid::Uuid;

use super::TAG;

/// A monitor that the tenant has already.
#[derive(Debug, Clone)]
pub(super) struct Existing {
    pub(super) monitor_id: Uuid,
    pub(super) ping_id: Uuid,
    pub(super) slug: String,
    pub(super) name: String,
    pub(super) tags: Vec<String>,
    pub(super) every_seconds: Option<i32>,
    pub(super) cron: Option<String>,
    pub(super) timezone: Option<String>,
    /// In seconds.
    pub(super) grace_duration: i64,
}

impl Existing {
    pub(super) fn is_imported(&self) -> bool {
        self.tags.iter().any(|tag| tag == TAG)
    }

    /// Whether an import made it that had tags which this one has not, and lacked some that this one has: that of another
    /// crontab.
    fn is_anothers(&self, tags: &[String]) -> bool {
        self.is_imported()
            && self.tags.iter().any(|tag| !tags.contains(tag))
            && tags.iter().any(|tag| !self.tags.contains(tag))
    }

    /// What it expects is the line's, as far as the line says it: a zone that nobody says stays.
    pub(super) fn has_that_of(&self, job: &Job, crontab: &Crontab) -> bool {
        let (expression, zone) = times_of(job, crontab);
        let stays = job.zone != ZoneIs::Said && self.timezone.is_some();
        self.expression() == expression && (stays || self.zone() == zone)
    }

    /// Empty where nothing is expected.
    fn expression(&self) -> &str {
        match self.every_seconds {
            // Which no line of a crontab is.
            Some(_) => "every",
            None => self.cron.as_deref().unwrap_or_default(),
        }
    }

    fn zone(&self) -> &str {
        self.timezone.as_deref().unwrap_or(Tz::UTC.name())
    }

    pub(super) fn times_in_words(&self) -> String {
        match (self.every_seconds, &self.cron) {
            (Some(seconds), _) => format!("a run every {seconds} s"),
            (_, Some(cron)) => format!("'{cron}' in {}", self.zone()),
            _ => "nothing".to_owned(),
        }
    }

    pub(super) fn shown_schedule(&self) -> Value {
        match (self.every_seconds, &self.cron) {
            (Some(seconds), _) => json!({ "every": seconds }),
            (_, Some(cron)) => {
                json!({ "cron": cron, "timezone": self.zone() })
            }
            _ => Value::Null,
        }
    }
}

/// The expression of a line, and its zone, which may be guessed.
fn times_of<'a>(job: &Job, crontab: &'a Crontab) -> (&'a str, &'static str) {
    let cron = job.schedule.and_then(|place| crontab.schedules.get(place));
    cron.map_or(("", Tz::UTC.name()), |cron| (cron.expression(), cron.zone().unwrap_or(Tz::UTC).name()))
}

/// Which line is about which monitor, the surest first: the one that it pings; the one with the slug that the line would
/// get if there were no monitors, if its name and schedule are the line's; one with its name and schedule; one with its
/// name. Each monitor is found once, and none that is another crontab's. The same crontab is always about the same ones.
pub(super) struct Matches<'a> {
    crontab: &'a Crontab,
    tags: &'a [String],
    by_ping_id: HashMap<Uuid, &'a Existing>,
    by_slug: HashMap<&'a str, &'a Existing>,
    pub(super) found: Vec<Option<&'a Existing>>,
    /// Slugs of what was found.
    taken: HashSet<&'a str>,
    /// The slug that each line would get if there were no monitors but those of others.
    slugs: Vec<String>,
    /// All of these, and those that were given to new monitors.
    reserved: HashSet<String>,
    /// How far the numbers behind a slug have come.
    numbers: HashMap<String, usize>,
}

impl<'a> Matches<'a> {
    pub(super) fn new(crontab: &'a Crontab, existing: &'a [Existing], tags: &'a [String]) -> Self {
        let mut matches = Self {
            crontab,
            tags,
            by_ping_id: existing.iter().map(|one| (one.ping_id, one)).collect(),
            by_slug: existing.iter().map(|one| (one.slug.as_str(), one)).collect(),
            found: vec![None; crontab.jobs.len()],
            taken: HashSet::new(),
            slugs: Vec::new(),
            reserved: HashSet::new(),
            numbers: HashMap::new(),
        };
        matches.find_by_ping_id();
        let names: HashSet<&str> = crontab.jobs.iter().map(|job| job.name.as_str()).collect();
        matches.reserve_slugs(&names);
        matches.find_by_slug(|one, job| {
            // One that was made by hand; one that was renamed by hand since; the line's own.
            !one.is_imported()
                || !names.contains(one.name.as_str())
                || one.name == job.name && one.has_that_of(job, crontab)
        });
        let mut mine: Vec<&Existing> =
            existing.iter().filter(|one| one.is_imported() && !one.is_anothers(tags)).collect();
        // The nicest slug last: lists are taken from their end.
        mine.sort_by_key(|one| std::cmp::Reverse((one.slug.len(), one.slug.as_str())));
        matches.find_by(
            &mine,
            |one| (one.name.as_str(), one.expression(), one.zone()),
            |job| {
                let (expression, zone) = times_of(job, crontab);
                (job.name.as_str(), expression, zone)
            },
        );
        matches.find_by(
            &mine,
            |one| (one.name.as_str(), one.expression()),
            |job| (job.name.as_str(), times_of(job, crontab).0),
        );
        matches.find_by_slug(|one, job| one.name == job.name);
        matches.find_by(&mine, |one| one.name.as_str(), |job| job.name.as_str());
        matches
    }

    /// Of lines that were copied the one that is still called so, and expects it, is it.
    fn find_by_ping_id(&mut self) {
        for (by_name, by_schedule) in [(true, true), (true, false), (false, true), (false, false)] {
            for (place, job) in self.crontab.jobs.iter().enumerate() {
                let pinged = job.ping_id.and_then(|ping_id| self.by_ping_id.get(&ping_id)).copied();
                let is_it = |pinged: &&Existing| {
                    // A file may have been copied to another machine.
                    !pinged.is_anothers(self.tags)
                        && (!by_name || pinged.name == job.name)
                        && (!by_schedule || pinged.has_that_of(job, self.crontab))
                };
                self.take(place, pinged.filter(is_it));
            }
        }
        let by_hand: Vec<&str> = self.pinged_by_hand().map(|one| one.slug.as_str()).collect();
        self.taken.extend(by_hand);
    }

    /// What lines ping in a way of their own.
    pub(super) fn pinged_by_hand(&self) -> impl Iterator<Item = &'a Existing> + '_ {
        let crontab = self.crontab;
        let left = crontab.left.iter().flat_map(|left| &left.ping_ids);
        let jobs = crontab.jobs.iter().flat_map(|job| &job.pings_by_hand);
        left.chain(jobs).filter_map(|ping_id| self.by_ping_id.get(ping_id)).copied()
    }

    pub(super) fn pings_by_hand(&self, job: &Job) -> bool {
        job.pings_by_hand.iter().any(|ping_id| self.by_ping_id.contains_key(ping_id))
    }

    fn reserve_slugs(&mut self, names: &HashSet<&str>) {
        for job in &self.crontab.jobs {
            let base = base_of(job);
            let slug = loop {
                let slug = self.next_numbered(&base);
                // One that another line has by its name is not this one's.
                let is_for_it = self.by_slug.get(slug.as_str()).is_none_or(|one| {
                    !one.is_anothers(self.tags)
                        && (!one.is_imported() || one.name == job.name || !names.contains(one.name.as_str()))
                });
                if is_for_it && self.reserved.insert(slug.clone()) {
                    break slug;
                }
            };
            self.slugs.push(slug);
        }
    }

    /// `backup`, and the next time `backup-2`.
    fn next_numbered(&mut self, base: &str) -> String {
        let number = self.numbers.entry(base.to_owned()).or_insert(0);
        *number += 1;
        if *number == 1 { base.to_owned() } else { format!("{base}-{number}") }
    }

    fn find_by_slug(&mut self, is_it: impl Fn(&Existing, &Job) -> bool) {
        for (place, job) in self.crontab.jobs.iter().enumerate() {
            let one = self.slugs.get(place).and_then(|slug| self.by_slug.get(slug.as_str())).copied();
            self.take(place, one.filter(|one| is_it(one, job)));
        }
    }

    /// Those that have the same as a line, in the order of their slugs.
    fn find_by<K: Eq + Hash>(
        &mut self,
        mine: &[&'a Existing],
        of_one: impl Fn(&'a Existing) -> K,
        of_job: impl Fn(&'a Job) -> K,
    ) {
        let mut lists: HashMap<K, Vec<&Existing>> = HashMap::new();
        for one in mine {
            lists.entry(of_one(one)).or_default().push(one);
        }
        for (place, job) in self.crontab.jobs.iter().enumerate() {
            let Some(list) = lists.get_mut(&of_job(job)) else { continue };
            while self.found.get(place).is_some_and(Option::is_none)
                && let Some(one) = list.pop()
            {
                self.take(place, Some(one));
            }
        }
    }

    fn take(&mut self, place: usize, one: Option<&'a Existing>) {
        if let Some(found) = self.found.get_mut(place).filter(|found| found.is_none()) {
            *found = one.filter(|one| self.taken.insert(&one.slug));
        }
    }

    /// That of a new monitor: the line's own, unless there is one that has it.
    pub(super) fn new_slug(&mut self, place: usize, job: &Job) -> String {
        if let Some(slug) = self.slugs.get(place).filter(|slug| !self.by_slug.contains_key(slug.as_str())) {
            return slug.clone();
        }
        let base = base_of(job);
        loop {
            let slug = self.next_numbered(&base);
            if !self.by_slug.contains_key(slug.as_str()) && self.reserved.insert(slug.clone()) {
                return slug;
            }
        }
    }

    /// About a line that pinged a monitor and is about another one now, which has this slug.
    pub(super) fn passed_over(&self, job: &Job, slug: &str) -> Option<String> {
        let pinged = job.ping_id.and_then(|ping_id| self.by_ping_id.get(&ping_id))?;
        let was = &pinged.slug;
        if was == slug {
            return None;
        }
        let why = if pinged.is_anothers(self.tags) {
            "which has other tags than this import and is kept"
        } else {
            "as another line does"
        };
        Some(format!("it pinged the monitor '{was}', {why}: it is about '{slug}' now"))
    }

    /// About a new monitor: who has its name already.
    pub(super) fn namesake(&self, job: &Job) -> Option<String> {
        let base = base_of(job);
        let one = self
            .by_slug
            .get(base.as_str())
            .filter(|one| one.is_anothers(self.tags) && one.name == job.name)?;
        let tags = one.tags.join(", ");
        Some(format!("the monitor '{base}' of another crontab, or of other tags ({tags}), has its name"))
    }
}

/// The slug of a job's name, or if nothing is left of that, of its command.
fn base_of(job: &Job) -> String {
    let base = slug::of_name(&job.name);
    if base == slug::of_name("") { slug::of_name(&job.name_of_command()) } else { base }
}
