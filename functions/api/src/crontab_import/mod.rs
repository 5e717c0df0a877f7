//! A whole crontab becomes monitors, and comes back with pings in it.

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
use domain::{Schedule, tags};
use http_common::NewDeliveries;
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::monitors::decisions::default_grace_for;
use crate::monitors::shown::shown_schedule;
use crate::requests::{Caller, Query, Text, wrong};
use crate::turns::{in_turn, to_import};
use plan::{Outcome, Plan};

/// The tag by which imported monitors are known.
const TAG: &str = "crontab";

/// So many slots are found for all schedules together; late-check finds the next ones when they run low.
const SLOTS_FOR_ALL: usize = 64_000;
const FEWEST_SLOTS: usize = 4;

/// How long the new crontab may be, in bytes: Lambda answers with 6 MB at most, and in JSON the lines stand beside it.
const MOST_TEXT: usize = 5_500_000;
const MOST_WITHIN_JSON: usize = 4_000_000;

/// What the query says besides.
struct Wanted {
    /// Of each imported monitor, [`TAG`] among them.
    tags: Vec<String>,
    is_dry_run: bool,
}

/// A schedule of the crontab with what the database keeps of it.
struct Expected {
    schedule: Schedule,
    slots: Vec<DateTime<Utc>>,
    grace_duration: i64,
}

#[derive(Serialize)]
struct Answer {
    crontab: String,
    lines: Vec<ShownLine>,
    gone: Vec<ShownGone>,
    warnings: Vec<String>,
}

/// A line that is a job, or that was left as it is.
#[derive(Serialize)]
struct ShownLine {
    /// Counted from 1.
    line: usize,
    result: &'static str,
    monitor_id: Option<Uuid>,
    slug: Option<String>,
    name: Option<String>,
    schedule: Value,
    ping_url: Option<String>,
    why: Option<String>,
}

/// A monitor of an earlier import that no line is about any more.
#[derive(Serialize)]
struct ShownGone {
    monitor_id: Uuid,
    slug: String,
    name: String,
}

pub(crate) async fn import(
    State(app): State<App>,
    Caller(tenant): Caller,
    headers: HeaderMap,
    query: Query,
    text: Result<Text, ApiError>,
) -> ApiResult<Response> {
    let now = (app.clock)().trunc_subsecs(6);
    let asked = asked(&query, app.public_url.base(&headers))?;
    let wanted = wanted(&query)?;
    let Text(text) = text?;
    let base_url = asked.base_url.clone();
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
    it_can_be_answered(&crontab, wants_json(&headers))?;
    let (plan, new_deliveries) = {
        let _turn = to_import().await?;
        let mut client = app.pool.get().await?;
        save::save(&mut client, &tenant, &crontab, &expected, &wanted, now).await?
    };
    let answer = answer(crontab, &expected, plan, &base_url, wanted.is_dry_run);
    if wants_json(&headers) {
        return Ok(Data::one(answer).handing_over(new_deliveries).into_response());
    }
    let mut response = ([(CONTENT_TYPE, "text/plain; charset=utf-8")], answer.crontab).into_response();
    response.extensions_mut().insert(NewDeliveries(new_deliveries));
    Ok(response)
}

/// An answer that Lambda does not let through must not leave monitors behind that nobody has the URLs of.
fn it_can_be_answered(crontab: &Crontab, is_json: bool) -> ApiResult<()> {
    let most = if is_json { MOST_WITHIN_JSON } else { MOST_TEXT };
    if crontab.written(&vec![Uuid::nil(); crontab.jobs.len()], &[]).len() > most {
        let why = format!(
            "The body can't be used: the crontab with its pings would be larger than {most} bytes; \
             send it in parts, each with tags of its own."
        );
        return Err(ApiError::unprocessable(why));
    }
    Ok(())
}

fn asked(query: &Query, base_url: String) -> ApiResult<Asked> {
    let has_users = query.flag("user_column")?;
    let announces = match query.one("style")? {
        None | Some("long") => true,
        Some("short") => false,
        Some(_) => return Err(wrong("style", &"it must be 'long' or 'short'")),
    };
    let form = Form { announces, sends_output: query.flag("output")? };
    let zone = query.one("timezone")?.map(str::parse::<Tz>).transpose();
    let zone = zone.map_err(|_| wrong("timezone", &"it must be an IANA time zone such as 'Europe/Riga'"))?;
    Ok(Asked { has_users, form, zone, base_url })
}

fn wanted(query: &Query) -> ApiResult<Wanted> {
    let given = query.one("tags")?.unwrap_or_default();
    let tags = tags::parse(&format!("{TAG},{given}")).map_err(|why| wrong("tags", &why))?;
    Ok(Wanted { tags, is_dry_run: query.flag("dry_run")? })
}

/// Takes a while where there are many.
fn expected(crontab: &Crontab, now: DateTime<Utc>) -> Vec<Expected> {
    let most = (SLOTS_FOR_ALL / crontab.schedules.len().max(1)).clamp(FEWEST_SLOTS, SLOTS_AHEAD);
    let of_each = crontab.schedules.iter().map(|cron| {
        let slots = cron.first_slots_after(now, most);
        let gap = smallest_gap(&slots).unwrap_or(Duration::zero());
        Expected { schedule: Schedule::Cron(cron.clone()), grace_duration: default_grace_for(gap), slots }
    });
    of_each.collect()
}

fn wants_json(headers: &HeaderMap) -> bool {
    headers.get_all(ACCEPT).iter().filter_map(|accept| accept.to_str().ok()).any(|accept| {
        accept.split(',').any(|kind| {
            let kind = kind.split(';').next().unwrap_or_default();
            kind.trim().eq_ignore_ascii_case("application/json")
        })
    })
}

fn answer(crontab: Crontab, expected: &[Expected], plan: Plan, base_url: &str, is_dry_run: bool) -> Answer {
    // What was not saved has no id.
    let is_there = |outcome: Outcome| !(is_dry_run && outcome == Outcome::Created);
    let ping_ids: Vec<Uuid> =
        plan.jobs.iter().map(|job| if is_there(job.outcome) { job.ping_id } else { Uuid::nil() }).collect();
    let gone: Vec<String> = plan
        .gone
        .iter()
        .map(|gone| {
            format!("no line is about the monitor '{}' any more; it is kept: {}", gone.slug, gone.monitor_id)
        })
        .collect();
    let text = crontab.written(&ping_ids, &gone);
    let jobs = crontab.jobs.into_iter().zip(plan.jobs).map(|(job, planned)| {
        let is_there = is_there(planned.outcome);
        let expected = job.schedule.and_then(|place| expected.get(place));
        ShownLine {
            line: job.line,
            result: planned.outcome.name(),
            monitor_id: is_there.then_some(planned.monitor_id),
            slug: Some(planned.slug),
            name: Some(planned.name),
            schedule: planned.shown_schedule.unwrap_or_else(|| {
                expected.map_or(Value::Null, |expected| shown_schedule(&expected.schedule))
            }),
            ping_url: is_there.then(|| format!("{base_url}/ping/{}", planned.ping_id)),
            why: planned.why.or(job.why),
        }
    });
    let left = crontab.left.into_iter().map(|left| ShownLine {
        line: left.line,
        result: "skipped",
        monitor_id: None,
        slug: None,
        name: None,
        schedule: Value::Null,
        ping_url: None,
        why: Some(left.why),
    });
    let mut lines: Vec<ShownLine> = jobs.chain(left).collect();
    lines.sort_by_key(|line| line.line);
    let gone = plan.gone.into_iter().map(|gone| ShownGone {
        monitor_id: gone.monitor_id,
        slug: gone.slug,
        name: gone.name,
    });
    Answer { crontab: text, lines, gone: gone.collect(), warnings: crontab.warnings }
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
