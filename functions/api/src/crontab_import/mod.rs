//! A whole crontab becomes monitors, and comes back with pings in it.

mod answer;
mod matches;
mod plan;
mod save;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::{ACCEPT, CONTENT_TYPE};
use axum::response::{IntoResponse as _, Response};
use chrono::{DateTime, Duration, SubsecRound as _, Utc};
use chrono_tz::Tz;
use domain::crontab::{Asked, Crontab, Form, MOST_LINES, TooMany};
use domain::schedule::{SLOTS_AHEAD, smallest_gap};
use domain::{Cron, Schedule, tags};
use http_common::NewDeliveries;

use crate::App;
use crate::answers::{ApiError, ApiResult};
use crate::monitors::decisions::default_grace_for;
use crate::requests::{Caller, Query, Text, wrong};
use crate::turns::{in_turn, to_import};

/// The tag by which imported monitors are known.
const TAG: &str = "crontab";

/// So many slots are found for all schedules together; late-check finds the next ones when they run low.
const SLOTS_FOR_ALL: usize = 64_000;
const FEWEST_SLOTS: usize = 4;

/// The grace of a job whose beginning is not pinged has its whole run in it. In seconds.
const LONGEST_GRACE_OF_AN_END: i64 = 6 * 60 * 60;
const SHORTEST_GRACE_OF_AN_END: i64 = 60;

const PARAMETERS: [&str; 6] = ["timezone", "tags", "style", "output", "user_column", "dry_run"];

/// What is asked for besides.
struct Wanted {
    /// Of each imported monitor, [`TAG`] among them.
    tags: Vec<String>,
    is_dry_run: bool,
    /// Whether it is told what became of each line.
    is_json: bool,
}

/// A schedule of the crontab with what the database keeps of it.
#[derive(Debug, Clone)]
struct Expected {
    schedule: Schedule,
    slots: Vec<DateTime<Utc>>,
}

impl Expected {
    fn of(cron: &Cron, now: DateTime<Utc>, most_slots: usize) -> Self {
        Self { schedule: Schedule::Cron(cron.clone()), slots: cron.first_slots_after(now, most_slots) }
    }

    /// The same somewhat later.
    fn after(&self, now: DateTime<Utc>) -> Self {
        let slots: Vec<DateTime<Utc>> = self.slots.iter().copied().filter(|slot| *slot > now).collect();
        match &self.schedule {
            Schedule::Cron(cron) if slots.is_empty() => Self::of(cron, now, FEWEST_SLOTS),
            schedule => Self { schedule: schedule.clone(), slots },
        }
    }
}

/// What a monitor with these slots gets when nobody says it, in seconds.
fn grace_for(slots: &[DateTime<Utc>], announces: bool) -> i64 {
    let gap = smallest_gap(slots).unwrap_or(Duration::zero());
    if announces {
        return default_grace_for(gap);
    }
    (gap.num_seconds() / 2).clamp(SHORTEST_GRACE_OF_AN_END, LONGEST_GRACE_OF_AN_END)
}

pub(crate) async fn import(
    State(app): State<App>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    query: Query,
    text: Result<Text, ApiError>,
) -> ApiResult<Response> {
    query.only(&PARAMETERS)?;
    let asked = asked(&query, app.public_url.base(&headers))?;
    let wanted = wanted(&query, &headers)?;
    let Text(text) = text?;
    if text.is_empty() {
        // Who put the answer in place would lose his crontab.
        let why = "The body can't be used: it is empty; with curl, send a file by --data-binary @file.";
        return Err(ApiError::unprocessable(why));
    }
    let now = (app.clock)().trunc_subsecs(6);
    let (crontab, expected) = in_turn(move || {
        let crontab = Crontab::read(text, asked, now)?;
        let expected = expected(&crontab, now);
        Ok((crontab, expected))
    })
    .await?
    .map_err(|TooMany| {
        let why = format!("The body can't be used: more than {MOST_LINES} lines are jobs or can't be read.");
        ApiError::unprocessable(why)
    })?;
    if crontab.has_lost_its_line_ends() {
        let why = "The body can't be used: its line ends are lost; with curl, send a file by --data-binary, not by -d.";
        return Err(ApiError::unprocessable(why));
    }
    if query.one("style")? == Some("none") {
        return Ok(([(CONTENT_TYPE, TEXT)], crontab.without_pings()).into_response());
    }
    let (body, new_deliveries) = {
        let _turn = to_import().await?;
        let mut client = app.pool.get().await?;
        save::save(&mut client, &tenant, &crontab, &expected, &wanted, &app.clock).await?
    };
    let content_type = if wanted.is_json { "application/json" } else { TEXT };
    let mut response = ([(CONTENT_TYPE, content_type)], body).into_response();
    response.extensions_mut().insert(NewDeliveries(new_deliveries));
    Ok(response)
}

const TEXT: &str = "text/plain; charset=utf-8";

fn asked(query: &Query, base_url: String) -> ApiResult<Asked> {
    let has_users = query.flag("user_column")?;
    let announces = match query.one("style")? {
        None | Some("long" | "none") => true,
        Some("short") => false,
        Some(_) => return Err(wrong("style", &"it must be 'long', 'short' or 'none'")),
    };
    let form = Form { announces, sends_output: query.flag("output")?.unwrap_or(false) };
    let zone = query.one("timezone")?.map(str::parse::<Tz>).transpose();
    let zone = zone.map_err(|_| wrong("timezone", &"it must be an IANA time zone such as 'Europe/Riga'"))?;
    Ok(Asked { has_users, form, zone, base_url })
}

fn wanted(query: &Query, headers: &HeaderMap) -> ApiResult<Wanted> {
    let given = query.one("tags")?.unwrap_or_default();
    let tags = tags::parse(&format!("{TAG},{given}")).map_err(|why| wrong("tags", &why))?;
    Ok(Wanted { tags, is_dry_run: query.flag("dry_run")?.unwrap_or(false), is_json: wants_json(headers) })
}

/// Takes a while where there are many.
fn expected(crontab: &Crontab, now: DateTime<Utc>) -> Vec<Expected> {
    let most = (SLOTS_FOR_ALL / crontab.schedules.len().max(1)).clamp(FEWEST_SLOTS, SLOTS_AHEAD);
    crontab.schedules.iter().map(|cron| Expected::of(cron, now, most)).collect()
}

fn wants_json(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).any(|accept| {
        accept.split(',').any(|kind| {
            let kind = kind.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case("application/json")
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_for_who_asks_for_it() {
        for (accept, wants) in [
            ("application/json", true),
            ("text/html, Application/JSON;q=0.9", true),
            ("*/*", false),
            ("text/plain", false),
            ("application/jsonlines", false),
        ] {
            let headers = HeaderMap::from_iter([(ACCEPT, accept.parse().unwrap())]);
            assert_eq!(wants_json(&headers), wants, "{accept}");
        }
        assert!(!wants_json(&HeaderMap::new()));
    }
}
