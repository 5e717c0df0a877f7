//! Why: what was expected, what came, and what that means.

use chrono::Duration;
use cronmon_tests::CronMon;
use reqwest::Method;
use serde_json::{Value, json};

use super::{at, path};

async fn explain(cronmon: &CronMon, monitor: &Value, query: &str) -> Value {
    let answer = cronmon.call(Method::GET, &format!("{}/explain?{query}", path(monitor)), None).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.body["data"].clone()
}

/// The verdict and the sentence of an instant of 22 November.
async fn said(cronmon: &CronMon, monitor: &Value, time: &str) -> String {
    let explained = explain(cronmon, monitor, &format!("at=2026-11-22T{time}Z")).await;
    format!("{}: {}", explained["verdict"].as_str().unwrap(), explained["sentence"].as_str().unwrap())
}

async fn execute(cronmon: &CronMon, statement: &str) {
    cronmon.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
}

/// The sentences of the alerts that were made, the oldest first.
async fn alerts(cronmon: &CronMon) -> Vec<String> {
    let statement = format!(
        "select {} from alert a order by a.at, a.type = 'recovered'",
        database::alerts::ALERT_COLUMNS
    );
    let rows = cronmon.pool.get().await.unwrap().query(&statement, &[]).await.unwrap();
    rows.iter().map(|row| domain::sentence::sentence(&database::alerts::alert_of(row).unwrap())).collect()
}

/// At each time of 22 November a tick, and what is pinged, if anything.
async fn live(cronmon: &CronMon, monitor: &Value, events: &[(&str, Option<&str>)]) {
    for (time, ping) in events {
        cronmon.set_clock(at(&format!("2026-11-22T{time}Z")));
        cronmon.tick().await;
        if let Some(rest) = ping {
            cronmon.ping(monitor, rest).await;
        }
    }
}

const NIGHTLY: [(&str, Option<&str>); 8] = [
    ("01:00:04", Some("/start")),
    ("01:12:00", Some("")),
    ("02:10:01", None),
    ("02:30:00", Some("")),
    ("03:00:00", Some("/start")),
    ("03:40:01", None),
    ("04:00:05", Some("/7")),
    ("05:00:03", Some("/start")),
];

async fn nightly(cronmon: &CronMon) -> Value {
    cronmon.set_clock(at("2026-11-22T00:30:00Z"));
    let body = json!({
        "name": "a", "schedule": { "cron": "0 * * * *" }, "grace_duration": 600, "expected_duration": 1800,
        "armed": true,
    });
    let monitor = cronmon.create(body).await;
    live(cronmon, &monitor, &NIGHTLY).await;
    monitor
}

#[tokio::test(flavor = "multi_thread")]
async fn each_instant_has_its_verdict_and_the_sentence_of_its_alert() {
    let cronmon = CronMon::start().await;
    let monitor = nightly(&cronmon).await;
    let told = alerts(&cronmon).await;
    // The end at 01:12 ended a run, so starts are announced until the one at 02:30 ended none.
    assert_eq!(
        told,
        [
            "expected 02:00:00, nothing came by 02:10:00; last success 01:12:00",
            "succeeded at 02:30:00, 20 min after it was first late at 02:10:00",
            "started 03:00:00, still running at 03:40:00; last success 02:30:00",
            "failed at 04:00:05 with exit status 7, 1 h after its start; last success 02:30:00",
        ]
    );
    cronmon.set_clock(at("2026-11-22T05:10:00Z"));
    for (time, sentence) in [
        ("00:10:00", "nothing_expected: nothing was expected: the monitor was created at 00:30:00"),
        (
            "01:02:00",
            "answered: expected 01:00:00, started 01:00:04, succeeded at 01:12:00, 11 min 56 s later",
        ),
        (
            "01:30:00",
            "answered: expected 01:00:00, started 01:00:04, succeeded at 01:12:00, 11 min 56 s later",
        ),
        ("02:05:00", &format!("missed: {}", told[0])),
        ("02:45:00", &format!("missed: {}", told[0])),
        ("03:20:00", &format!("failed: {}", told[3])),
        ("05:05:00", "running: expected 05:00:00, started 05:00:03, still running, late after 05:40:03"),
        ("07:30:00", "pending: next expected 07:00:00, late after 07:10:00"),
    ] {
        assert_eq!(said(&cronmon, &monitor, time).await, *sentence, "{time}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_explanation_holds_what_was_expected_and_what_came() {
    let cronmon = CronMon::start().await;
    let monitor = nightly(&cronmon).await;
    let explained = explain(&cronmon, &monitor, "at=2026-11-22T02:20:00Z").await;
    assert_eq!(
        explained["expected"],
        json!({
            "slot_at": "2026-11-22T02:00:00Z", "local": "2026-11-22T02:00:00+00:00", "timezone": "UTC",
            "deadline_at": "2026-11-22T02:10:00Z", "waits_duration": 600, "outcome": "missed",
            "clock_change": null,
        })
    );
    let types: Vec<&str> =
        explained["alerts"].as_array().unwrap().iter().map(|alert| alert["type"].as_str().unwrap()).collect();
    assert_eq!(types, ["late", "recovered"]);
    assert_eq!((&explained["came"], &explained["run"]), (&json!([]), &json!(null)));

    let explained = explain(&cronmon, &monitor, "at=2026-11-22T03:20:00Z").await;
    let came: Vec<(&Value, &Value)> = explained["came"]
        .as_array()
        .unwrap()
        .iter()
        .map(|ping| (&ping["kind"], &ping["exit_status"]))
        .collect();
    assert_eq!(came, [(&json!("start"), &json!(null)), (&json!("fail"), &json!(7))]);
    assert_eq!(explained["run"]["overran_at"], "2026-11-22T03:40:00Z");
    assert_eq!(explained["run"]["job_id"], explained["came"][0]["job_id"]);
    let sentences: Vec<&Value> =
        explained["alerts"].as_array().unwrap().iter().map(|alert| &alert["sentence"]).collect();
    let told = alerts(&cronmon).await;
    assert_eq!(sentences, [&json!(told[2]), &json!(told[3])]);
    assert_eq!((&explained["edited_since"], &explained["remarks"]), (&json!(false), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn by_default_it_is_now() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": { "every": 3600 } })).await;
    let now = explain(&cronmon, &monitor, "").await;
    assert_eq!(
        (&now["at"], &now["verdict"], &now["sentence"], &now["status"]),
        (
            &json!("2026-11-22T12:00:00Z"),
            &json!("nothing_expected"),
            &json!("nothing is expected before the first start, success or fail"),
            &json!("new")
        )
    );
    cronmon.ping(&monitor, "").await;
    cronmon.set_clock(at("2026-11-22T12:10:00Z"));
    let now = explain(&cronmon, &monitor, "").await;
    assert_eq!(now["sentence"], "next expected 13:00:00, late after 13:06:00");
    assert_eq!(now["next_expected_at"], "2026-11-22T13:00:00Z");
    cronmon.set_clock(at("2026-11-22T13:02:00Z"));
    let now = explain(&cronmon, &monitor, "").await;
    assert_eq!(now["sentence"], "expected 13:00:00, nothing came yet; late after 13:06:00");
    let none = cronmon.create(json!({ "name": "b", "schedule": null })).await;
    assert_eq!(
        explain(&cronmon, &none, "").await["sentence"],
        "nothing is expected: there is no schedule, and no run was open"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_judged_by_other_rules_is_told_by_its_alert_and_the_rest_says_so() {
    let cronmon = CronMon::start().await;
    let monitor = nightly(&cronmon).await;
    let told = alerts(&cronmon).await;
    cronmon.set_clock(at("2026-11-22T05:30:00Z"));
    let body = json!({
        "name": "a", "expected_duration": null, "grace_duration": 60,
        "schedule": { "cron": "30 4 * * *", "timezone": "Europe/Riga" },
    });
    let answer = cronmon.call(Method::PATCH, &path(&monitor), Some(&body)).await;
    assert_eq!(answer.status, 200);
    cronmon.set_clock(at("2026-11-22T05:40:00Z"));
    // 02:30 in UTC is a slot by the rules of now; the alert is about 02:00.
    let explained = explain(&cronmon, &monitor, "at=2026-11-22T02:20:00Z").await;
    assert_eq!((&explained["sentence"], &explained["verdict"]), (&json!(told[0]), &json!("missed")));
    assert_eq!(explained["expected"]["slot_at"], "2026-11-22T02:00:00Z");
    assert_eq!(
        (&explained["edited_since"], &explained["edited_at"]),
        (&json!(true), &json!("2026-11-22T05:30:00Z"))
    );
    assert_eq!(
        explained["remarks"],
        json!([
            "the monitor was changed at 2026-11-22T05:30:00Z, after this: what no alert says goes by its rules \
                of now"
        ])
    );
    let later = explain(&cronmon, &monitor, "").await;
    assert_eq!((&later["edited_since"], &later["remarks"]), (&json!(false), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_that_an_edit_came_upon_is_not_judged() {
    let cronmon = CronMon::start().await;
    cronmon.set_clock(at("2026-11-22T00:30:00Z"));
    let body = json!({ "name": "a", "schedule": { "cron": "0 * * * *" }, "grace_duration": 600 });
    let monitor = cronmon.create(body).await;
    live(&cronmon, &monitor, &[("01:00:00", Some("")), ("02:05:00", None)]).await;
    let body = json!({ "name": "a", "expected_duration": null, "grace_duration": 601 });
    assert_eq!(cronmon.call(Method::PATCH, &path(&monitor), Some(&body)).await.status, 200);
    live(&cronmon, &monitor, &[("03:00:00", Some(""))]).await;
    assert_eq!(
        said(&cronmon, &monitor, "02:30:00").await,
        "not_judged: expected 02:00:00, but the monitor was changed at 02:05:00, before that was judged"
    );
    assert_eq!(alerts(&cronmon).await, [""; 0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_clock_change_near_a_slot_is_told() {
    let cronmon = CronMon::start().await;
    cronmon.set_clock(at("2026-10-24T12:00:00Z"));
    let schedule = json!({ "cron": "30 2 * * *", "timezone": "Europe/Berlin" });
    let body = json!({ "name": "a", "schedule": schedule, "grace_duration": 7200, "armed": true });
    let monitor = cronmon.create(body).await;
    let explained = explain(&cronmon, &monitor, "at=2026-10-25T00:40:00Z").await;
    assert_eq!(explained["expected"]["local"], "2026-10-25T02:30:00+02:00");
    assert_eq!(
        explained["expected"]["clock_change"],
        json!({
            "at": "2026-10-25T01:00:00Z",
            "sentence": "clocks go back on 25 Oct 2026 from 03:00 to 02:00: 02:30 comes twice, and a run is \
                         expected the first time only",
        })
    );
    assert_eq!(
        explained["sentence"],
        "next expected 25 Oct 02:30:00, late after 25 Oct 03:30:00 (Europe/Berlin)"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn pauses_snoozes_windows_and_blind_times_are_told() {
    let cronmon = CronMon::start().await;
    let monitor = nightly(&cronmon).await;
    let id = monitor["monitor_id"].as_str().unwrap();
    cronmon.set_clock(at("2026-11-22T12:00:00Z"));
    execute(
        &cronmon,
        &format!(
            "update monitor set snooze_ends_at = '2026-11-22T13:00:00Z' where monitor_id = '{id}';
             insert into maintenance_window (window_id, tenant, name, created_at, monitor_ids, duration, starts)
             values (gen_random_uuid(), 'acme', 'upgrade', now(), '{{{id}}}', 3600, '{{2026-11-22T14:00:00Z}}'),
                    (gen_random_uuid(), 'globex', 'theirs', now(), '{{{id}}}', 36000, '{{2026-11-22T14:00:00Z}}');"
        ),
    )
    .await;
    let quiet = async |time: &str| {
        explain(&cronmon, &monitor, &format!("at=2026-11-22T{time}Z")).await["quiet"].clone()
    };
    assert_eq!(
        quiet("12:30:00").await,
        json!({ "because": "snooze", "name": null, "ends_at": "2026-11-22T13:00:00Z" })
    );
    assert_eq!(quiet("13:00:00").await, json!(null));
    assert_eq!(
        quiet("14:59:59").await,
        json!({ "because": "maintenance_window", "name": "upgrade", "ends_at": "2026-11-22T15:00:00Z" })
    );
    assert_eq!(quiet("15:00:00").await, json!(null));

    execute(
        &cronmon,
        &format!(
            "update monitor set paused_at = '2026-11-22T05:30:00Z', resumes_at = '2026-11-22T20:00:00Z'
             where monitor_id = '{id}'"
        ),
    )
    .await;
    let paused = explain(&cronmon, &monitor, "").await;
    assert_eq!(
        (&paused["verdict"], &paused["sentence"], &paused["paused"]),
        (
            &json!("paused"),
            &json!("paused from 05:30:00 to 20:00:00: nothing is judged then"),
            &json!({ "began_at": "2026-11-22T05:30:00Z", "ended_at": "2026-11-22T20:00:00Z" })
        )
    );

    execute(
        &cronmon,
        &format!(
            "update monitor set paused_at = null, resumes_at = null where monitor_id = '{id}';
             insert into outage_span values (
                 '{id}', 'blind', '2026-11-22T06:00:00Z', '2026-11-22T07:00:00Z', null);
             insert into unknown_verdict (monitor_id, deadline_at, tenant, span_id, slot)
             values ('{id}', '2026-11-22T06:10:00Z', 'acme', '{id}', '2026-11-22T06:00:00Z');"
        ),
    )
    .await;
    let unknown = explain(&cronmon, &monitor, "at=2026-11-22T06:05:00Z").await;
    assert_eq!(
        (&unknown["verdict"], &unknown["sentence"]),
        (
            &json!("unknown"),
            &json!(
                "expected 06:00:00, but from 06:00:00 to 07:00:00 CronMon could not see whether pings came in"
            )
        )
    );
}

async fn pause(cronmon: &CronMon, monitor: &Value, time: &str, what: &str) {
    cronmon.set_clock(at(&format!("2026-11-22T{time}Z")));
    let answer = cronmon.call(Method::POST, &format!("{}/{what}", path(monitor)), None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_a_run_that_a_pause_abandoned_it_is_said() {
    let cronmon = CronMon::start().await;
    let monitor = nightly(&cronmon).await;
    // The run of 05:00:03 is open.
    pause(&cronmon, &monitor, "05:20:00", "pause").await;
    assert_eq!(
        said(&cronmon, &monitor, "05:10:00").await,
        "answered: expected 05:00:00, started 05:00:03, abandoned at 05:20:00: the monitor was paused before its \
         end came"
    );
    assert_eq!(
        said(&cronmon, &monitor, "05:20:00").await,
        "paused: paused since 05:20:00: nothing is judged until it is resumed, and the run that started 05:00:03 \
         was abandoned"
    );
    pause(&cronmon, &monitor, "05:50:00", "resume").await;
    assert_eq!(
        said(&cronmon, &monitor, "05:30:00").await,
        "paused: paused from 05:20:00 to 05:50:00: nothing is judged then, and the run that started 05:00:03 was \
         abandoned"
    );

    // One that overran before: its alert is said again, and what became of it is remarked.
    live(&cronmon, &monitor, &[("06:00:00", Some("/start")), ("06:40:01", None)]).await;
    pause(&cronmon, &monitor, "06:45:00", "pause").await;
    pause(&cronmon, &monitor, "06:50:00", "resume").await;
    let explained = explain(&cronmon, &monitor, "at=2026-11-22T06:30:00Z").await;
    assert_eq!(
        explained["sentence"], "started 06:00:00, still running at 06:40:00; last success 02:30:00",
        "{explained:#}"
    );
    let remark =
        "the run that started 06:00:00 was abandoned at 06:45:00: the monitor was paused before its end came";
    assert_eq!(explained["remarks"], json!([remark]));

    // A run without a rid that a newer one made hopeless was abandoned by no pause.
    live(
        &cronmon,
        &monitor,
        &[("07:00:00", Some("/start")), ("07:00:10", Some("/start")), ("07:00:20", Some(""))],
    )
    .await;
    assert_eq!(
        said(&cronmon, &monitor, "07:00:05").await,
        "answered: expected 07:00:00, started 07:00:00, abandoned at 07:00:20: its end had not come"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pause_goes_on_when_its_end_is_moved_and_is_over_with_a_ping_that_may_end_it() {
    let cronmon = CronMon::start().await;
    let paused = async |monitor: &Value, time: &str| {
        explain(&cronmon, monitor, &format!("at=2026-11-22T{time}Z")).await["paused"].clone()
    };
    for resume_on_ping in [true, false] {
        cronmon.set_clock(at("2026-11-22T00:30:00Z"));
        let schedule = json!({ "cron": "0 * * * *" });
        let body = json!({ "name": "a", "schedule": schedule, "resume_on_ping": resume_on_ping });
        let monitor = cronmon.create(body).await;
        live(&cronmon, &monitor, &[("01:00:00", Some(""))]).await;
        pause(&cronmon, &monitor, "01:10:00", "pause").await;
        pause(&cronmon, &monitor, "01:20:00", "pause").await;
        live(&cronmon, &monitor, &[("01:30:00", Some("/log")), ("01:40:00", Some(""))]).await;
        let ended_at = if resume_on_ping { json!("2026-11-22T01:40:00Z") } else { json!(null) };
        let whole = json!({ "began_at": "2026-11-22T01:10:00Z", "ended_at": ended_at });
        for time in ["01:10:00", "01:15:00", "01:25:00", "01:39:59"] {
            assert_eq!(paused(&monitor, time).await, whole, "{resume_on_ping} {time}");
        }
        let after = if resume_on_ping { json!(null) } else { whole };
        assert_eq!(paused(&monitor, "01:40:00").await, after, "{resume_on_ping}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_zone_that_is_wrong_is_guessed_from_the_pings() {
    let cronmon = CronMon::start().await;
    cronmon.set_clock(at("2026-11-10T12:00:00Z"));
    let schedule = json!({ "cron": "0 3 * * *" });
    let monitor = cronmon.create(json!({ "name": "a", "schedule": schedule })).await;
    for day in 11..=16 {
        cronmon.set_clock(at(&format!("2026-11-{day}T02:00:03Z")));
        cronmon.ping(&monitor, "").await;
    }
    let hints = &explain(&cronmon, &monitor, "").await["hints"];
    assert_eq!(
        hints,
        &json!([{
            "about": "zone",
            "sentence": "pings arrive one hour before the slot: is the zone right? It is UTC",
        }])
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_instant_is_422_and_another_tenants_monitor_is_404() {
    let cronmon = CronMon::start().await;
    let monitor = nightly(&cronmon).await;
    for (query, description) in [
        ("at=", "at: it must be an instant like 2026-11-22T12:00:00Z; in a URL a + is written %2B"),
        ("at=1969-12-31T23:59:59Z", "at: it must lie between 1970 and 2100"),
        ("at=2100-01-01T00:00:00Z", "at: it must lie between 1970 and 2100"),
    ] {
        let answer = cronmon.call(Method::GET, &format!("{}/explain?{query}", path(&monitor)), None).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["error"]["description"]),
            (422, &json!(description))
        );
    }
    for what in ["explain", "simulate"] {
        let path = format!("{}/{what}", path(&monitor));
        assert_eq!(cronmon.call_as("globex", Method::GET, &path, None).await.status, 404);
    }
}

/// Whatever the rules, the history and the instant are, there is an answer, and it says what the alert said.
#[tokio::test(flavor = "multi_thread")]
async fn every_alert_of_a_random_history_is_explained_by_its_own_sentence() {
    let cronmon = CronMon::start().await;
    for (schedule, expected) in [
        (json!({ "cron": "*/7 * * * *" }), json!(60)),
        (json!({ "cron": "0 * * * *", "timezone": "America/St_Johns" }), json!(null)),
        (json!({ "every": 500 }), json!(null)),
        (json!(null), json!(200)),
    ] {
        cronmon.set_clock(at("2026-11-22T00:00:00Z"));
        let body = json!({
            "name": "a", "schedule": schedule, "grace_duration": 61, "expected_duration": expected,
            "alert_on": "every", "armed": true,
        });
        let monitor = cronmon.create(body).await;
        let rests = ["", "/start", "/fail", "/start", "/3", "/log", ""];
        for i in 0..60_i64 {
            for _ in 0..(i * 13 % 9) {
                cronmon.set_clock(cronmon.now() + Duration::seconds(97 + i * 31 % 83));
                cronmon.tick().await;
            }
            // Two signals of one instant could each be meant by it.
            cronmon.set_clock(cronmon.now() + Duration::seconds(1));
            cronmon.ping(&monitor, rests[usize::try_from(i * i % 7).unwrap()]).await;
        }
        let id = monitor["monitor_id"].as_str().unwrap();
        let statement = format!(
            "select {}, coalesce(a.slot, a.started_at, a.at) as about from alert a
             where monitor_id = '{id}' and type <> 'recovered'",
            database::alerts::ALERT_COLUMNS
        );
        let rows = cronmon.pool.get().await.unwrap().query(&statement, &[]).await.unwrap();
        assert!(rows.len() > 5, "{schedule}: {}", rows.len());
        for row in &rows {
            let alert = database::alerts::alert_of(row).unwrap();
            let about: chrono::DateTime<chrono::Utc> = row.get("about");
            let query = format!("at={}", about.to_rfc3339_opts(chrono::SecondsFormat::Micros, true));
            let explained = explain(&cronmon, &monitor, &query).await;
            let sentence = domain::sentence::sentence(&alert);
            let told: Vec<&str> = explained["alerts"]
                .as_array()
                .unwrap()
                .iter()
                .map(|alert| alert["sentence"].as_str().unwrap())
                .collect();
            assert!(told.contains(&sentence.as_str()), "{schedule} {query}: {sentence}: {explained:#}");
        }
    }
}
