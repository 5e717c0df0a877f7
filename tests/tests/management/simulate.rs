//! What alerts there would have been: over given signals, and over a monitor's own history.

use std::time::Instant;

use chrono::Duration;
use cronmon_tests::CronMon;
use reqwest::Method;
use serde_json::{Value, json};

use super::{at, path, texts};

async fn simulate(cronmon: &CronMon, body: Value) -> Value {
    let answer = cronmon.call(Method::POST, "/simulate", Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].clone()
}

async fn refused(cronmon: &CronMon, body: Value) -> String {
    let answer = cronmon.call(Method::POST, "/simulate", Some(&body)).await;
    assert_eq!(answer.status, 422, "{}", answer.body);
    answer.body["error"]["description"].as_str().unwrap().to_owned()
}

async fn over_history(cronmon: &CronMon, monitor: &Value, query: &str) -> Value {
    let answer = cronmon.call(Method::GET, &format!("{}/simulate?{query}", path(monitor)), None).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.body["data"].clone()
}

fn sentences(simulated: &Value) -> Vec<&str> {
    let alerts = simulated["alerts"].as_array().unwrap();
    alerts.iter().map(|alert| alert["sentence"].as_str().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_make_the_alerts_that_a_monitor_would_make_of_them() {
    let cronmon = CronMon::start().await;
    let simulated = simulate(
        &cronmon,
        json!({
            "name": "backup",
            "schedule": { "cron": "0 3 * * *", "timezone": "Europe/Riga" },
            "expected_duration": 1800, "armed": true, "tags": ["nightly"],
            "created_at": "2026-11-20T12:00:00Z", "until": "2026-11-23T01:59:00Z",
            // In no order.
            "signals": [
                { "at": "2026-11-22T03:20:00+02:00", "kind": "fail", "exit_status": 3 },
                { "at": "2026-11-21T02:30:00Z", "kind": "success" },
                { "at": "2026-11-22T01:00:05Z", "kind": "start" },
                { "at": "2026-11-22T01:10:00Z", "kind": "log" },
            ],
        }),
    )
    .await;
    assert_eq!(
        simulated,
        json!({
            "since": "2026-11-20T12:00:00Z", "until": "2026-11-23T01:59:00Z",
            "status": "failed", "running": false, "open_runs": 0, "armed": true, "paused": false,
            "next_expected_at": "2026-11-23T01:00:00Z", "due_at": "2026-11-23T02:00:00Z",
            "alert_counts": { "failed": 1, "late": 0, "recovered": 0, "warning": 0 },
            "alerts": [{
                "type": "failed", "cause": "failed", "at": "2026-11-22T01:20:00Z",
                "sentence": "failed at 03:20:00 with exit status 3, 19 min 55 s after its start; last success \
                             21 Nov 04:30:00 (Europe/Riga)",
            }],
            "grace_duration": 3600,
            "warnings": [],
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_at_the_end_has_fallen_due() {
    let cronmon = CronMon::start().await;
    let body = |until: &str| {
        json!({
            "schedule": { "every": 3600 }, "grace_duration": 600, "until": until,
            "signals": [{ "at": "2026-11-22T00:00:00Z", "kind": "success" }],
        })
    };
    let before = simulate(&cronmon, body("2026-11-22T01:09:59.999999Z")).await;
    assert_eq!((&before["status"], sentences(&before).len()), (&json!("up"), 0));
    assert_eq!(before["due_at"], "2026-11-22T01:10:00Z");
    let after = simulate(&cronmon, body("2026-11-22T01:10:00Z")).await;
    assert_eq!(after["status"], "late");
    assert_eq!(sentences(&after), ["expected 01:00:00, nothing came by 01:10:00; last success 00:00:00"]);
    // Without an end it is over with the last signal; without signals at once.
    let nothing = simulate(&cronmon, json!({ "schedule": null, "signals": [], "signal": 1 })).await;
    assert_eq!(nothing["until"], "2026-11-22T12:00:00Z");
    assert_eq!(texts(&nothing["warnings"]), ["unknown field 'signal' was ignored: did you mean 'signals'?"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_asks_for_too_much_is_422_and_hears_the_limit() {
    let cronmon = CronMon::start().await;
    let every_second = |alert_on: &str| {
        json!({
            "schedule": { "every": 1 }, "armed": true, "alert_on": alert_on, "signals": [],
            "created_at": "2025-11-22T00:00:00Z", "until": "2026-11-22T00:00:00Z",
        })
    };
    assert_eq!(
        refused(&cronmon, every_second("every")).await,
        "until: more than 10000 deadlines pass: take less time, or a schedule with fewer slots"
    );
    assert_eq!(sentences(&simulate(&cronmon, every_second("first")).await).len(), 1);
    let signals = |count: i64, kind: &str, distance: i64| -> Vec<Value> {
        let begin = at("2026-01-01T00:00:00Z");
        let rid = |i: i64| uuid::Uuid::from_u128(i.try_into().unwrap());
        let signal =
            |i| json!({ "at": begin + Duration::seconds(i * distance), "kind": kind, "rid": rid(i) });
        (0..count).map(signal).collect()
    };
    let body = |signals: Vec<Value>| json!({ "schedule": null, "expected_duration": 60, "signals": signals });
    assert_eq!(refused(&cronmon, body(signals(5_001, "log", 1))).await, "signals: there are more than 5000");
    // The worst that is taken: runs that all stay open, and a slot that is long to look for.
    for schedule in [json!(null), json!({ "every": 7200 }), json!({ "cron": "0 0 */31 1 1" })] {
        for alert_on in ["every", "first"] {
            let body = json!({
                "schedule": schedule, "expected_duration": 86_400, "grace_duration": 60, "alert_on": alert_on,
                "signals": signals(5_000, "start", 6_000),
            });
            let before = Instant::now();
            let simulated = simulate(&cronmon, body).await;
            println!("{schedule} {alert_on}: {:?}", before.elapsed());
            assert!(before.elapsed().as_secs() < 20, "{schedule} {alert_on}: {:?}", before.elapsed());
            assert_eq!(simulated["open_runs"], 1_000);
            assert!(sentences(&simulated).len() <= 1_000);
        }
    }
    let year = json!({
        "schedule": null, "signals": [], "created_at": "2024-01-01T00:00:00Z", "until": "2025-01-02T00:00:01Z",
    });
    assert_eq!(refused(&cronmon, year).await, "until: it lies more than 366 days after the beginning");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_simulated_is_422_and_named() {
    let cronmon = CronMon::start().await;
    let signal = |signal: Value| json!({ "schedule": null, "signals": [signal] });
    for (body, description) in [
        (json!({ "schedule": null }), "signals: the field is missing"),
        (
            json!({ "signals": [] }),
            "expected_duration: the field is missing; only a body with a schedule can do without it",
        ),
        (
            json!({ "schedule": null, "signals": [], "grace_duration": -1 }),
            "grace_duration: it must be from 0 to 31622400 seconds (366 days)",
        ),
        (
            signal(json!({ "at": "2026-11-22T00:00:00Z", "kind": "begin" })),
            "signals: number 1: kind is one of start, success, fail and log",
        ),
        (
            signal(json!({ "at": "yesterday", "kind": "start" })),
            "signals: number 1: at: it must be an instant like 2026-11-22T12:00:00Z",
        ),
        (signal(json!({ "kind": "start" })), "signals: number 1: missing field `at`"),
        (
            signal(json!({ "at": "2026-11-22T00:00:00Z", "kind": "fail", "exit": 3 })),
            "signals: number 1: unknown field `exit`, expected one of `at`, `kind`, `rid`, `exit_status`",
        ),
        (
            signal(json!({ "at": "1026-11-22T00:00:00Z", "kind": "fail" })),
            "signals: it must lie between 1970 and 2100",
        ),
        (
            json!({ "schedule": null, "until": "2026-11-21T00:00:00Z",
                    "signals": [{ "at": "2026-11-22T00:00:00Z", "kind": "fail" }] }),
            "signals: one came after until",
        ),
        (
            json!({ "schedule": null, "created_at": "2026-11-23T00:00:00Z",
                    "signals": [{ "at": "2026-11-22T00:00:00Z", "kind": "fail" }] }),
            "signals: one came before created_at",
        ),
    ] {
        assert_eq!(refused(&cronmon, body.clone()).await, description, "{body}");
    }
}

/// Hourly, of which three are 20 minutes late and one does not come at all.
async fn with_a_history(cronmon: &CronMon) -> Value {
    cronmon.set_clock(at("2026-11-22T00:30:00Z"));
    let body = json!({ "name": "a", "schedule": { "cron": "0 * * * *" }, "grace_duration": 300 });
    let monitor = cronmon.create(body).await;
    let pings = ["01:00", "02:20", "03:00", "04:20", "05:00", "06:20", "07:00", "09:00", "10:00"];
    for time in pings {
        let now = at(&format!("2026-11-22T{time}:00Z"));
        // As the ticks of every second would.
        for minute in 0..60 {
            cronmon.set_clock(now - Duration::minutes(60 - minute));
            cronmon.tick().await;
        }
        cronmon.set_clock(now);
        cronmon.tick().await;
        cronmon.ping(&monitor, "").await;
    }
    cronmon.set_clock(at("2026-11-22T10:02:00Z"));
    monitor
}

#[tokio::test(flavor = "multi_thread")]
async fn other_rules_over_the_history_of_a_monitor() {
    let cronmon = CronMon::start().await;
    let monitor = with_a_history(&cronmon).await;
    let as_it_is = over_history(&cronmon, &monitor, "").await;
    assert_eq!(as_it_is["alert_counts"], json!({ "failed": 0, "late": 4, "recovered": 4, "warning": 0 }));
    // The model says what there was.
    assert_eq!(as_it_is["recorded_counts"], as_it_is["alert_counts"]);
    assert_eq!(as_it_is["sentence"], "4 alerts of bad news by these rules, in place of 4");
    assert_eq!(
        (&as_it_is["since"], &as_it_is["until"]),
        (&json!("2026-11-22T00:30:00Z"), &json!("2026-11-22T10:02:00Z"))
    );
    let patient = over_history(&cronmon, &monitor, "grace_duration=1800").await;
    assert_eq!(patient["sentence"], "1 alert of bad news by these rules, in place of 4");
    assert_eq!(
        sentences(&patient),
        [
            "expected 08:00:00, nothing came by 08:30:00; last success 07:00:00",
            "succeeded at 09:00:00, 30 min after it was first late at 08:30:00",
        ]
    );
    let rare = over_history(&cronmon, &monitor, "cron=0+*/3+*+*+*&failure_threshold=2").await;
    assert_eq!(rare["alert_counts"]["late"], 0);
    let tight = over_history(&cronmon, &monitor, "every=600&alert_on=every&grace_duration=0").await;
    assert_eq!(tight["alert_counts"]["late"], 46);
    // What came before `since` is known, and not told.
    let part =
        over_history(&cronmon, &monitor, "since=2026-11-22T05:30:00Z&until=2026-11-22T08:02:00Z").await;
    assert_eq!(part["alert_counts"], json!({ "failed": 0, "late": 1, "recovered": 1, "warning": 0 }));
    assert_eq!(part["recorded_counts"], part["alert_counts"]);
    assert_eq!(part["next_expected_at"], "2026-11-22T08:00:00Z");
    let odd = over_history(&cronmon, &monitor, "grace_duraton=1800").await;
    let warning = "unknown field 'grace_duraton' was ignored: did you mean 'grace_duration'?";
    assert_eq!(texts(&odd["warnings"]), [warning]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_history_that_is_too_long_or_rules_that_can_not_be_are_422() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": { "every": 3600 } })).await;
    let statement = format!(
        "insert into signal (monitor_id, signal_id, received_at, kind)
         select '{}', gen_random_uuid(), '2026-11-22T12:00:00Z'::timestamptz + make_interval(secs => n), 'success'
         from generate_series(1, 5001) n",
        monitor["monitor_id"].as_str().unwrap()
    );
    cronmon.pool.get().await.unwrap().batch_execute(&statement).await.unwrap();
    cronmon.set_clock(at("2026-11-23T12:00:00Z"));
    for (query, description) in [
        ("", "since: more than 5000 pings came since then; the limit is that"),
        ("since=2026-11-24T00:00:00Z", "until: it lies before the beginning"),
        ("since=2024-11-24T00:00:00Z", "since: more than 5000 pings came since then; the limit is that"),
        ("grace_duration=x", "grace_duration: invalid type: string \"x\", expected i64"),
        ("alert_on=some", "alert_on: it must be 'every' or 'first'"),
        ("every=0", "schedule: every must be from 1 to 31622400 seconds, not 0"),
        ("timezone=UTC", "timezone: it goes with cron alone"),
        ("until=2200-01-01T00:00:00Z", "until: it must lie between 1970 and 2100"),
    ] {
        let answer = cronmon.call(Method::GET, &format!("{}/simulate?{query}", path(&monitor)), None).await;
        assert_eq!(answer.status, 422, "{query}: {}", answer.body);
        assert_eq!(answer.body["error"]["description"], description, "{query}");
    }
    let some = over_history(&cronmon, &monitor, "since=2026-11-22T12:00:02Z").await;
    assert_eq!(some["alert_counts"]["late"], 1);
}
