//! The history of a monitor: its pings.

use axum::extract::State;
use chrono::{DateTime, Utc};
use database::jobs::as_text;
use domain::SignalKind;
use serde::Serialize;
use tokio_postgres::Row;
use tokio_postgres::types::Type;
use uuid::Uuid;

use super::jobs::monitor_exists;
use crate::App;
use crate::answers::{ApiError, ApiResult, Data};
use crate::cursor::Cursor;
use crate::page::{self, one_more};
use crate::requests::{Caller, Ids, Query, wrong};

/// Pings of one page.
const MOST: usize = 100;

/// Bytes of a body in a list.
const SHOWN_BODY: i32 = 10_000;

#[derive(Serialize)]
pub(crate) struct Ping {
    signal_id: Uuid,
    received_at: DateTime<Utc>,
    kind: String,
    rid: Option<Uuid>,
    exit_status: Option<i16>,
    /// Of the run that this ping ended, if its start was announced; whole seconds.
    duration: Option<i64>,
    /// The run that it began or ended.
    job_id: Option<Uuid>,
    source_address: Option<String>,
    user_agent: Option<String>,
    body: Option<String>,
    /// How much of the body was kept.
    body_bytes: i32,
    body_truncated: bool,
    /// Of a snooze or a pause: when it ends. A pause without one ends when somebody resumes the monitor.
    ends_at: Option<DateTime<Utc>>,
}

/// What stands in a history beside the signals of clients: what the monitor's owner did.
const KINDS_OF_ITS_OWNER: [&str; 3] = ["snooze", "pause", "resume"];

pub(crate) async fn list(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id]): Ids<1>,
    query: Query,
) -> ApiResult<Data<Vec<Ping>>> {
    let wanted = Wanted::read(&query)?;
    let client = app.pool.get().await?;
    monitor_exists(&**client, &tenant, monitor_id).await?;
    // The page first, by the index signal_newest_first; only then its bodies and jobs.
    let statement = format!(
        "select {PING_COLUMNS}
         from (
             select * from signal
             where monitor_id = $1
               and received_at <= coalesce($3, 'infinity')
               and (received_at, signal_id) < (coalesce($3, 'infinity'), coalesce($4, signal_id))
               and received_at >= coalesce($5, '-infinity') and received_at < coalesce($6, 'infinity')
               and ($7::text[] is null or kind = any ($7))
               and ($8::uuid is null or rid = $8)
             order by received_at desc, signal_id desc limit $9
         ) s {ENDED_JOB}
         order by s.received_at desc, s.signal_id desc"
    );
    // One more than is shown, to know whether there is more.
    let rows = client
        .query_typed(
            &statement,
            &[
                (&monitor_id, Type::UUID),
                (&SHOWN_BODY, Type::INT4),
                (&wanted.after.map(|cursor| cursor.at), Type::TIMESTAMPTZ),
                (&wanted.after.map(|cursor| cursor.id), Type::UUID),
                (&wanted.since, Type::TIMESTAMPTZ),
                (&wanted.until, Type::TIMESTAMPTZ),
                (&wanted.kinds, Type::TEXT_ARRAY),
                (&wanted.rid, Type::UUID),
                (&one_more(wanted.limit), Type::INT8),
            ],
        )
        .await?;

    let pings: Vec<Ping> = rows.iter().map(Ping::of).collect::<ApiResult<_>>()?;
    let found = pings.into_iter().map(|ping| (ping.position(), ping));
    let (page, last) = page::fill(found, wanted.limit);
    Ok(Data::uncounted(page, last.map(Cursor::encode)))
}

/// One ping with the whole of its body, as far as it was kept.
pub(crate) async fn read(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([monitor_id, signal_id]): Ids<2>,
) -> ApiResult<Data<Ping>> {
    let client = app.pool.get().await?;
    monitor_exists(&**client, &tenant, monitor_id).await?;
    let statement = format!(
        "select {PING_COLUMNS} from signal s {ENDED_JOB} where s.monitor_id = $1 and s.signal_id = $3"
    );
    let rows = client
        .query_typed(
            &statement,
            &[(&monitor_id, Type::UUID), (&i32::MAX, Type::INT4), (&signal_id, Type::UUID)],
        )
        .await?;
    let row = rows.first().ok_or_else(|| ApiError::no_ping(signal_id, monitor_id))?;
    Ping::of(row).map(Data::one)
}

/// What [`Ping::of`] reads, of `signal s` and the job `j` that it ended, joined by [`ENDED_JOB`]. Bound to the
/// tenant by who calls it; `$2` is how much of a body is shown.
const PING_COLUMNS: &str = "s.signal_id, s.received_at, s.kind, s.rid, s.exit_status, s.job_id, \
     s.source_address, s.user_agent, substring(s.body from 1 for $2) as body, octet_length(s.body) as body_bytes, s.ends_at, \
     j.start_time, j.end_time";

const ENDED_JOB: &str = "left join job j on j.job_id = s.job_id and j.monitor_id = s.monitor_id \
     and j.announced and j.ended_by = s.signal_id";

impl Ping {
    fn of(row: &Row) -> ApiResult<Self> {
        let start: Option<DateTime<Utc>> = row.try_get("start_time")?;
        let end: Option<DateTime<Utc>> = row.try_get("end_time")?;
        let body: Option<&[u8]> = row.try_get("body")?;
        let body_bytes = row.try_get::<_, Option<i32>>("body_bytes")?.unwrap_or(0);
        let body_truncated = body.is_some_and(|body| i32::try_from(body.len()) != Ok(body_bytes));
        Ok(Self {
            signal_id: row.try_get("signal_id")?,
            received_at: row.try_get("received_at")?,
            kind: row.try_get("kind")?,
            rid: row.try_get("rid")?,
            exit_status: row.try_get("exit_status")?,
            duration: start.zip(end).map(|(start, end)| (end - start).num_seconds()),
            job_id: row.try_get("job_id")?,
            source_address: row.try_get("source_address")?,
            user_agent: row.try_get("user_agent")?,
            body: body.map(|body| as_text(body, body_truncated)),
            body_bytes,
            body_truncated,
            ends_at: row.try_get("ends_at")?,
        })
    }

    fn position(&self) -> Cursor {
        Cursor { at: self.received_at, id: self.signal_id }
    }
}

/// What the query asks for.
struct Wanted {
    kinds: Option<Vec<&'static str>>,
    rid: Option<Uuid>,
    since: Option<DateTime<Utc>>,
    until: Option<DateTime<Utc>>,
    limit: usize,
    after: Option<Cursor>,
}

impl Wanted {
    fn read(query: &Query) -> ApiResult<Self> {
        let kinds: Vec<&str> = query
            .all("kind")
            .flat_map(|value| value.split(','))
            .map(|name| {
                let said = SignalKind::from_name(name).map(SignalKind::name);
                said.or_else(|| KINDS_OF_ITS_OWNER.into_iter().find(|kind| *kind == name)).ok_or_else(|| {
                    wrong("kind", &"it is one of start, success, fail, log, snooze, pause and resume")
                })
            })
            .collect::<ApiResult<_>>()?;
        let rid = query
            .one("rid")?
            .map(|text| Uuid::try_parse(text).map_err(|_| wrong("rid", &"it is not a UUID")));
        Ok(Self {
            kinds: Some(kinds).filter(|kinds| !kinds.is_empty()),
            rid: rid.transpose()?,
            since: query.instant("since")?,
            until: query.instant("until")?,
            limit: query.limit(MOST)?,
            after: query.cursor(Cursor::parse)?,
        })
    }
}
