//! A database that hears of events by the statements alone: without HTTP, without webhooks. Thousands of histories
//! take minutes so. What the API's handlers do in a transaction stands here once more; some histories go through
//! the whole stack, and would show where the two part.

use chrono::{DateTime, Utc};
use cronmon_tests::databases::{new_database, pool};
use cronmon_tests::story::{rules_of, told};
use database::Pool;
use database::alerts::{ALERT_COLUMNS, alert_of};
use database::due::Until;
use database::signals::{Address, ReceivedSignal, Terms, apply_signal};
use domain::rules::{first_slot, slot_after_edit};
use domain::{Rules, Schedule, Signal};
use serde_json::Value;
use tokio_postgres::Transaction;
use tokio_postgres::types::{ToSql, Type};
use uuid::Uuid;

use crate::random::{Event, Window};
use crate::{Player, Seen};

pub struct Statements {
    pool: Pool,
    monitor_id: Uuid,
    ping_id: Uuid,
    rules: Option<Rules>,
}

impl Statements {
    pub async fn start() -> Self {
        let pool = pool(&new_database().await, 1);
        let hook = "insert into alert_config (alert_config_id, tenant, name, created_at, active, on_late, on_error,
                        on_recovered, is_default, type, url)
                    values (gen_random_uuid(), 'acme', 'hook', now(), true, true, true, true, true, 'webhook', '')";
        pool.get().await.unwrap().batch_execute(hook).await.unwrap();
        Self { pool, monitor_id: Uuid::nil(), ping_id: Uuid::nil(), rules: None }
    }

    async fn execute(&self, statements: &str) {
        // Several statements without a begin are one transaction.
        let client = self.pool.get().await.unwrap();
        client.batch_execute(statements).await.unwrap_or_else(|e| panic!("{statements}: {e:?}"));
    }

    async fn signal(&self, signal: &Signal, received_at: DateTime<Utc>, from_spool: bool) {
        let received = ReceivedSignal {
            address: Address::PingId(self.ping_id),
            // In the order in which they come, as in the functions: of two runs with one start it tells the newer.
            signal_id: Uuid::now_v7(),
            received_at,
            kind: signal.kind,
            rid: signal.rid,
            exit_status: signal.exit_status,
            source_address: None,
            user_agent: None,
            body: None,
            searched: None,
        };
        let terms = Terms { from_spool, ..Terms::default() };
        let applied = apply_signal(&self.pool, &received, terms).await.unwrap();
        assert_eq!(applied.outcome, database::signals::Outcome::Applied);
    }

    fn expect(&self, rules: &Rules, armed: bool, next: Option<DateTime<Utc>>, now: DateTime<Utc>) -> String {
        let (id, slots) = (self.monitor_id, slots(&rules.schedule, now));
        format!("call expect('{id}', {armed}, {}, {slots}, {});", at(next), at(Some(now)))
    }

    /// What was due before its owner does something. Where the slots that stand ready are over, it goes on with more.
    async fn let_fall_due(&self, transaction: &Transaction<'_>, now: DateTime<Utc>) {
        let (id, schedule, now) = (self.monitor_id, &self.rules.as_ref().unwrap().schedule, at(Some(now)));
        loop {
            transaction.batch_execute(&format!("call let_fall_due('{id}', {now})")).await.unwrap();
            let stands = "select slots_after, schedule_version from monitor where monitor_id = $1";
            let stands = transaction.query_one(stands, &[&id]).await.unwrap();
            let Some(after) = stands.get("slots_after") else { return };
            let (version, slots) = (stands.get::<_, i32>("schedule_version"), slots(schedule, after));
            let give = format!("call give_slots('{id}', {version}, {slots}, {now})");
            transaction.batch_execute(&give).await.unwrap();
        }
    }

    /// Its owner does something to it, after what was due before.
    async fn owner(&self, statement: &str, now: DateTime<Utc>) {
        let mut client = self.pool.get().await.unwrap();
        let transaction = client.transaction().await.unwrap();
        self.let_fall_due(&transaction, now).await;
        transaction.batch_execute(statement).await.unwrap_or_else(|e| panic!("{statement}: {e:?}"));
        transaction.commit().await.unwrap();
    }

    async fn edit(&mut self, body: &Value, now: DateTime<Utc>) {
        let (id, rules) = (self.monitor_id, rules_of(body));
        let mut client = self.pool.get().await.unwrap();
        let transaction = client.transaction().await.unwrap();
        self.let_fall_due(&transaction, now).await;
        let old = self.rules.replace(rules.clone()).unwrap();
        let edit = format!(
            "update monitor set ({DECISIONS}) = (select {DECIDED} from (select $2::text::jsonb as b) body),
                 schedule_version = schedule_version + 1, revision = revision + 1
             where monitor_id = $1 returning armed, next_slot"
        );
        let types = [(&id as _, Type::UUID), (&body.to_string() as _, Type::TEXT)];
        let rows = transaction.query_typed(&edit, &types).await.unwrap();
        if old.expects_otherwise(&rules) {
            let armed: bool = rows[0].get("armed");
            let next = slot_after_edit(&old.schedule, &rules.schedule, rows[0].get("next_slot"), now);
            let expect = self.expect(&rules, armed, next.filter(|_| armed), now);
            transaction.batch_execute(&expect).await.unwrap();
        }
        transaction.commit().await.unwrap();
    }

    async fn windows(&self, windows: &[Window], now: DateTime<Utc>) {
        let (id, now) = (self.monitor_id, at(Some(now)));
        let mut all = String::from("delete from maintenance_window;");
        for Window { starts, seconds } in windows {
            let starts: Vec<String> = starts.iter().map(|start| at(Some(*start))).collect();
            all += &format!(
                "insert into maintenance_window (window_id, tenant, name, created_at, monitor_ids, duration, starts)
                 values (gen_random_uuid(), 'acme', 'w', {now}, array['{id}']::uuid[], {seconds}, array[{}]);",
                starts.join(", ")
            );
        }
        all += &look_at_held(now.as_str());
        self.execute(&all).await;
    }
}

/// What is held is looked at anew, as after every change of a window.
pub fn look_at_held(now: &str) -> String {
    format!(
        "update monitor set held_until = least(held_until, {now}), revision = revision + 1,
             due_at = case when paused_at is null then least(due_at, {now}) else due_at end
         where held_until is not null;"
    )
}

impl Player for Statements {
    async fn create(&mut self, body: &Value, now: DateTime<Utc>) {
        (self.monitor_id, self.ping_id) = (Uuid::new_v4(), Uuid::new_v4());
        let (rules, armed) = (rules_of(body), body["armed"] == true);
        let insert = format!(
            "insert into monitor (monitor_id, tenant, name, slug, ping_id, created_at, {DECISIONS})
             select $1, 'acme', 'random', $1::text, $2, $3, {DECIDED} from (select $4::text::jsonb as b) body"
        );
        let client = self.pool.get().await.unwrap();
        let text = body.to_string();
        let values: [(&(dyn ToSql + Sync), Type); 4] = [
            (&self.monitor_id, Type::UUID),
            (&self.ping_id, Type::UUID),
            (&now, Type::TIMESTAMPTZ),
            (&text, Type::TEXT),
        ];
        client.execute_typed(&insert, &values).await.unwrap();
        let next = first_slot(&rules.schedule, now).filter(|_| armed);
        client.batch_execute(&self.expect(&rules, armed, next, now)).await.unwrap();
        self.rules = Some(rules);
    }

    async fn play(&mut self, event: &Event, now: DateTime<Utc>) {
        let (id, now_as_text) = (self.monitor_id, at(Some(now)));
        match event {
            Event::Tick => self.tick(now).await,
            Event::Signal(signal) => self.signal(signal, now, false).await,
            Event::Spooled(signal, received_at) => self.signal(signal, *received_at, true).await,
            Event::Edit(body) => self.edit(body, now).await,
            Event::Pause(until) => {
                let pause = format!("call pause_monitor('{id}', {now_as_text}, {})", at(*until));
                self.owner(&pause, now).await;
            }
            Event::Resume => {
                let schedule = &self.rules.as_ref().unwrap().schedule;
                let (next, slots) = (at(first_slot(schedule, now)), slots(schedule, now));
                let resume = format!("call resume_monitor('{id}', {now_as_text}, {next}, {slots})");
                self.owner(&resume, now).await;
            }
            Event::Snooze(until) => {
                let snooze = format!("call snooze_monitor('{id}', {now_as_text}, {})", at(*until));
                self.owner(&snooze, now).await;
            }
            Event::Windows(windows) => self.windows(windows, now).await,
            Event::Blind(from, until) => {
                let values = format!("gen_random_uuid(), 'blind', {}, {}", at(Some(*from)), at(*until));
                self.execute(&format!(
                    "insert into outage_span (span_id, kind, began_at, ended_at) values ({values})"
                ))
                .await;
            }
            Event::Sees => {
                self.execute(&format!(
                    "update outage_span set ended_at = {now_as_text} where ended_at is null"
                ))
                .await;
            }
        }
    }

    async fn tick(&mut self, now: DateTime<Utc>) {
        let until = Until { now: Some(now), ..Until::default() };
        late_check::tick(&self.pool, until, None, |_| async {}).await.unwrap();
    }

    /// What is on its way was told: as if it had been delivered.
    async fn see(&mut self, now: DateTime<Utc>) -> Seen {
        let statement = format!(
            "with sent as (
                 update delivery set attempts = 1, delivered_at = $2, next_attempt_at = null
                 where monitor_id = $1 and next_attempt_at is not null returning alert_id, position
             )
             select m.due_at < $2 as is_due, m.refill_at = m.due_at as is_low, m.open_jobs > 0 as running,
                    case when m.paused_at is null then m.status else 'paused' end as status,
                    case when m.paused_at is null then m.next_slot end as next_slot,
                    case when m.paused_at is not null then m.resumes_at
                    else least(slot_deadline(m), m.held_until, (
                        select min(due_at) from job
                        where monitor_id = m.monitor_id and end_time is null and overran_at is null))
                    end as deadline,
                    s.position, {ALERT_COLUMNS}
             from monitor m left join (sent s join alert a using (alert_id)) on true
             where m.monitor_id = $1 order by s.position"
        );
        let client = self.pool.get().await.unwrap();
        let statement = client.prepare_cached(&statement).await.unwrap();
        let rows = client.query(&statement, &[&self.monitor_id, &now]).await.unwrap();
        let is = &rows[0];
        let alerts = rows.iter().filter(|row| row.get::<_, Option<i64>>("position").is_some());
        Seen {
            told: alerts.map(|row| told(&alert_of(row).unwrap())).collect(),
            status: is.get("status"),
            running: is.get("running"),
            next: is.get("next_slot"),
            due: is.get("deadline"),
            is_due: is.get::<_, Option<bool>>("is_due") == Some(true),
            is_low: is.get::<_, Option<bool>>("is_low") == Some(true),
        }
    }

    async fn forget(&mut self) {
        self.execute("delete from monitor; delete from outage_span; delete from maintenance_window").await;
    }
}

/// The columns of a monitor that its owner decides, and where a body has them.
const DECISIONS: &str = "schedule_kind, every_seconds, cron, timezone, expected_duration, grace_duration,
    start_grace_duration, early_duration, failure_threshold, recovery_threshold, alert_on, min_interval_duration,
    min_duration, resume_on_ping";
const DECIDED: &str = "
    case when b #>> '{schedule,every}' is not null then 'every'
         when b #>> '{schedule,cron}' is not null then 'cron' else 'none' end,
    (b #>> '{schedule,every}')::integer, b #>> '{schedule,cron}', b #>> '{schedule,timezone}',
    (b ->> 'expected_duration')::integer, (b ->> 'grace_duration')::integer,
    (b ->> 'start_grace_duration')::integer, (b ->> 'early_duration')::integer,
    (b ->> 'failure_threshold')::integer, (b ->> 'recovery_threshold')::integer, b ->> 'alert_on',
    (b ->> 'min_interval_duration')::integer, (b ->> 'min_duration')::integer, (b ->> 'resume_on_ping')::boolean";

/// An instant as SQL.
pub fn at(instant: Option<DateTime<Utc>>) -> String {
    instant
        .map_or("null::timestamptz".to_owned(), |instant| format!("'{}'::timestamptz", instant.to_rfc3339()))
}

fn slots(schedule: &Schedule, now: DateTime<Utc>) -> String {
    let Schedule::Cron(cron) = schedule else { return "null::timestamptz[]".to_owned() };
    let slots: Vec<String> = cron.slots_after(now).iter().map(|slot| at(Some(*slot))).collect();
    format!("array[{}]", slots.join(", "))
}
