//! Something of everything to spoil, of two tenants, and how a refusal looks.

use std::collections::BTreeMap;

use cronmon_tests::contents::contents;
use cronmon_tests::{CronMon, answers};
use reqwest::{Body, Method};
use serde_json::{Value, json};

pub(crate) struct World {
    pub(crate) cronmon: CronMon,
    pub(crate) ours: Belongings,
    pub(crate) theirs: Belongings,
    token: String,
    before: BTreeMap<String, (i64, String)>,
}

/// What a tenant has. The monitor has one job, a fail that nobody could be told of.
pub(crate) struct Belongings {
    pub(crate) monitor: String,
    pub(crate) job: String,
    /// The fail.
    pub(crate) signal: String,
    pub(crate) ping_key: String,
    pub(crate) api_key: String,
    /// What it is, of scope ping.
    pub(crate) key: String,
    /// A maintenance window over the monitor.
    pub(crate) window: String,
    pub(crate) ping_url: String,
    /// Attached to the monitor.
    pub(crate) attached: String,
    /// Attached to nothing.
    pub(crate) free: String,
}

pub(crate) struct Refusal {
    pub(crate) code: u16,
    pub(crate) reason: String,
    pub(crate) description: String,
}

/// Which ids a path has, and what comes before, between and after them.
pub(crate) struct Route {
    pub(crate) method: Method,
    pub(crate) parts: &'static [&'static str],
    pub(crate) takes_body: bool,
}

/// Every path that asks for a token.
pub(crate) fn routes() -> Vec<Route> {
    let monitor = &["/monitors/", ""];
    let config = &["/alert-configs/", ""];
    let window = &["/maintenance-windows/", ""];
    let of_monitor = &["/monitors/", "/alert-configs"];
    let retention = &["/retention"];
    [
        (Method::GET, &["/monitors"] as &[&str], false),
        (Method::POST, &["/monitors"], true),
        (Method::GET, monitor, false),
        (Method::PATCH, monitor, true),
        (Method::DELETE, monitor, false),
        (Method::GET, &["/monitors/", "/jobs"], false),
        (Method::GET, &["/monitors/", "/jobs/", ""], false),
        (Method::GET, &["/monitors/", "/pings"], false),
        (Method::GET, &["/monitors/", "/pings/", ""], false),
        (Method::GET, &["/monitors/", "/explain"], false),
        (Method::GET, &["/monitors/", "/simulate"], false),
        (Method::POST, &["/monitors/", "/ping-url"], false),
        // They read a body, and need none.
        (Method::POST, &["/monitors/", "/pause"], false),
        (Method::POST, &["/monitors/", "/resume"], false),
        (Method::POST, &["/monitors/", "/snooze"], true),
        (Method::GET, of_monitor, false),
        (Method::POST, of_monitor, true),
        (Method::DELETE, &["/monitors/", "/alert-configs/", ""], false),
        (Method::GET, &["/alert-configs"], false),
        (Method::POST, &["/alert-configs"], true),
        (Method::GET, config, false),
        (Method::PATCH, config, true),
        (Method::DELETE, config, false),
        (Method::POST, &["/alert-configs/", "/test"], false),
        (Method::GET, &["/maintenance-windows"], false),
        (Method::POST, &["/maintenance-windows"], true),
        (Method::GET, window, false),
        (Method::PATCH, window, true),
        (Method::DELETE, window, false),
        (Method::GET, &["/keys"], false),
        (Method::POST, &["/keys"], true),
        (Method::DELETE, &["/keys/", ""], false),
        (Method::GET, &["/ping-keys"], false),
        (Method::POST, &["/ping-keys"], true),
        (Method::DELETE, &["/ping-keys/", ""], false),
        (Method::GET, &["/schedules/preview?every=60"], false),
        (Method::POST, &["/simulate"], true),
        // Text, which any JSON is too.
        (Method::POST, &["/import/crontab"], false),
        (Method::GET, retention, false),
        (Method::PATCH, retention, true),
    ]
    .into_iter()
    .map(|(method, parts, takes_body)| Route { method, parts, takes_body })
    .collect()
}

impl Route {
    /// The path with these ids, of which it takes as many as it has places.
    pub(crate) fn with(&self, ids: &[&str]) -> String {
        let mut path = self.parts[0].to_owned();
        for (id, part) in ids.iter().zip(&self.parts[1..]) {
            path.push_str(id);
            path.push_str(part);
        }
        path
    }

    /// The path to what belongs to somebody.
    pub(crate) fn to(&self, who: &Belongings) -> String {
        let ids = self.ids(who);
        self.with(&ids.iter().map(String::as_str).collect::<Vec<_>>())
    }

    /// What belongs to somebody, for each place.
    pub(crate) fn ids(&self, who: &Belongings) -> Vec<String> {
        let ids: &[&String] = match self.parts {
            ["/alert-configs/", ..] => &[&who.free],
            ["/keys/", ..] => &[&who.api_key],
            ["/ping-keys/", ..] => &[&who.ping_key],
            ["/maintenance-windows/", ..] => &[&who.window],
            [_, "/jobs/", _] => &[&who.monitor, &who.job],
            [_, "/pings/", _] => &[&who.monitor, &who.signal],
            [_, _, _] => &[&who.monitor, &who.attached],
            [_, _] => &[&who.monitor],
            _ => &[],
        };
        ids.iter().map(ToString::to_string).collect()
    }

    pub(crate) fn id_count(&self) -> usize {
        self.parts.len() - 1
    }

    /// A body that would be taken. Whether it needs one or not: the others ignore it.
    pub(crate) fn good_body(&self, who: &Belongings) -> Value {
        match self.parts {
            ["/alert-configs", ..] | ["/alert-configs/", ..] => good_alert_config(),
            ["/maintenance-windows", ..] | ["/maintenance-windows/", ..] => good_window(),
            [_, "/pause"] | [_, "/snooze"] => json!({ "seconds": 60 }),
            [_, "/resume"] => json!({}),
            [_, "/alert-configs"] => json!({ "alert_config_ids": [who.free] }),
            ["/keys", ..] | ["/ping-keys", ..] => json!({ "name": "a" }),
            ["/simulate"] => good_simulation(),
            ["/retention"] => json!({ "most_pings": 10, "history_duration": 86_400 }),
            _ => good_monitor(),
        }
    }
}

/// Complete through either door, and for a change.
pub(crate) fn good_monitor() -> Value {
    json!({ "name": "a", "schedule": { "every": 60 }, "expected_duration": 1, "grace_duration": 2 })
}

pub(crate) fn good_simulation() -> Value {
    json!({
        "schedule": { "every": 60 }, "armed": true, "created_at": "2026-11-22T00:00:00Z",
        "until": "2026-11-22T01:00:00Z", "signals": [{ "at": "2026-11-22T00:30:00Z", "kind": "start" }],
    })
}

pub(crate) fn good_alert_config() -> Value {
    json!({ "name": "a", "type": { "webhook": { "url": "http://127.0.0.1:1/hook" } } })
}

pub(crate) fn good_window() -> Value {
    json!({ "name": "a", "cron": "0 3 * * *", "timezone": "Europe/Riga", "duration": 60, "tags": ["a"] })
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::of(CronMon::start().await).await
    }

    /// The same on another server.
    pub(crate) async fn of(cronmon: CronMon) -> Self {
        let ours = Belongings::of(&cronmon, "acme").await;
        let theirs = Belongings::of(&cronmon, "globex").await;
        spool_something(&cronmon).await;
        was_blind(&cronmon).await;
        let before = contents(&cronmon.pool).await;
        for (table, (rows, _)) in &before {
            assert!(*rows > 0, "{table} holds nothing that could be spoiled");
        }
        let token = cronmon.issuer.token("acme");
        Self { cronmon, ours, theirs, token, before }
    }

    /// As the tenant `acme`.
    pub(crate) async fn refused(&self, method: &Method, path: &str, body: impl Into<Body>) -> Refusal {
        let authorization = format!("Bearer {}", self.token);
        self.refused_as(Some(&authorization), method, path, body).await
    }

    /// Sends a request that must be refused, in the one shape, without a trace.
    pub(crate) async fn refused_as(
        &self,
        authorization: Option<&str>,
        method: &Method,
        path: &str,
        body: impl Into<Body>,
    ) -> Refusal {
        let mut request = self
            .cronmon
            .http
            .request(method.clone(), format!("{}/api/v1{path}", self.cronmon.url))
            .body(body);
        if let Some(authorization) = authorization {
            let value = reqwest::header::HeaderValue::from_bytes(authorization.as_bytes()).unwrap();
            request = request.header("authorization", value);
        }
        let response = request.send().await.unwrap_or_else(|e| panic!("{method} {path}: {e:?}"));
        let status = response.status().as_u16();
        assert_eq!(response.headers()["content-type"], "application/json", "{method} {path}: {status}");
        let text = response.text().await.unwrap();
        answers::keep(method, &format!("/api/v1{path}"), status, "application/json", &text);
        let refusal = Refusal::read(&text).unwrap_or_else(|| panic!("{method} {path}: {status} {text}"));
        assert_eq!(refusal.code, status, "{method} {path}: {text}");
        assert!((400..500).contains(&status), "{method} {path}: {status} {text}");
        self.nothing_changed(&format!("{method} {path}")).await;
        refusal
    }

    /// What the database held at first.
    pub(crate) fn before(&self) -> BTreeMap<String, (i64, String)> {
        self.before.clone()
    }

    pub(crate) async fn nothing_changed(&self, what: &str) {
        assert_eq!(contents(&self.cronmon.pool).await, self.before, "{what}");
    }
}

impl Refusal {
    fn read(text: &str) -> Option<Self> {
        let body: Value = serde_json::from_str(text).ok()?;
        let (body, error) = (body.as_object()?, body.get("error")?.as_object()?);
        let text = |field: &str| error.get(field)?.as_str().filter(|text| !text.trim().is_empty());
        let (reason, description) = (text("reason")?.to_owned(), text("description")?.to_owned());
        let code = u16::try_from(error.get("code")?.as_u64()?).ok()?;
        // What was sent may be long; what is said about it is for people.
        let short = description.chars().count() <= 2_000;
        (body.len() == 1 && error.len() == 3 && short).then_some(Self { code, reason, description })
    }
}

/// What late-check would have written of the spool.
async fn spool_something(cronmon: &CronMon) {
    let statement = "insert into revoked_api_key values (sha256('x'), now());
         insert into spool_watch (seen_at, empty_at, waiting) values (now(), now(), 0);
         insert into parked_signal values (gen_random_uuid(), now(), 'no signal', 'x');";
    cronmon.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
}

/// A time of which late-check would have written down that it saw nothing, and what it did not judge.
async fn was_blind(cronmon: &CronMon) {
    let statement = "insert into outage_span (span_id, kind, began_at, ended_at)
         values (gen_random_uuid(), 'blind', now() - interval '1 hour', now());
         insert into unknown_verdict (monitor_id, deadline_at, tenant, span_id)
         select monitor_id, now(), tenant, span_id from monitor, outage_span;";
    cronmon.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
}

impl Belongings {
    async fn of(cronmon: &CronMon, tenant: &str) -> Self {
        let create = async |path: &str, body: Value| {
            let answer = cronmon.call_as(tenant, Method::POST, path, Some(&body)).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            answer.body["data"].clone()
        };
        let attached = create("/alert-configs", good_alert_config()).await;
        let free = create("/alert-configs", good_alert_config()).await;
        let monitor = json!({ "name": "watched", "schedule": { "cron": "0 3 * * *" }, "armed": true });
        let monitor = create("/monitors", monitor).await;
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let monitor_id = text(&monitor["monitor_id"]);
        let attached = text(&attached["alert_config_id"]);
        let path = format!("/monitors/{monitor_id}/alert-configs");
        let body = json!({ "alert_config_ids": [attached] });
        assert_eq!(cronmon.call_as(tenant, Method::POST, &path, Some(&body)).await.status, 204);
        cronmon.ping(&monitor, "/3").await;
        let ping_key = create("/ping-keys", json!({ "name": "a" })).await;
        let api_key = create("/keys", json!({ "name": "a" })).await;
        let body = json!({ "cron": "0 3 * * *", "duration": 60, "monitor_ids": [monitor_id] });
        let window = create("/maintenance-windows", body).await;
        let body = json!({ "most_pings": 5, "history_duration": 100_000 });
        let retention = cronmon.call_as(tenant, Method::PATCH, "/retention", Some(&body)).await;
        assert_eq!(retention.status, 200);
        let path = format!("/monitors/{monitor_id}/pings");
        let pings = cronmon.call_as(tenant, Method::GET, &path, None).await.body;
        let path = format!("/monitors/{monitor_id}/jobs");
        let jobs = cronmon.call_as(tenant, Method::GET, &path, None).await.body;
        Self {
            job: text(&jobs["data"][0]["job_id"]),
            signal: text(&pings["data"][0]["signal_id"]),
            window: text(&window["window_id"]),
            ping_key: text(&ping_key["ping_key_id"]),
            api_key: text(&api_key["api_key_id"]),
            key: text(&api_key["key"]),
            ping_url: text(&monitor["ping_url"]),
            free: text(&free["alert_config_id"]),
            monitor: monitor_id,
            attached,
        }
    }
}
