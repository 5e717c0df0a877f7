//! A database of the original CronMon, made from the description of its tables in `docs/protocols/cronmon-v1.md`, and
//! `cronmon import` on it.

use std::process::{Output, Stdio};

use chrono::{DateTime, TimeDelta, Utc};
use database::Pool;
use tokio::process::{Child, Command};
use uuid::Uuid;

use crate::databases::{empty_database, pool};

/// Its columns in another order than it is read, one more than is read, and the trigger's table without a trigger:
/// nothing is written after it is filled.
const TABLES: &str = "
    create table monitor (
        name varchar not null, monitor_id uuid primary key, created_at timestamp not null default now(),
        updated_at timestamp not null default now(), expected_duration integer not null,
        grace_duration integer not null, tenant varchar not null, extra text, unique (monitor_id, tenant)
    );
    create index on monitor (tenant);
    create table job (
        job_id uuid primary key, created_at timestamp not null default now(),
        updated_at timestamp not null default now(),
        monitor_id uuid not null references monitor on delete cascade, start_time timestamp not null,
        end_time timestamp, output text, succeeded boolean, max_end_time timestamp not null,
        late_alert_sent boolean not null default false, error_alert_sent boolean not null default false
    );
    create table api_key (
        api_key_id uuid primary key, created_at timestamp not null default now(),
        updated_at timestamp not null default now(), key varchar not null unique, tenant varchar not null,
        last_used timestamp, last_used_monitor_id uuid, last_used_monitor_name varchar, name varchar not null,
        masked varchar not null
    );
    create table alert_config (
        alert_config_id uuid primary key, created_at timestamp not null default now(),
        updated_at timestamp not null default now(), name varchar not null, tenant varchar not null,
        type varchar not null, active boolean not null, on_late boolean not null, on_error boolean not null
    );
    create table slack_alert_config (
        alert_config_id uuid primary key references alert_config on delete cascade,
        created_at timestamp not null default now(), updated_at timestamp not null default now(),
        slack_channel varchar not null, slack_bot_oauth_token varchar not null
    );
    create table monitor_alert_config (
        alert_config_id uuid not null references alert_config on delete cascade,
        monitor_id uuid not null references monitor on delete cascade, monitor_name varchar not null,
        primary key (alert_config_id, monitor_id)
    );
";

pub struct Original {
    pub url: String,
    pub pool: Pool,
    /// What its times are counted from.
    pub now: DateTime<Utc>,
}

/// How a job of it stands.
#[derive(Debug, Clone, Copy)]
pub enum End {
    Running,
    Succeeded(TimeDelta),
    Failed(TimeDelta),
    /// A row with a time of its end and nothing else.
    Nothing(TimeDelta),
}

impl Original {
    pub async fn start() -> Self {
        let url = empty_database().await;
        let pool = pool(&url, 2);
        let original = Self { url, pool, now: now() };
        original.sql(TABLES).await;
        original
    }

    pub async fn sql(&self, statements: &str) {
        self.pool.get().await.unwrap().batch_execute(statements).await.unwrap();
    }

    /// A monitor that may run for half an hour and ten minutes more.
    pub async fn monitor(&self, tenant: &str, name: &str) -> Uuid {
        self.monitor_with(tenant, name, 1800, 600).await
    }

    pub async fn monitor_with(&self, tenant: &str, name: &str, expected: i32, grace: i32) -> Uuid {
        let id = Uuid::new_v4();
        let created = (self.now - TimeDelta::days(200)).naive_utc();
        self.pool
            .get()
            .await
            .unwrap()
            .execute(
                "insert into monitor (monitor_id, tenant, name, expected_duration, grace_duration, created_at)
                 values ($1, $2, $3, $4, $5, $6)",
                &[&id, &tenant, &name, &expected, &grace, &created],
            )
            .await
            .unwrap();
        id
    }

    /// A job that started before `now`, with a deadline 40 minutes after its start.
    pub async fn job(&self, monitor: Uuid, before: TimeDelta, end: End, output: Option<&str>) -> Uuid {
        let start = self.now - before;
        self.job_until(monitor, before, start + TimeDelta::minutes(40), end, output).await
    }

    pub async fn job_until(
        &self,
        monitor: Uuid,
        before: TimeDelta,
        deadline: DateTime<Utc>,
        end: End,
        output: Option<&str>,
    ) -> Uuid {
        let id = Uuid::new_v4();
        let start = self.now - before;
        let (end, succeeded) = match end {
            End::Running => (None, None),
            End::Succeeded(after) => (Some(start + after), Some(true)),
            End::Failed(after) => (Some(start + after), Some(false)),
            End::Nothing(after) => (Some(start + after), None),
        };
        self.pool
            .get()
            .await
            .unwrap()
            .execute(
                "insert into job (job_id, monitor_id, start_time, end_time, succeeded, max_end_time, output)
                 values ($1, $2, $3, $4, $5, $6, $7)",
                &[
                    &id,
                    &monitor,
                    &start.naive_utc(),
                    &end.map(|end| end.naive_utc()),
                    &succeeded,
                    &deadline.naive_utc(),
                    &output,
                ],
            )
            .await
            .unwrap();
        id
    }

    /// Imports it into a database; the output is what a person reads.
    pub async fn import_into(&self, database_url: &str) -> String {
        let output = import(&self.url, database_url).await;
        let text =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert!(output.status.success(), "{text}");
        text
    }

    /// Begins to import it.
    #[must_use]
    pub fn begin_import(&self, database_url: &str) -> Child {
        command(&self.url, database_url).kill_on_drop(true).spawn().unwrap()
    }
}

/// By this machine's clock, as the import reads it, in whole microseconds.
#[must_use]
pub fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_micros(crate::chaos::now().timestamp_micros()).unwrap()
}

pub async fn import(from: &str, database_url: &str) -> Output {
    command(from, database_url).output().await.unwrap()
}

fn command(from: &str, database_url: &str) -> Command {
    let binary = std::env::var("CRONMON_BIN").expect("CRONMON_BIN is missing: run `make test`");
    let mut command = Command::new(binary);
    command
        .args(["import", from])
        .env_clear()
        .env("DATABASE_URL", database_url)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}
