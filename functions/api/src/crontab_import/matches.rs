//! Which line is about which of the monitors that there are.

use std::collections::{HashMap, HashSet};

use chrono_tz::Tz;
use database::schedules::ScheduleColumns;
use domain::crontab::{Crontab, Job};
use domain::{Schedule, slug};
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

    /// Without reading it: there may be thousands.
    pub(super) fn has(&self, schedule: &Schedule) -> bool {
        let columns = ScheduleColumns::from(schedule);
        let zone = |zone: Option<&str>| zone.unwrap_or(Tz::UTC.name()).to_owned();
        self.every_seconds == columns.every_seconds
            && self.cron.as_deref() == columns.cron
            && (columns.cron.is_none() || zone(self.timezone.as_deref()) == zone(columns.timezone))
    }

    pub(super) fn times_in_words(&self) -> String {
        match (self.every_seconds, &self.cron) {
            (Some(seconds), _) => format!("a run every {seconds} s"),
            (_, Some(cron)) => format!("'{cron}' in {}", self.timezone.as_deref().unwrap_or(Tz::UTC.name())),
            _ => "nothing".to_owned(),
        }
    }

    pub(super) fn shown_schedule(&self) -> Value {
        match (self.every_seconds, &self.cron) {
            (Some(seconds), _) => json!({ "every": seconds }),
            (_, Some(cron)) => {
                json!({ "cron": cron, "timezone": self.timezone.as_deref().unwrap_or(Tz::UTC.name()) })
            }
            _ => Value::Null,
        }
    }
}

/// Which line is about which monitor, the surest first: what it pings, then its name, then the slug that its name gets.
/// Each monitor is found once, and none that is another crontab's.
pub(super) struct Matches<'a> {
    crontab: &'a Crontab,
    tags: &'a [String],
    pub(super) by_ping_id: HashMap<Uuid, &'a Existing>,
    by_slug: HashMap<&'a str, &'a Existing>,
    /// Those of earlier imports, the nicest slug last.
    by_name: HashMap<&'a str, Vec<&'a Existing>>,
    pub(super) found: Vec<Option<&'a Existing>>,
    /// Slugs.
    taken: HashSet<String>,
}

impl<'a> Matches<'a> {
    pub(super) fn new(crontab: &'a Crontab, existing: &'a [Existing], tags: &'a [String]) -> Self {
        let mut by_name: HashMap<&str, Vec<&Existing>> = HashMap::new();
        for one in existing.iter().filter(|one| one.is_imported() && !one.is_anothers(tags)) {
            by_name.entry(&one.name).or_default().push(one);
        }
        for same in by_name.values_mut() {
            same.sort_by_key(|one| std::cmp::Reverse((one.slug.len(), one.slug.as_str())));
        }
        Self {
            crontab,
            tags,
            by_ping_id: existing.iter().map(|one| (one.ping_id, one)).collect(),
            by_slug: existing.iter().map(|one| (one.slug.as_str(), one)).collect(),
            by_name,
            found: vec![None; crontab.jobs.len()],
            taken: HashSet::new(),
        }
    }

    /// What a job pings, unless it is another crontab's: the file was copied to another machine then.
    fn pinged(&self, job: &Job) -> Option<&'a Existing> {
        let pinged = job.ping_id.and_then(|ping_id| self.by_ping_id.get(&ping_id)).copied();
        pinged.filter(|pinged| !pinged.is_anothers(self.tags))
    }

    /// Of lines that were copied the one that is still called so is it.
    pub(super) fn by_ping_id(&mut self) {
        for only_by_name in [true, false] {
            for (place, job) in self.crontab.jobs.iter().enumerate() {
                let pinged = self.pinged(job).filter(|pinged| !only_by_name || pinged.name == job.name);
                self.take(place, pinged);
            }
        }
    }

    pub(super) fn by_name(&mut self) {
        for (place, job) in self.crontab.jobs.iter().enumerate() {
            while self.found.get(place).is_some_and(Option::is_none)
                && let Some(one) = self.by_name.get_mut(job.name.as_str()).and_then(Vec::pop)
            {
                self.take(place, Some(one));
            }
        }
    }

    fn take(&mut self, place: usize, one: Option<&'a Existing>) {
        if let Some(found) = self.found.get_mut(place).filter(|found| found.is_none()) {
            *found = one.filter(|one| self.taken.insert(one.slug.clone()));
        }
    }

    /// The one with the first slug that no other line has; or that slug, if there is none.
    pub(super) fn by_slug(
        &mut self,
        job: &Job,
        numbers: &mut HashMap<String, usize>,
    ) -> Result<&'a Existing, String> {
        let mut base = slug::of_name(&job.name);
        if base == slug::of_name("") {
            // Nothing of its name is left.
            base = slug::of_name(&job.name_of_command());
        }
        let number = numbers.entry(base.clone()).or_insert(1);
        loop {
            let slug = if *number == 1 { base.clone() } else { format!("{base}-{number}") };
            *number += 1;
            let one = self.by_slug.get(slug.as_str()).copied();
            if one.is_some_and(|one| one.is_anothers(self.tags)) || !self.taken.insert(slug.clone()) {
                continue;
            }
            return one.ok_or(slug);
        }
    }

    /// About a line that pinged a monitor and is about another one now.
    pub(super) fn passed_over(&self, job: &Job, pings: Uuid) -> Option<String> {
        let pinged = job.ping_id.and_then(|ping_id| self.by_ping_id.get(&ping_id))?;
        if pinged.ping_id == pings {
            return None;
        }
        let slug = &pinged.slug;
        Some(match pinged.is_anothers(self.tags) {
            true => format!(
                "it pinged the monitor '{slug}', which has other tags than this import: it has one of its own now"
            ),
            false => {
                format!("it pinged the monitor '{slug}', as another line does: it has one of its own now")
            }
        })
    }
}
