//! Which line is about which monitor.

use std::collections::{HashMap, HashSet};

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use database::schedules::ScheduleColumns;
use domain::crontab::{Crontab, Job, ZoneIs};
use domain::{Cron, Schedule, slug};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Expected, FEWEST_SLOTS, TAG};

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
    pub(super) why: Option<String>,
}

#[derive(Debug)]
pub(super) struct Plan {
    /// In the order of the crontab's.
    pub(super) jobs: Vec<Planned>,
    /// The crontab's schedules, and behind them those that are read in the zone of a monitor.
    pub(super) expected: Vec<Expected>,
    /// Those of an earlier import with the same tags that no line is about.
    pub(super) gone: Vec<Existing>,
    /// What was guessed about the whole.
    pub(super) warnings: Vec<String>,
}

/// A line that pings a monitor already, and not another machine's, is about that one. Any other is about the one with the slug that its name gets: the
/// first that no other line of the crontab has, and no import with other tags.
pub(super) fn plan(
    crontab: &Crontab,
    expected: Vec<Expected>,
    existing: &[Existing],
    tags: &[String],
    now: DateTime<Utc>,
) -> Plan {
    let by_ping_id: HashMap<Uuid, &Existing> = existing.iter().map(|one| (one.ping_id, one)).collect();
    let by_slug: HashMap<&str, &Existing> = existing.iter().map(|one| (one.slug.as_str(), one)).collect();
    let mut taken: HashSet<String> = HashSet::new();
    let mut found: Vec<Option<&Existing>> = Vec::with_capacity(crontab.jobs.len());
    for job in &crontab.jobs {
        let pinged = job.ping_id.and_then(|ping_id| by_ping_id.get(&ping_id)).copied();
        // A line that was copied is another job, and so is one of a crontab that was copied to another machine.
        found.push(pinged.filter(|pinged| !is_anothers(pinged, tags) && taken.insert(pinged.slug.clone())));
    }
    let mut schedules = Schedules { crontab, expected, in_zones: HashMap::new(), now };
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut jobs = Vec::with_capacity(crontab.jobs.len());
    for (job, found) in crontab.jobs.iter().zip(found) {
        let planned = match found {
            Some(found) => for_existing(job, &mut schedules, found),
            None => {
                let base = slug::of_name(&job.name);
                let number = numbers.entry(base.clone()).or_insert(1);
                let slug = loop {
                    let slug = if *number == 1 { base.clone() } else { format!("{base}-{number}") };
                    *number += 1;
                    let is_anothers = by_slug.get(slug.as_str()).is_some_and(|one| is_anothers(one, tags));
                    if !is_anothers && taken.insert(slug.clone()) {
                        break slug;
                    }
                };
                match by_slug.get(slug.as_str()) {
                    Some(found) => for_existing(job, &mut schedules, found),
                    None => created(job, slug),
                }
            }
        };
        jobs.push(planned);
    }
    let named: HashSet<Uuid> = jobs.iter().map(|job| job.monitor_id).collect();
    let tags: HashSet<&str> = tags.iter().map(String::as_str).collect();
    let is_of_this_import = |one: &&Existing| {
        !named.contains(&one.monitor_id)
            && one.tags.len() == tags.len()
            && one.tags.iter().all(|tag| tags.contains(tag.as_str()))
    };
    let mut gone: Vec<Existing> = existing.iter().filter(is_of_this_import).cloned().collect();
    gone.sort_by(|a, b| a.slug.cmp(&b.slug));
    let warnings = guesses(crontab, &jobs);
    Plan { jobs, expected: schedules.expected, gone, warnings }
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

/// Whether an import made it that had tags which this one has not, and lacked some that this one has: the crontab of
/// another machine.
fn is_anothers(one: &Existing, tags: &[String]) -> bool {
    is_imported(one)
        && one.tags.iter().any(|tag| !tags.contains(tag))
        && tags.iter().any(|tag| !one.tags.contains(tag))
}

fn is_imported(one: &Existing) -> bool {
    one.tags.iter().any(|tag| tag == TAG)
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
        why: None,
    }
}

fn for_existing(job: &Job, schedules: &mut Schedules<'_>, found: &Existing) -> Planned {
    let planned = Planned {
        outcome: Outcome::Unchanged,
        monitor_id: found.monitor_id,
        ping_id: found.ping_id,
        slug: found.slug.clone(),
        name: job.name.clone(),
        schedule: None,
        shown_schedule: None,
        why: None,
    };
    if !is_imported(found) {
        let why = format!("the monitor '{}' was not made by an import: it is used as it is", found.slug);
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
    let is_unchanged = !expects_otherwise && found.name == job.name;
    let outcome = if is_unchanged { Outcome::Unchanged } else { Outcome::Changed { expects_otherwise } };
    Planned { outcome, schedule, ..planned }
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

impl Existing {
    /// Without reading it: there may be thousands.
    fn has(&self, schedule: &Schedule) -> bool {
        let columns = ScheduleColumns::from(schedule);
        let zone = |zone: Option<&str>| zone.unwrap_or(Tz::UTC.name()).to_owned();
        self.every_seconds == columns.every_seconds
            && self.cron.as_deref() == columns.cron
            && (columns.cron.is_none() || zone(self.timezone.as_deref()) == zone(columns.timezone))
    }

    fn shown_schedule(&self) -> Value {
        match (self.every_seconds, &self.cron) {
            (Some(seconds), _) => json!({ "every": seconds }),
            (_, Some(cron)) => {
                json!({ "cron": cron, "timezone": self.timezone.as_deref().unwrap_or(Tz::UTC.name()) })
            }
            _ => Value::Null,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};
    use domain::crontab::{Asked, Form};

    const BASE: &str = "https://cronmon.example";

    fn now() -> DateTime<Utc> {
        "2026-11-27T12:00:00Z".parse().unwrap()
    }

    fn read(text: &str) -> Crontab {
        let form = Form { announces: false, sends_output: false };
        let asked = Asked { has_users: None, form, zone: None, base_url: BASE.to_owned() };
        Crontab::read(text.to_owned(), asked, now()).unwrap()
    }

    fn planned(crontab: &Crontab, existing: &[Existing], tags: &[&str]) -> Plan {
        let tags: Vec<String> = tags.iter().map(ToString::to_string).collect();
        plan(crontab, super::super::expected(crontab, now()), existing, &tags, now())
    }

    /// As a monitor that was made by hand, with these tags.
    fn existing(slug: &str, cron: &str, tags: &[&str]) -> Existing {
        Existing {
            monitor_id: Uuid::new_v4(),
            ping_id: Uuid::new_v4(),
            slug: slug.to_owned(),
            name: slug.to_owned(),
            tags: tags.iter().map(ToString::to_string).collect(),
            every_seconds: None,
            cron: Some(cron.to_owned()),
            timezone: None,
        }
    }

    fn shown(plan: &Plan) -> Vec<(&str, &str)> {
        plan.jobs.iter().map(|job| (job.slug.as_str(), job.outcome.name())).collect()
    }

    #[test]
    fn a_name_that_comes_again_is_numbered() {
        let crontab = read("# a\n0 1 * * * x\n# a 2\n0 2 * * * x\n# a\n0 3 * * * x\n# a\n0 4 * * * x\n");
        let plan = planned(&crontab, &[], &[TAG]);
        let all = [("a", "created"), ("a-2", "created"), ("a-3", "created"), ("a-4", "created")];
        assert_eq!(shown(&plan), all);
    }

    #[test]
    fn what_was_imported_follows_its_line_and_what_was_made_by_hand_does_not() {
        let crontab = read("# a\n0 1 * * * x\n# b\n0 1 * * * x\n# c\n0 1 * * * x\n# d\n@reboot x\n");
        let all = [
            existing("a", "0 1 * * *", &[TAG]),
            existing("b", "0 2 * * *", &[TAG]),
            existing("c", "0 2 * * *", &[]),
            existing("d", "0 2 * * *", &[TAG]),
            existing("e", "0 2 * * *", &[TAG]),
            existing("f", "0 2 * * *", &[TAG, "web1"]),
            existing("g", "0 2 * * *", &[]),
        ];
        let plan = planned(&crontab, &all, &[TAG]);
        assert_eq!(
            shown(&plan),
            [("a", "unchanged"), ("b", "changed"), ("c", "unchanged"), ("d", "changed")]
        );
        assert_eq!(
            plan.jobs.iter().map(|job| job.ping_id).collect::<Vec<_>>(),
            all.each_ref().map(|one| one.ping_id)[..4]
        );
        assert!(plan.jobs[2].why.as_ref().unwrap().contains("'c' was not made by an import"));
        assert_eq!(plan.gone.iter().map(|one| one.slug.as_str()).collect::<Vec<_>>(), ["e"]);
    }

    #[test]
    fn a_line_that_pings_a_monitor_is_about_that_one_whatever_it_is_called() {
        let one = existing("a", "0 1 * * *", &[TAG]);
        let once = read("# a\n0 1 * * * x\n");
        let rewritten = once.written(&[one.ping_id], &[], &[]).replace("# a", "# other");
        let line = rewritten.lines().last().unwrap();
        let crontab = read(&format!("# a\n0 1 * * * y\n{rewritten}{line}\n"));
        let plan = planned(&crontab, std::slice::from_ref(&one), &[TAG]);
        assert_eq!(shown(&plan), [("a-2", "created"), ("a", "changed"), ("x", "created")]);
        assert_eq!(plan.jobs[1].name, "other");
        assert_eq!(plan.jobs[1].outcome, Outcome::Changed { expects_otherwise: false });
    }

    #[test]
    fn another_machine_s_monitors_are_left_to_it() {
        let crontab = read("# a\n0 1 * * * x\n");
        let all = [existing("a", "0 1 * * *", &[TAG, "web1"]), existing("a-2", "0 1 * * *", &["web2", TAG])];
        for (tags, slug) in [
            (&[TAG, "web1"] as &[&str], "a"),
            (&[TAG, "web2"], "a-2"),
            (&[TAG, "web3"], "a-3"),
            (&[TAG], "a"),
            (&[TAG, "web1", "web2"], "a"),
        ] {
            assert_eq!(planned(&crontab, &all, tags).jobs[0].slug, slug, "{tags:?}");
        }
    }

    #[test]
    fn a_zone_that_is_utc_need_not_be_given() {
        let mut one = existing("a", "0 1 * * *", &[TAG]);
        let crontab = read("CRON_TZ=UTC\n# a\n0 1 * * * x\n");
        assert_eq!(shown(&planned(&crontab, std::slice::from_ref(&one), &[TAG])), [("a", "unchanged")]);
        one.timezone = Some("Europe/Riga".into());
        assert_eq!(shown(&planned(&crontab, &[one], &[TAG])), [("a", "changed")]);
    }

    #[test]
    fn a_zone_that_nobody_says_stays_what_it_was() {
        let mut one = existing("a", "0 1 * * *", &[TAG]);
        for (was, text, outcome, zone, warnings) in [
            (None, "", "unchanged", None, vec!["in UTC"]),
            (None, "TZ=Asia/Tokyo\n", "changed", Some("Asia/Tokyo"), vec!["below TZ"]),
            (None, "CRON_TZ=Asia/Tokyo\n", "changed", Some("Asia/Tokyo"), vec![]),
            (Some("Europe/Riga"), "", "unchanged", Some("Europe/Riga"), vec![]),
            (Some("Europe/Riga"), "TZ=Asia/Tokyo\n", "unchanged", Some("Europe/Riga"), vec![]),
            (Some("Asia/Tokyo"), "TZ=Asia/Tokyo\n", "unchanged", Some("Asia/Tokyo"), vec!["below TZ"]),
            (Some("Europe/Riga"), "CRON_TZ=Asia/Tokyo\n", "changed", Some("Asia/Tokyo"), vec![]),
        ] {
            one.timezone = was.map(str::to_owned);
            for (times, outcome) in [("0 1 * * *", outcome), ("0 2 * * *", "changed")] {
                let crontab = read(&format!("{text}# a\n{times} x\n"));
                let plan = planned(&crontab, std::slice::from_ref(&one), &[TAG]);
                assert_eq!(shown(&plan), [("a", outcome)], "{was:?} {text:?} {times}");
                let Schedule::Cron(cron) = &plan.expected[plan.jobs[0].schedule.unwrap()].schedule else {
                    panic!("no cron expression")
                };
                assert_eq!((cron.expression(), cron.zone().map(Tz::name)), (times, zone), "{was:?} {text:?}");
                assert_eq!(plan.warnings.len(), warnings.len(), "{was:?} {text:?}: {:?}", plan.warnings);
                assert!(plan.warnings.iter().zip(&warnings).all(|(warning, part)| warning.contains(part)));
            }
        }
    }

    #[test]
    fn a_crontab_that_was_copied_to_another_machine_has_monitors_of_its_own() {
        let one = existing("a", "0 1 * * *", &[TAG, "web1"]);
        let rewritten = read("# a\n0 1 * * * x\n").written(&[one.ping_id], &[], &[]);
        let crontab = read(&rewritten);
        for (tags, all) in [
            (&[TAG, "web1"] as &[&str], ("a", "unchanged")),
            (&[TAG, "web2"], ("a-2", "created")),
            (&[TAG], ("a", "unchanged")),
            (&[TAG, "web1", "web2"], ("a", "unchanged")),
        ] {
            assert_eq!(shown(&planned(&crontab, std::slice::from_ref(&one), tags)), [all], "{tags:?}");
        }
    }
}
