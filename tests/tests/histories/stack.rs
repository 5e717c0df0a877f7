//! The whole stack: requests over HTTP, a tick, deliveries to a webhook.

use chrono::{DateTime, Utc};
use cronmon_tests::webhook::Heard;
use cronmon_tests::{CronMon, Receiver};
use reqwest::Method;
use serde_json::{Value, json};

use crate::random::{Event, path_of};
use crate::statements::{at, look_at_held};
use crate::{Player, Seen};

pub struct Stack {
    cronmon: CronMon,
    receiver: Receiver,
    shown: Value,
    heard_before: usize,
}

impl Stack {
    pub async fn start() -> Self {
        let cronmon = CronMon::start().await;
        let receiver = Receiver::start().await;
        cronmon.hear_everything_at(&receiver.url).await;
        Self { cronmon, receiver, shown: Value::Null, heard_before: 0 }
    }

    fn path(&self) -> String {
        format!("/monitors/{}", self.shown["monitor_id"].as_str().unwrap())
    }

    async fn execute(&self, statements: &str) {
        self.cronmon.pool.get().await.unwrap().batch_execute(statements).await.unwrap();
    }

    async fn post(&self, what: &str, body: &Value) {
        let path = format!("{}/{what}", self.path());
        let answer = self.cronmon.call(Method::POST, &path, Some(body)).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    }
}

impl Player for Stack {
    async fn create(&mut self, body: &Value, now: DateTime<Utc>) {
        self.cronmon.set_clock(now);
        self.shown = self.cronmon.create(body.clone()).await;
    }

    async fn play(&mut self, event: &Event, now: DateTime<Utc>) {
        self.cronmon.set_clock(now);
        match event {
            Event::Tick => self.cronmon.tick().await,
            Event::Signal(signal) => self.cronmon.ping(&self.shown, &path_of(signal)).await,
            Event::Spooled(signal, received_at) => {
                self.cronmon.replay(&self.shown, signal, *received_at).await;
            }
            Event::Edit(body) => {
                let answer = self.cronmon.call(Method::PATCH, &self.path(), Some(body)).await;
                assert_eq!(answer.status, 200, "{}", answer.body);
            }
            Event::Pause(until) => self.post("pause", &json!({ "until": until })).await,
            Event::Resume => self.post("resume", &json!({})).await,
            Event::Snooze(None) => self.post("snooze", &json!({ "seconds": 0 })).await,
            Event::Snooze(until) => self.post("snooze", &json!({ "until": until })).await,
            Event::Windows(windows) => {
                self.execute("delete from maintenance_window").await;
                for window in windows {
                    let insert = "insert into maintenance_window
                            (window_id, tenant, name, created_at, monitor_ids, duration, starts)
                        select gen_random_uuid(), tenant, 'w', $1, array[monitor_id], $2, $3 from monitor";
                    let client = self.cronmon.pool.get().await.unwrap();
                    client.execute(insert, &[&now, &window.seconds, &window.starts]).await.unwrap();
                }
                self.execute(&look_at_held(&at(Some(now)))).await;
            }
            Event::Blind(from, until) => {
                let span = format!("gen_random_uuid(), 'blind', {}, {}", at(Some(*from)), at(*until));
                self.execute(&format!(
                    "insert into outage_span (span_id, kind, began_at, ended_at) values ({span})"
                ))
                .await;
            }
            Event::Sees => {
                let ends =
                    format!("update outage_span set ended_at = {} where ended_at is null", at(Some(now)));
                self.execute(&ends).await;
            }
        }
    }

    async fn tick(&mut self, now: DateTime<Utc>) {
        self.cronmon.set_clock(now);
        self.cronmon.tick().await;
    }

    async fn see(&mut self, now: DateTime<Utc>) -> Seen {
        self.cronmon.deliver().await;
        let heard = self.receiver.heard();
        let told = heard[self.heard_before..].iter().map(Heard::told).collect();
        self.heard_before = heard.len();
        let is = self.cronmon.read(&self.shown).await;
        let due = "select coalesce(due_at < $1, false), coalesce(refill_at = due_at, false) from monitor";
        let client = self.cronmon.pool.get().await.unwrap();
        let is_due = client.query_one(due, &[&now]).await.unwrap();
        Seen {
            told,
            status: is["status"].as_str().unwrap().to_owned(),
            running: is["running"] == true,
            next: instant(&is["next_expected_at"]),
            due: instant(&is["due_at"]),
            is_due: is_due.get(0),
            is_low: is_due.get(1),
        }
    }

    async fn forget(&mut self) {
        let answer = self.cronmon.call(Method::DELETE, &self.path(), None).await;
        assert_eq!(answer.status, 204);
        self.execute("delete from outage_span; delete from maintenance_window").await;
    }
}

fn instant(value: &Value) -> Option<DateTime<Utc>> {
    value.as_str().map(|text| text.parse().unwrap())
}
