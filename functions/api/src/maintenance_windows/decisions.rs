//! What an owner decides about a maintenance window, as a body says it: when it is, and whom it covers.

use chrono::{DateTime, Duration, Utc};
use chrono_tz::Tz;
use database::schedules::cron_of;
use domain::window::Starts;
use domain::{Cron, MAX_DURATION, ScheduleError, tags};
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::answers::ApiResult;
use crate::auth::Tenant;
use crate::requests::{Fields, Given, checked_name, no_nul, wrong};

pub(super) const KNOWN_FIELDS: [&str; 8] =
    ["name", "starts_at", "ends_at", "duration", "cron", "timezone", "monitor_ids", "tags"];

const MOST_MONITORS: usize = 100;

const HOW: &str = "give it and ends_at or duration for a window that comes once, or cron and duration for one that \
                   comes again and again";

#[derive(Debug, Clone, PartialEq)]
pub(super) enum When {
    Once { starts_at: DateTime<Utc>, duration: i64 },
    Again { cron: Cron, duration: i64 },
}

#[derive(Clone)]
pub(super) struct Window {
    pub(super) name: String,
    /// `None`: what was saved can't be read any more.
    pub(super) when: Option<When>,
    pub(super) monitor_ids: Vec<Uuid>,
    pub(super) tags: Vec<String>,
}

/// What a body says, each field by itself.
pub(super) struct Said {
    name: Given<String>,
    starts_at: Given<DateTime<Utc>>,
    ends_at: Given<DateTime<Utc>>,
    duration: Given<i64>,
    cron: Given<String>,
    timezone: Given<String>,
    pub(super) monitor_ids: Given<Vec<Uuid>>,
    pub(super) tags: Given<Vec<String>>,
    /// Of fields that nobody knows.
    pub(super) warnings: Vec<String>,
}

impl When {
    pub(super) fn duration(&self) -> i64 {
        match self {
            Self::Once { duration, .. } | Self::Again { duration, .. } => *duration,
        }
    }

    pub(super) fn cron(&self) -> Option<&Cron> {
        match self {
            Self::Once { .. } => None,
            Self::Again { cron, .. } => Some(cron),
        }
    }

    pub(super) fn zone(&self) -> Option<&'static str> {
        self.cron().and_then(Cron::zone).map(Tz::name)
    }

    pub(super) fn starts(&self, now: DateTime<Utc>) -> Starts {
        match self {
            Self::Once { starts_at, .. } => Starts::once(*starts_at),
            Self::Again { cron, duration } => Starts::new(cron, Duration::seconds(*duration), now),
        }
    }
}

impl Window {
    /// Reads `name`, `cron`, `timezone`, `duration`, `starts`, `monitor_ids` and `tags`.
    pub(super) fn of(row: &Row) -> ApiResult<Self> {
        let duration = i64::from(row.try_get::<_, i32>("duration")?);
        let when = match row.try_get::<_, Option<&str>>("cron")? {
            // One that can't be read any more can still be replaced.
            Some(cron) => {
                cron_of(cron, row.try_get("timezone")?).ok().map(|cron| When::Again { cron, duration })
            }
            None => {
                let starts: Vec<DateTime<Utc>> = row.try_get("starts")?;
                starts.first().map(|starts_at| When::Once { starts_at: *starts_at, duration })
            }
        };
        Ok(Self {
            name: row.try_get("name")?,
            when,
            monitor_ids: row.try_get("monitor_ids")?,
            tags: row.try_get("tags")?,
        })
    }
}

impl Said {
    pub(super) fn read(mut fields: Fields) -> ApiResult<Self> {
        let said = Self {
            name: fields.optional("name")?.try_map(checked_name)?,
            starts_at: fields.instant("starts_at")?,
            ends_at: fields.instant("ends_at")?,
            duration: fields.optional("duration")?.try_map(|seconds| match seconds {
                1..=MAX_DURATION => Ok(seconds),
                _ => {
                    Err(wrong("duration", &format!("it must be from 1 to {MAX_DURATION} seconds (366 days)")))
                }
            })?,
            cron: text(&mut fields, "cron")?,
            timezone: text(&mut fields, "timezone")?,
            monitor_ids: fields.optional::<Vec<Uuid>>("monitor_ids")?.try_map(|given| {
                let mut ids: Vec<Uuid> = Vec::new();
                for id in given {
                    if !ids.contains(&id) {
                        ids.push(id);
                    }
                    if ids.len() > MOST_MONITORS {
                        let why = format!("they are more than {MOST_MONITORS}; a tag covers any number");
                        return Err(wrong("monitor_ids", &why));
                    }
                }
                Ok(ids)
            })?,
            tags: fields
                .optional::<Vec<String>>("tags")?
                .try_map(|given| tags::check(given).map_err(|why| wrong("tags", &why)))?,
            warnings: Vec::new(),
        };
        let mut warnings = Vec::new();
        fields.warn_of_rest(&KNOWN_FIELDS, &mut warnings);
        Ok(Self { warnings, ..said })
    }

    /// Whether it says anything.
    pub(super) fn says_something(&self) -> bool {
        self.says_when() || self.says_whom() || self.name != Given::Absent
    }

    pub(super) fn says_when(&self) -> bool {
        let instants = [&self.starts_at, &self.ends_at].iter().any(|given| **given != Given::Absent);
        let texts = [&self.cron, &self.timezone].iter().any(|given| **given != Given::Absent);
        instants || texts || self.duration != Given::Absent
    }

    fn says_whom(&self) -> bool {
        self.monitor_ids != Given::Absent || self.tags != Given::Absent
    }

    /// The window that comes of it: what is absent keeps its value.
    pub(super) fn over(self, old: Option<Window>, now: DateTime<Utc>) -> ApiResult<Window> {
        let must_say_whom = old.is_none() || self.says_whom();
        let old_when = old.as_ref().and_then(|old| old.when.as_ref());
        let when = if old.is_none() || self.says_when() {
            Some(self.when(old_when, now)?)
        } else {
            old_when.cloned()
        };
        let (name, monitor_ids, tags) =
            old.map_or_else(Default::default, |old| (old.name, old.monitor_ids, old.tags));
        let window = Window {
            name: self.name.or_keep(Some(name)).unwrap_or_default(),
            when,
            monitor_ids: self.monitor_ids.or_keep(Some(monitor_ids)).unwrap_or_default(),
            tags: self.tags.or_keep(Some(tags)).unwrap_or_default(),
        };
        if must_say_whom && window.monitor_ids.is_empty() && window.tags.is_empty() {
            let why = "give them, or tags, or both: a window covers the monitors with these ids and those that have \
                       one of these tags";
            return Err(wrong("monitor_ids", &why));
        }
        Ok(window)
    }

    fn when(&self, old: Option<&When>, now: DateTime<Utc>) -> ApiResult<When> {
        let when = match (&self.cron, &self.starts_at, old) {
            (Given::Value(_), Given::Value(_), _) => {
                return Err(wrong("cron", &"give it or starts_at, not both"));
            }
            (Given::Value(expression), _, old) => self.again(expression, old, now)?,
            (Given::Absent, Given::Absent | Given::Null, Some(When::Again { cron, .. })) => {
                self.again(cron.expression(), old, now)?
            }
            (_, Given::Value(starts_at), old) => self.once(*starts_at, old)?,
            (_, Given::Absent, Some(When::Once { starts_at, .. })) => self.once(*starts_at, old)?,
            _ => return Err(wrong("starts_at", &HOW)),
        };
        if let When::Once { starts_at, duration } = when
            && old != Some(&when)
        {
            if starts_at + Duration::seconds(duration) <= now {
                return Err(wrong("ends_at", &"the window would be over already"));
            }
            if starts_at > now + Duration::seconds(MAX_DURATION) {
                return Err(wrong("starts_at", &"it is more than 366 days ahead"));
            }
        }
        Ok(when)
    }

    fn again(&self, expression: &str, old: Option<&When>, now: DateTime<Utc>) -> ApiResult<When> {
        if matches!(self.ends_at, Given::Value(_)) {
            return Err(wrong("ends_at", &"a window that comes again and again has a duration instead"));
        }
        let duration = match self.duration {
            Given::Value(seconds) => seconds,
            _ => old
                .map(When::duration)
                .ok_or_else(|| wrong("duration", &"give it: cron says only when it begins"))?,
        };
        let zone = match &self.timezone {
            Given::Value(zone) => Some(zone.as_str()),
            Given::Null => None,
            Given::Absent => old.and_then(When::zone),
        };
        match Cron::parse(expression, zone, now) {
            Ok(cron) => Ok(When::Again { cron, duration }),
            Err(e @ ScheduleError::Zone(_)) => Err(wrong("timezone", &e)),
            Err(e) => Err(wrong("cron", &e)),
        }
    }

    fn once(&self, starts_at: DateTime<Utc>, old: Option<&When>) -> ApiResult<When> {
        if matches!(self.timezone, Given::Value(_)) {
            return Err(wrong(
                "timezone",
                &"it is of use only with cron; other instants have their own offset",
            ));
        }
        let given = match (&self.ends_at, &self.duration) {
            (Given::Value(ends_at), duration) => {
                let length = *ends_at - starts_at;
                let seconds = length.num_seconds();
                if length != Duration::seconds(seconds) || !(1..=MAX_DURATION).contains(&seconds) {
                    let why =
                        format!("it must lie 1 to {MAX_DURATION} whole seconds (366 days) after starts_at");
                    return Err(wrong("ends_at", &why));
                }
                if matches!(duration, Given::Value(other) if *other != seconds) {
                    return Err(wrong("ends_at", &"duration says another end; give one of them"));
                }
                Some(seconds)
            }
            (_, Given::Value(seconds)) => Some(*seconds),
            _ => old.map(When::duration),
        };
        let duration = given.ok_or_else(|| wrong("duration", &"give it or ends_at"))?;
        Ok(When::Once { starts_at, duration })
    }
}

fn text(fields: &mut Fields, name: &str) -> ApiResult<Given<String>> {
    fields.optional::<String>(name)?.try_map(|text| {
        no_nul(name, &text)?;
        Ok(text)
    })
}

/// Those of these monitors that the tenant has, kept from being deleted until the window names them.
pub(super) async fn existing(
    client: &impl GenericClient,
    tenant: &Tenant,
    monitor_ids: &[Uuid],
) -> ApiResult<Vec<Uuid>> {
    let rows = client
        .query_typed(
            "select monitor_id from monitor where tenant = $1 and monitor_id = any ($2)
             order by monitor_id for key share",
            &[(&tenant.0, Type::TEXT), (&monitor_ids, Type::UUID_ARRAY)],
        )
        .await?;
    let found: Vec<Uuid> = rows.iter().map(|row| row.try_get("monitor_id")).collect::<Result<_, _>>()?;
    Ok(monitor_ids.iter().copied().filter(|id| found.contains(id)).collect())
}

/// Refuses monitors that the tenant does not have.
pub(super) fn none_is_missing(given: &[Uuid], existing: &[Uuid]) -> ApiResult<()> {
    let missing: Vec<String> =
        given.iter().filter(|id| !existing.contains(id)).map(|id| format!("'{id}'")).collect();
    match missing.as_slice() {
        [] => Ok(()),
        [one] => Err(wrong("monitor_ids", &format!("there is no monitor with id {one}"))),
        many => Err(wrong("monitor_ids", &format!("there are no monitors with ids {}", many.join(", ")))),
    }
}
