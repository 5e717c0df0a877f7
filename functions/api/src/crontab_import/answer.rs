//! What is answered.

use domain::crontab::{Crontab, Ping};
use serde::Serialize;
use serde_json::Value;
use uuid::Uuid;

use super::Wanted;
use super::plan::{Outcome, Plan, Planned};
use crate::answers::{ApiError, ApiResult, Data};
use crate::monitors::shown::shown_schedule;

/// In bytes. An answer of a Lambda function has at most 6,291,556, in which this one is a text within JSON, beside its
/// headers: <https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html>.
const LONGEST: usize = 6_200_000;

#[derive(Serialize)]
struct Answer<'a> {
    crontab: &'a str,
    lines: Vec<ShownLine<'a>>,
    gone: Vec<ShownGone<'a>>,
    warnings: &'a [String],
}

/// A line that is a job, or that was left as it is.
#[derive(Serialize)]
struct ShownLine<'a> {
    /// Counted from 1.
    line: usize,
    result: &'static str,
    monitor_id: Option<Uuid>,
    slug: Option<&'a str>,
    name: Option<&'a str>,
    schedule: Value,
    ping_url: Option<String>,
    why: Option<String>,
}

/// A monitor of an earlier import that no line is about any more.
#[derive(Serialize)]
struct ShownGone<'a> {
    monitor_id: Uuid,
    slug: &'a str,
    name: &'a str,
}

/// The new crontab, or that with what becomes of its lines.
///
/// # Errors
/// It is too long: to be asked before anything is saved, or there were monitors of which nobody has the URLs.
pub(super) fn body(crontab: &Crontab, plan: &Plan, wanted: &Wanted) -> ApiResult<String> {
    // What was not saved has no id.
    let is_there = |planned: &Planned| !(wanted.is_dry_run && planned.outcome == Outcome::Created);
    let pings: Vec<Ping<'_>> = plan
        .jobs
        .iter()
        .map(|planned| {
            let id = if is_there(planned) { planned.ping_id } else { Uuid::nil() };
            Ping { id, whys: &planned.whys }
        })
        .collect();
    let text = crontab.written(&pings, &plan.warnings, &said_of_gone(plan));
    let (body, advice) = if wanted.is_json {
        let jobs = crontab.jobs.iter().zip(&plan.jobs).map(|(job, planned)| {
            let is_there = is_there(planned);
            let expected = planned.schedule.and_then(|place| plan.expected.get(place));
            let schedule = expected.map_or(Value::Null, |expected| shown_schedule(&expected.schedule));
            let whys = planned.whys.iter().map(String::as_str).chain(job.whys.iter().copied());
            ShownLine {
                line: job.line,
                result: planned.outcome.name(),
                monitor_id: is_there.then_some(planned.monitor_id),
                slug: Some(&planned.slug),
                name: Some(&planned.name),
                schedule: planned.shown_schedule.clone().unwrap_or(schedule),
                ping_url: is_there.then(|| crontab.ping_url(planned.ping_id)),
                why: whys.map(str::to_owned).reduce(|all, why| format!("{all}; {why}")),
            }
        });
        let left = crontab.left.iter().map(|left| ShownLine {
            line: left.line,
            result: "skipped",
            monitor_id: None,
            slug: None,
            name: None,
            schedule: Value::Null,
            ping_url: None,
            why: Some(left.why.clone()),
        });
        let mut lines: Vec<ShownLine<'_>> = jobs.chain(left).collect();
        lines.sort_by_key(|line| line.line);
        let gone = plan.gone.iter().map(|one| ShownGone {
            monitor_id: one.monitor_id,
            slug: &one.slug,
            name: &one.name,
        });
        let answer = Answer { crontab: &text, lines, gone: gone.collect(), warnings: &plan.warnings };
        let body = serde_json::to_string(&Data::one(answer)).map_err(|e| ApiError::internal(&e))?;
        (body, "ask for the text, without Accept: application/json, or send it")
    } else {
        (text, "send it")
    };
    if length_within_json(&body) > LONGEST {
        return Err(ApiError::unprocessable(format!(
            "The body can't be used: the answer would be larger than {LONGEST} bytes; {advice} in parts, each with tags of its own."
        )));
    }
    Ok(body)
}

fn said_of_gone(plan: &Plan) -> Vec<String> {
    let of_each = plan.gone.iter().map(|gone| {
        format!(
            "no line is about the monitor '{}' any more: it is kept, and will be late unless it is paused or deleted, or another \
             crontab's (give each crontab tags of its own): {}",
            gone.slug, gone.monitor_id
        )
    });
    let more = (plan.more_gone > 0).then(|| format!("so it is with {} more monitors", plan.more_gone));
    of_each.chain(more).collect()
}

fn length_within_json(text: &str) -> usize {
    let length = |byte: u8| match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..b' ' => 6,
        _ => 1,
    };
    text.bytes().map(length).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_length_within_json_is_what_json_makes_of_it() {
        for text in ["", "a", "\"\\\n\r\t\u{1}\u{8}\u{c}\u{1f}\u{7f} é☃/"] {
            assert_eq!(length_within_json(text) + 2, serde_json::to_string(text).unwrap().len(), "{text:?}");
        }
    }
}
