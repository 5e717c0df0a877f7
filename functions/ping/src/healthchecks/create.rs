//! `create=1`: a monitor that comes into being with its first ping, and what else the query says of it.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use domain::{Cron, MAX_DURATION, Schedule, tags};
use serde_json::{Map, Value, json};

use super::reply::Reply;

/// As Healthchecks has them, in seconds.
const DEFAULT_PERIOD: i64 = 86_400;
const DEFAULT_GRACE: i64 = 3_600;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct NewMonitor {
    schedule: Schedule,
    grace_duration: i64,
    tags: Vec<String>,
}

impl NewMonitor {
    /// `None` without `create=1`. A field that can't be used is refused, whether or not the monitor exists
    /// already: else a mistake would show only once it does not.
    pub(super) fn read(query: &str, now: DateTime<Utc>) -> Result<Option<Self>, Reply> {
        if !query.split('&').any(|pair| pair == "create=1") {
            return Ok(None);
        }
        let (mut period, mut grace, mut cron, mut zone, mut tags) = (None, None, None, None, Vec::new());
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "period" => period = Some(seconds("period", &value, 1)?),
                "grace" => grace = Some(seconds("grace", &value, 0)?),
                "cron" => cron = Some(value),
                "tz" => zone = Some(value),
                "tags" => {
                    tags = tags::parse(&value).map_err(|why| Reply::BadField(format!("tags: {why}")))?;
                }
                _ => {}
            }
        }
        let schedule = match (period, cron, zone) {
            (Some(_), Some(_), _) => return Err(bad("give period or cron, not both")),
            (_, None, Some(_)) => return Err(bad("tz is of use only with cron")),
            (period, None, None) => Schedule::Every(period.unwrap_or(DEFAULT_PERIOD)),
            (None, Some(cron), zone) => {
                if cron.contains('\0') {
                    return Err(bad("cron: it contains a NUL character"));
                }
                let cron = Cron::parse(&cron, zone.as_deref(), now)
                    .map_err(|why| Reply::BadField(format!("cron: {why}")))?;
                Schedule::Cron(cron)
            }
        };
        Ok(Some(Self { schedule, grace_duration: grace.unwrap_or(DEFAULT_GRACE), tags }))
    }

    /// As `create_by_ping` in `migrations/V0005__ping_path_rules.sql` reads it.
    pub(super) fn as_json(&self, now: DateTime<Utc>) -> String {
        let mut fields = Map::new();
        fields.insert("grace_duration".into(), json!(self.grace_duration));
        fields.insert("tags".into(), json!(self.tags));
        match &self.schedule {
            Schedule::Every(seconds) => drop(fields.insert("every".into(), json!(seconds))),
            Schedule::Cron(cron) => {
                fields.insert("cron".into(), json!(cron.expression()));
                fields.insert("timezone".into(), json!(cron.zone().map(Tz::name)));
                fields.insert("slots".into(), json!(cron.slots_after(now)));
            }
            Schedule::None => {}
        }
        Value::Object(fields).to_string()
    }
}

fn seconds(name: &str, value: &str, least: i64) -> Result<i64, Reply> {
    match value.parse::<i64>() {
        Ok(seconds) if (least..=MAX_DURATION).contains(&seconds) => Ok(seconds),
        _ => Err(Reply::BadField(format!("{name} must be whole seconds from {least} to {MAX_DURATION}"))),
    }
}

fn bad(why: &str) -> Reply {
    Reply::BadField(why.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> DateTime<Utc> {
        "2026-11-22T12:00:00Z".parse().unwrap()
    }

    fn created(query: &str) -> Value {
        let new = NewMonitor::read(query, now()).unwrap().unwrap();
        serde_json::from_str(&new.as_json(now())).unwrap()
    }

    #[test]
    fn create_alone_has_the_defaults_of_healthchecks() {
        assert_eq!(NewMonitor::read("", now()), Ok(None));
        assert_eq!(NewMonitor::read("create=0&xcreate=1", now()), Ok(None));
        assert_eq!(created("create=1"), json!({ "grace_duration": 3600, "tags": [], "every": 86400 }));
    }

    #[test]
    fn every_field_can_be_said() {
        assert_eq!(
            created("create=1&period=300&grace=0&tags=prod%20db,eu+prod"),
            json!({ "grace_duration": 0, "tags": ["prod", "db", "eu"], "every": 300 })
        );
        let cron = created("cron=0+3+*+*+*&tz=Europe%2FRiga&create=1");
        assert_eq!(cron["cron"], "0 3 * * *");
        assert_eq!(cron["timezone"], "Europe/Riga");
        assert_eq!(cron["slots"][0], "2026-11-23T01:00:00Z");
        assert_eq!(created("create=1&cron=@daily")["timezone"], Value::Null);
    }

    #[test]
    fn what_can_not_be_used_is_refused_by_its_name() {
        for (query, why) in [
            ("period=0", "period must be whole seconds from 1 to 31622400"),
            ("period=1.5", "period must be whole seconds from 1 to 31622400"),
            ("period=99999999999999999999", "period must be whole seconds from 1 to 31622400"),
            ("grace=-1", "grace must be whole seconds from 0 to 31622400"),
            ("period=60&cron=@daily", "give period or cron, not both"),
            ("tz=Europe/Riga", "tz is of use only with cron"),
            ("cron=%00", "cron: it contains a NUL character"),
        ] {
            let refused = NewMonitor::read(&format!("create=1&{query}"), now());
            assert_eq!(refused, Err(Reply::BadField(why.to_owned())), "{query}");
        }
        for query in ["cron=x", "cron=61+*+*+*+*", "cron=@daily&tz=Mars", "tags=%00", "cron=%FF"] {
            let refused = NewMonitor::read(&format!("create=1&{query}"), now());
            assert!(matches!(refused, Err(Reply::BadField(_))), "{query}: {refused:?}");
        }
    }
}
