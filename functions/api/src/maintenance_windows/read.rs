//! One maintenance window.

use axum::extract::State;
use chrono::{DateTime, Duration, Utc};
use domain::window::Starts;
use serde::Serialize;
use tokio_postgres::types::Type;
use tokio_postgres::{GenericClient, Row};
use uuid::Uuid;

use crate::App;
use crate::answers::{ApiError, ApiResult, Data, shown_instant};
use crate::auth::Tenant;
use crate::requests::{Caller, Ids};

/// What [`ShownWindow::of`] reads.
pub(super) const WINDOW_COLUMNS: &str =
    "window_id, name, created_at, monitor_ids, tags, cron, timezone, duration, starts";

#[derive(Serialize)]
pub(crate) struct ShownWindow {
    window_id: Uuid,
    name: String,
    created_at: DateTime<Utc>,
    /// Of one that comes once.
    starts_at: Option<DateTime<Utc>>,
    ends_at: Option<DateTime<Utc>>,
    /// Of one that comes again and again.
    cron: Option<String>,
    timezone: Option<String>,
    duration: i32,
    monitor_ids: Vec<Uuid>,
    tags: Vec<String>,
    in_force: bool,
    /// When it begins the next time, and when it ends the next time.
    next_starts_at: Option<DateTime<Utc>>,
    next_ends_at: Option<DateTime<Utc>>,
    /// How many monitors it covers; only where one window is read.
    #[serde(skip_serializing_if = "Option::is_none")]
    monitors: Option<i64>,
    pub(super) warnings: Vec<String>,
}

pub(crate) async fn read(
    State(app): State<App>,
    Caller(tenant): Caller,
    Ids([window_id]): Ids<1>,
) -> ApiResult<Data<ShownWindow>> {
    let client = app.pool.get().await?;
    one_window(&**client, &tenant, window_id, (app.clock)()).await.map(Data::one)
}

/// The window as it is shown after every use case that is about one.
pub(super) async fn one_window(
    client: &impl GenericClient,
    tenant: &Tenant,
    window_id: Uuid,
    now: DateTime<Utc>,
) -> ApiResult<ShownWindow> {
    // The monitors by the index monitor_of_tenant.
    let statement = format!(
        "select {WINDOW_COLUMNS},
                (select count(*) from monitor m
                 where m.tenant = $2 and (m.monitor_id = any (w.monitor_ids) or w.tags && m.tags)) as monitors
         from maintenance_window w where window_id = $1 and tenant = $2"
    );
    let rows = client.query_typed(&statement, &[(&window_id, Type::UUID), (&tenant.0, Type::TEXT)]).await?;
    let row = rows.first().ok_or_else(|| ApiError::no_window(window_id))?;
    let mut shown = ShownWindow::of(row, now)?;
    shown.monitors = Some(row.try_get("monitors")?);
    if shown.monitors == Some(0) {
        shown.warnings.push("it covers no monitor as yet".to_owned());
    }
    Ok(shown)
}

impl ShownWindow {
    /// Reads [`WINDOW_COLUMNS`].
    pub(super) fn of(row: &Row, now: DateTime<Utc>) -> ApiResult<Self> {
        let cron: Option<String> = row.try_get("cron")?;
        let zone: Option<String> = row.try_get("timezone")?;
        let duration: i32 = row.try_get("duration")?;
        let length = Duration::seconds(duration.into());
        let starts: Vec<DateTime<Utc>> = row.try_get("starts")?;
        let starts_at = starts.first().copied().filter(|_| cron.is_none());
        let starts = Starts { instants: starts, refill_at: None };

        let mut warnings = Vec::new();
        if cron.is_some() && zone.is_none() {
            warnings.push("no timezone was given: cron is read in UTC".to_owned());
        }
        if let Some(end) = starts.without_a_break_until(length, now) {
            let end = shown_instant(end);
            warnings.push(format!(
                "each time goes over into the next: nobody is told anything until {end} at least"
            ));
        }
        if starts_at.is_some_and(|start| start + length <= now) {
            warnings.push("it is over".to_owned());
        }
        let instants = || starts.instants.iter().copied();
        Ok(Self {
            window_id: row.try_get("window_id")?,
            name: row.try_get("name")?,
            created_at: row.try_get("created_at")?,
            starts_at,
            ends_at: starts_at.map(|start| start + length),
            timezone: cron.as_ref().map(|_| zone.unwrap_or_else(|| "UTC".to_owned())),
            cron,
            duration,
            monitor_ids: row.try_get("monitor_ids")?,
            tags: row.try_get("tags")?,
            in_force: instants().any(|start| start <= now && now < start + length),
            next_starts_at: instants().find(|start| *start > now),
            next_ends_at: instants().map(|start| start + length).find(|end| *end > now),
            monitors: None,
            warnings,
        })
    }
}
