//! Maintenance windows as their owner makes, reads, changes and deletes them.

use chrono::Duration;
use cronmon_tests::CronMon;
use cronmon_tests::contents::{contents, count};
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::quiet::Watched;
use super::{at, texts};

const WINDOWS: &str = "/maintenance-windows";

fn path(window: &Value) -> String {
    format!("{WINDOWS}/{}", window["window_id"].as_str().unwrap())
}

async fn create(cronmon: &CronMon, body: Value) -> Value {
    let answer = cronmon.call(Method::POST, WINDOWS, Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let window = answer.body["data"].clone();
    assert_eq!(read(cronmon, &window).await, window);
    window
}

async fn read(cronmon: &CronMon, window: &Value) -> Value {
    let answer = cronmon.call(Method::GET, &path(window), None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    answer.body["data"].clone()
}

async fn change(cronmon: &CronMon, window: &Value, body: Value) -> Value {
    let answer = cronmon.call(Method::PATCH, &path(window), Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(read(cronmon, window).await, without_unknown(&answer.body["data"]));
    answer.body["data"].clone()
}

/// What a change says of unknown fields is said once.
fn without_unknown(window: &Value) -> Value {
    let mut window = window.clone();
    window["warnings"].as_array_mut().unwrap().retain(|text| !text.as_str().unwrap().starts_with("unknown"));
    window
}

/// `window` but for these fields.
fn with(window: &Value, fields: &Value) -> Value {
    let mut window = window.clone();
    window.as_object_mut().unwrap().append(&mut fields.as_object().unwrap().clone());
    window
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_comes_once_has_a_start_and_an_end_or_a_duration() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    let id = &monitor["monitor_id"];
    let by_end = create(
        &cronmon,
        json!({
            "name": "new disks", "starts_at": "2026-11-22T22:00:00+02:00", "ends_at": "2026-11-22T23:30:00Z",
            "monitor_ids": [id, id],
        }),
    )
    .await;
    let mut shown = by_end.clone();
    shown.as_object_mut().unwrap().remove("window_id").unwrap();
    assert_eq!(
        shown,
        json!({
            "name": "new disks", "created_at": "2026-11-22T12:00:00Z", "starts_at": "2026-11-22T20:00:00Z",
            "ends_at": "2026-11-22T23:30:00Z", "cron": null, "timezone": null, "duration": 12_600,
            "monitor_ids": [id], "tags": [], "in_force": false, "next_starts_at": "2026-11-22T20:00:00Z",
            "next_ends_at": "2026-11-22T23:30:00Z", "monitors": 1, "warnings": [],
        })
    );
    let by_duration =
        create(&cronmon, json!({ "starts_at": "2026-11-22T11:59:59.5Z", "duration": 1, "tags": ["a", "a"] }))
            .await;
    assert_eq!(
        without_id(&by_duration),
        json!({
            "name": "", "created_at": "2026-11-22T12:00:00Z", "starts_at": "2026-11-22T11:59:59.500Z",
            "ends_at": "2026-11-22T12:00:00.500Z", "cron": null, "timezone": null, "duration": 1,
            "monitor_ids": [], "tags": ["a"], "in_force": true, "next_starts_at": null,
            "next_ends_at": "2026-11-22T12:00:00.500Z", "monitors": 0, "warnings": ["it covers no monitor as yet"],
        })
    );
    cronmon.set_clock(at("2026-11-22T12:00:00.5Z"));
    let over = read(&cronmon, &by_duration).await;
    assert_eq!((&over["in_force"], &over["next_ends_at"]), (&json!(false), &json!(null)));
    assert_eq!(texts(&over["warnings"]), ["it is over", "it covers no monitor as yet"]);
}

fn without_id(window: &Value) -> Value {
    let mut window = window.clone();
    window.as_object_mut().unwrap().remove("window_id").unwrap();
    window
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_that_comes_again_has_a_cron_expression_a_duration_and_a_zone() {
    let cronmon = CronMon::start().await;
    cronmon.create(json!({ "name": "a", "schedule": null, "tags": ["db"] })).await;
    let body =
        json!({ "cron": "0  22 * * 0", "timezone": "Europe/Riga", "duration": 7200, "tags": ["db", "web"] });
    let window = create(&cronmon, body).await;
    assert_eq!(
        without_id(&window),
        json!({
            "name": "", "created_at": "2026-11-22T12:00:00Z", "starts_at": null, "ends_at": null,
            "cron": "0 22 * * 0", "timezone": "Europe/Riga", "duration": 7200, "monitor_ids": [],
            "tags": ["db", "web"], "in_force": false, "next_starts_at": "2026-11-22T20:00:00Z",
            "next_ends_at": "2026-11-22T22:00:00Z", "monitors": 1, "warnings": [],
        })
    );
    cronmon.set_clock(at("2026-11-22T21:00:00Z"));
    let active = read(&cronmon, &window).await;
    assert_eq!(active["in_force"], true);
    assert_eq!(active["next_starts_at"], "2026-11-29T20:00:00Z");
    assert_eq!(active["next_ends_at"], "2026-11-22T22:00:00Z");

    // One of a moment ago is in force.
    let body = json!({ "cron": "0 21 * * *", "duration": 1, "tags": ["db"] });
    let window = create(&cronmon, body).await;
    assert_eq!(window["in_force"], true);
    assert_eq!(window["timezone"], "UTC");
    assert_eq!(texts(&window["warnings"]), ["no timezone was given: cron is read in UTC"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_without_a_break_is_warned_of() {
    let cronmon = CronMon::start().await;
    cronmon.create(json!({ "name": "a", "schedule": null, "tags": ["db"] })).await;
    let body = json!({ "cron": "@hourly", "timezone": "UTC", "duration": 3600, "tags": ["db"] });
    let window = create(&cronmon, body).await;
    let warning =
        "each time goes over into the next: nobody is told anything until 2026-11-25T05:00:00Z at least";
    assert_eq!(texts(&window["warnings"]), [warning]);
    assert!(texts(&change(&cronmon, &window, json!({ "duration": 3599 })).await["warnings"]).is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_keeps_what_it_does_not_mention() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null, "tags": ["db"] })).await;
    let ids = json!([monitor["monitor_id"]]);
    let body = json!({
        "name": "a", "starts_at": "2026-11-22T13:00:00Z", "duration": 60, "tags": ["db"], "monitor_ids": ids,
    });
    let window = create(&cronmon, body).await;
    // What was read may be sent back.
    let echo = change(&cronmon, &window, window.clone()).await;
    assert_eq!(without_unknown(&echo), window);

    let moved = json!({ "starts_at": "2026-11-22T14:00:00Z" });
    let times = json!({
        "starts_at": "2026-11-22T14:00:00Z", "ends_at": "2026-11-22T14:01:00Z",
        "next_starts_at": "2026-11-22T14:00:00Z", "next_ends_at": "2026-11-22T14:01:00Z",
    });
    let window = with(&window, &times);
    assert_eq!(change(&cronmon, &window, moved).await, window);
    for (body, fields) in [
        (json!({ "name": null }), json!({ "name": "" })),
        (json!({ "tags": null }), json!({ "tags": [] })),
        (
            json!({ "tags": ["x"], "monitor_ids": [] }),
            json!({ "tags": ["x"], "monitor_ids": [], "monitors": 0 }),
        ),
    ] {
        let changed = change(&cronmon, &window, body).await;
        for (field, value) in fields.as_object().unwrap() {
            assert_eq!(&changed[field], value, "{field}");
        }
        assert_eq!(changed["ends_at"], "2026-11-22T14:01:00Z");
    }
    let longer = change(&cronmon, &window, json!({ "ends_at": "2026-11-22T15:00:00Z" })).await;
    assert_eq!((&longer["duration"], &longer["starts_at"]), (&json!(3600), &json!("2026-11-22T14:00:00Z")));

    // From once to again and back.
    let again = change(&cronmon, &window, json!({ "cron": "0 3 * * *", "timezone": "Europe/Riga" })).await;
    assert_eq!(
        (&again["cron"], &again["duration"], &again["starts_at"], &again["next_starts_at"]),
        (&json!("0 3 * * *"), &json!(3600), &json!(null), &json!("2026-11-23T01:00:00Z"))
    );
    let echo = change(&cronmon, &window, again.clone()).await;
    assert_eq!(without_unknown(&echo), again);
    let other_zone = change(&cronmon, &window, json!({ "timezone": "Europe/Berlin" })).await;
    assert_eq!(other_zone["next_starts_at"], "2026-11-23T02:00:00Z");
    let kept_zone = change(&cronmon, &window, json!({ "cron": "0 4 * * *", "duration": 30 })).await;
    assert_eq!((&kept_zone["timezone"], &kept_zone["duration"]), (&json!("Europe/Berlin"), &json!(30)));
    let once = change(&cronmon, &window, json!({ "starts_at": "2026-11-22T16:00:00Z" })).await;
    assert_eq!((&once["cron"], &once["timezone"]), (&json!(null), &json!(null)));
    assert_eq!(once["ends_at"], "2026-11-22T16:00:30Z");

    // One that is over can still be renamed, and not be moved into the past.
    cronmon.set_clock(at("2026-11-22T17:00:00Z"));
    assert_eq!(change(&cronmon, &window, json!({ "name": "disks" })).await["name"], "disks");
    let answer = cronmon.call(Method::PATCH, &path(&window), Some(&json!({ "duration": 31 }))).await;
    assert_eq!(answer.status, 422);
    assert_eq!(answer.body["error"]["description"], "ends_at: the window would be over already");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_comes_with_the_newest_first_and_holds_ones_own() {
    let cronmon = CronMon::start().await;
    let mut windows = Vec::new();
    for name in ["a", "b", "c"] {
        let body =
            json!({ "name": name, "cron": "@daily", "timezone": "UTC", "duration": 60, "tags": ["x"] });
        windows.insert(0, create(&cronmon, body.clone()).await);
        cronmon.call_as("globex", Method::POST, WINDOWS, Some(&body)).await;
        cronmon.set_clock(cronmon.now() + Duration::seconds(1));
    }
    let list = cronmon.call(Method::GET, WINDOWS, None).await;
    for window in &mut windows {
        // Counted only where one is read.
        window.as_object_mut().unwrap().remove("monitors").unwrap();
        window["warnings"] = json!([]);
    }
    assert_eq!(
        (list.status.as_u16(), list.body),
        (200, json!({ "data": windows, "paging": { "total": 3, "next_cursor": null } }))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_window_and_monitors_are_unknown_and_nothing_changes() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null, "tags": ["db"] })).await;
    let body = json!({ "starts_at": "2026-11-22T12:00:00Z", "duration": 60, "tags": ["db"] });
    let window = create(&cronmon, body).await;
    let before = contents(&cronmon.pool).await;
    let unknown = json!({ "window_id": Uuid::new_v4().to_string() });
    for (whose, window) in [("globex", &window), ("acme", &unknown)] {
        let body = json!({ "name": "b", "tags": ["x"] });
        for (method, body) in [(Method::GET, None), (Method::PATCH, Some(&body)), (Method::DELETE, None)] {
            let answer = cronmon.call_as(whose, method.clone(), &path(window), body).await;
            let id = window["window_id"].as_str().unwrap();
            let error = json!({ "error": {
                "code": 404, "reason": "Maintenance Window Not Found",
                "description": format!("Failed to find maintenance window with id '{id}'"),
            } });
            assert_eq!((answer.status.as_u16(), answer.body), (404, error), "{whose} {method}");
        }
    }
    let id = monitor["monitor_id"].as_str().unwrap();
    let body = json!({ "starts_at": "2026-11-22T12:00:00Z", "duration": 60, "monitor_ids": [id] });
    let answer = cronmon.call_as("globex", Method::POST, WINDOWS, Some(&body)).await;
    assert_eq!(answer.status, 422);
    let why = format!("monitor_ids: there is no monitor with id '{id}'");
    assert_eq!(answer.body["error"]["description"], why);
    assert_eq!(contents(&cronmon.pool).await, before);

    // Nor does one of another tenant with the same tag silence anything.
    let mut it = Watched::of(json!({ "name": "a", "schedule": null, "tags": ["db"] })).await;
    let body = json!({ "starts_at": "2026-11-22T12:00:00Z", "duration": 600, "tags": ["db"] });
    assert_eq!(it.cronmon.call_as("globex", Method::POST, WINDOWS, Some(&body)).await.status, 200);
    assert_eq!(it.ping("12:01:00", "/fail").await, ["failed failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn there_are_at_most_200_and_those_long_over_make_room() {
    let cronmon = CronMon::start().await;
    let body = json!({ "starts_at": "2026-11-22T12:00:00Z", "duration": 60, "tags": ["x"] });
    for _ in 0..195 {
        assert_eq!(cronmon.call(Method::POST, WINDOWS, Some(&body)).await.status, 200);
    }
    // The last five places are taken by five of ten that come at once.
    let ten = (0..10).map(|_| cronmon.call(Method::POST, WINDOWS, Some(&body)));
    let mut made: Vec<u16> = join_all(ten).await.iter().map(|answer| answer.status.as_u16()).collect();
    made.sort_unstable();
    assert_eq!(made, [200, 200, 200, 200, 200, 422, 422, 422, 422, 422]);
    let refused = cronmon.call(Method::POST, WINDOWS, Some(&body)).await;
    let why = "There are 200 maintenance windows already, and no more may be; delete one.";
    assert_eq!(refused.body["error"]["description"], why);
    assert_eq!(cronmon.call_as("globex", Method::POST, WINDOWS, Some(&body)).await.status, 200);

    cronmon.set_clock(at("2026-11-24T12:01:01Z"));
    let body = json!({ "name": "new", "starts_at": "2026-11-24T13:00:00Z", "duration": 60, "tags": ["x"] });
    create(&cronmon, body).await;
    let list = cronmon.call(Method::GET, WINDOWS, None).await.body;
    assert_eq!((&list["paging"]["total"], &list["data"][0]["name"]), (&json!(200), &json!("new")));
    let theirs = "select count(*) from maintenance_window where tenant = 'globex'";
    assert_eq!(count(&cronmon.pool, theirs).await, 1);
}

async fn execute(cronmon: &CronMon, statement: &str) {
    cronmon.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
}

/// A monitor with a tag that failed in a window over it, of which nobody was told.
async fn held_in_a_window() -> (Watched, Value) {
    let mut it = Watched::of(json!({ "name": "a", "schedule": null, "tags": ["db"] })).await;
    let body = json!({ "starts_at": "2026-11-22T12:00:00Z", "duration": 3600, "tags": ["db"] });
    let window = it.window("12:00:00", body).await;
    assert_eq!(it.ping("12:01:00", "/fail").await.len(), 0);
    (it, window)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_held_is_looked_at_anew_only_when_the_quiet_changes() {
    let (mut it, window) = held_in_a_window().await;
    it.cronmon.set_clock(at("2026-11-22T12:10:00Z"));
    let monitors = "select sum(revision)::bigint from monitor where held_until = '2026-11-22T13:00:00Z'";
    let before = count(&it.cronmon.pool, monitors).await;
    change(&it.cronmon, &window, json!({ "name": "disks" })).await;
    let unknown = format!("{WINDOWS}/{}", Uuid::new_v4());
    for (method, body) in [(Method::PATCH, Some(json!({ "tags": ["x"] }))), (Method::DELETE, None)] {
        assert_eq!(it.cronmon.call(method, &unknown, body.as_ref()).await.status, 404);
    }
    // A new one goes on after the end of the other, without being looked at before.
    let next = json!({ "starts_at": "2026-11-22T12:59:00Z", "duration": 3600, "tags": ["db"] });
    let next = it.window("12:10:00", next).await;
    assert_eq!(count(&it.cronmon.pool, monitors).await, before, "nobody touched the monitor");
    assert_eq!(it.tick("13:00:01").await.len(), 0, "the other window goes on");

    let changed = json!({ "tags": ["web"] });
    it.cronmon.set_clock(at("2026-11-22T13:10:00Z"));
    change(&it.cronmon, &next, changed).await;
    assert_eq!(it.tick("13:10:01").await, ["failed failed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_end_that_is_moved_tells_with_the_next_tick() {
    let ends_at = json!({ "ends_at": "2026-11-22T12:10:01Z" });
    for (method, body) in [(Method::PATCH, Some(ends_at)), (Method::DELETE, None)] {
        let (mut it, window) = held_in_a_window().await;
        it.cronmon.set_clock(at("2026-11-22T12:10:00Z"));
        let answer = it.cronmon.call(method.clone(), &path(&window), body.as_ref()).await;
        assert!(answer.status.is_success(), "{}", answer.body);
        assert_eq!(it.tick("12:10:02").await, ["failed failed"], "{method}");
        assert_eq!(it.tick("13:00:01").await.len(), 0, "once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn many_monitors_are_looked_at_in_batches_after_the_window_is_gone() {
    let (it, window) = held_in_a_window().await;
    let cronmon = std::sync::Arc::new(it.cronmon);
    execute(
        &cronmon,
        "insert into monitor select (jsonb_populate_record(m, jsonb_build_object(
             'monitor_id', gen_random_uuid(), 'ping_id', gen_random_uuid(), 'slug', 'm-' || n))).*
         from monitor m, generate_series(1, 1199) n;
         insert into alert select (jsonb_populate_record(a, jsonb_build_object(
             'alert_id', gen_random_uuid(), 'monitor_id', m.monitor_id))).*
         from alert a, monitor m where m.monitor_id <> a.monitor_id;",
    )
    .await;
    cronmon.set_clock(at("2026-11-22T12:10:00Z"));
    // Somebody holds one of the second batch.
    let mut other = cronmon.pool.get().await.unwrap();
    let held = other.transaction().await.unwrap();
    held.batch_execute(
        "select from monitor
         where monitor_id = (select monitor_id from monitor order by monitor_id offset 700 limit 1) for update",
    )
    .await
    .unwrap();
    let deleting = tokio::spawn({
        let (cronmon, path) = (cronmon.clone(), path(&window));
        async move { cronmon.call(Method::DELETE, &path, None).await.status }
    });
    let looked_at = "select count(*) from monitor where held_until = '2026-11-22T12:10:00Z'";
    while count(&cronmon.pool, looked_at).await == 0 {
        assert!(!deleting.is_finished());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(count(&cronmon.pool, looked_at).await, 500, "those of the first batch");
    assert_eq!(count(&cronmon.pool, "select count(*) from maintenance_window").await, 0);
    let first = "select from monitor order by monitor_id limit 500 for update nowait";
    execute(&cronmon, first).await;
    held.rollback().await.unwrap();
    assert_eq!(deleting.await.unwrap(), 204);
    assert_eq!(count(&cronmon.pool, looked_at).await, 1200);
    cronmon.set_clock(at("2026-11-22T12:10:01Z"));
    cronmon.tick().await;
    assert_eq!(count(&cronmon.pool, "select count(*) from alert where held").await, 0);
    assert_eq!(count(&cronmon.pool, "select count(*) from delivery").await, 1200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_window_beside_the_deletion_of_a_monitor_waits_for_it_and_holds_no_window_meanwhile() {
    let cronmon = std::sync::Arc::new(CronMon::start().await);
    let monitor = cronmon.create(json!({ "name": "a", "schedule": null })).await;
    let id = monitor["monitor_id"].as_str().unwrap();
    let body = json!({ "starts_at": "2026-11-22T12:00:00Z", "duration": 60, "monitor_ids": [id] });
    create(&cronmon, body).await;
    execute(
        &cronmon,
        "insert into maintenance_window select (jsonb_populate_record(w, jsonb_build_object(
             'window_id', gen_random_uuid()))).*
         from maintenance_window w, generate_series(1, 199)",
    )
    .await;
    // All are over for so long that one makes room.
    cronmon.set_clock(at("2026-11-24T12:01:01Z"));
    let mut other = cronmon.pool.get().await.unwrap();
    let deletion = other.transaction().await.unwrap();
    deletion.batch_execute(&format!("delete from monitor where monitor_id = '{id}'")).await.unwrap();
    let creating = tokio::spawn({
        let body = json!({ "starts_at": "2026-11-24T13:00:00Z", "duration": 60, "monitor_ids": [id] });
        let cronmon = cronmon.clone();
        async move { cronmon.call(Method::POST, WINDOWS, Some(&body)).await }
    });
    let waits = "select count(*) from pg_stat_activity
        where datname = current_database() and wait_event_type = 'Lock'";
    while count(&cronmon.pool, waits).await == 0 {
        assert!(!creating.is_finished());
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let forget = format!("update maintenance_window set monitor_ids = array_remove(monitor_ids, '{id}')");
    deletion.batch_execute(&forget).await.unwrap();
    deletion.commit().await.unwrap();
    let answer = creating.await.unwrap();
    let why = format!("monitor_ids: there is no monitor with id '{id}'");
    assert_eq!((answer.status.as_u16(), &answer.body["error"]["description"]), (422, &json!(why)));
    assert_eq!(count(&cronmon.pool, "select count(*) from maintenance_window").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_change_that_changes_nothing_is_refused_with_what_could_be_changed() {
    let cronmon = CronMon::start().await;
    let body = json!({ "starts_at": "2026-11-22T13:00:00Z", "duration": 60, "tags": ["x"] });
    let window = create(&cronmon, body).await;
    let fields = "name, starts_at, ends_at, duration, cron, timezone, monitor_ids, tags";
    for (body, why) in [
        (json!({}), format!("The body changes nothing: give at least one of {fields}.")),
        (
            json!({ "nmae": "disks", "x": 1 }),
            format!(
                "The body changes nothing: give at least one of {fields} (unknown field 'nmae' was ignored: did \
                 you mean 'name'?, unknown field 'x' was ignored)."
            ),
        ),
    ] {
        let answer = cronmon.call(Method::PATCH, &path(&window), Some(&body)).await;
        assert_eq!((answer.status.as_u16(), &answer.body["error"]["description"]), (422, &json!(why)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_starts_are_found_before_they_run_out() {
    let mut it = Watched::of(json!({ "name": "a", "schedule": null, "tags": ["db"] })).await;
    it.window(
        "12:00:00",
        json!({ "cron": "*/10 * * * *", "timezone": "UTC", "duration": 60, "tags": ["db"] }),
    )
    .await;
    let starts = "select cardinality(starts)::bigint from maintenance_window";
    assert_eq!(count(&it.cronmon.pool, starts).await, 65, "the one of now, and 64 to come");
    it.tick("17:29:59").await;
    assert_eq!(count(&it.cronmon.pool, starts).await, 65);
    it.tick("17:30:01").await;
    assert_eq!(
        count(&it.cronmon.pool, starts).await,
        34 + 64,
        "those that passed are kept for late judgements"
    );
    let before = contents(&it.cronmon.pool).await;
    it.tick("17:30:02").await;
    assert_eq!(contents(&it.cronmon.pool).await, before, "and then nothing is to do");

    // Nobody looked for a day, and still what was in force then decides.
    let armed = json!({ "name": "b", "schedule": { "every": 86_400 }, "grace_duration": 0, "tags": ["db"] });
    it.cronmon.set_clock(at("2026-11-22T17:30:30Z"));
    let b = it.cronmon.create(armed).await;
    it.cronmon.ping(&b, "").await;
    it.cronmon.set_clock(at("2026-11-23T17:30:45Z"));
    it.cronmon.tick().await;
    assert_eq!(it.cronmon.read(&b).await["status"], "late");
    assert_eq!(it.news().await.len(), 0, "it was due within a window");
    it.cronmon.set_clock(at("2026-11-23T17:31:01Z"));
    it.cronmon.tick().await;
    assert_eq!(it.news().await, ["late missed"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_whose_expression_can_not_be_read_holds_up_nobody() {
    let mut it = Watched::of(json!({ "name": "a", "schedule": null, "tags": ["db"] })).await;
    for _ in 0..2 {
        it.window("12:00:00", json!({ "cron": "0 * * * *", "duration": 60, "tags": ["db"] })).await;
    }
    let broken = "update maintenance_window set cron = 'x', refill_at = '2026-11-22T12:30:00Z'
        where window_id = (select min(window_id::text)::uuid from maintenance_window)";
    it.cronmon.pool.get().await.unwrap().batch_execute(broken).await.unwrap();
    it.cronmon.set_clock(at("2026-11-25T12:30:00Z"));
    it.cronmon.tick().await;
    let refilled = "select count(*) from maintenance_window where refill_at > '2026-11-25T12:30:00Z'";
    assert_eq!(count(&it.cronmon.pool, refilled).await, 2);
    let list = it.cronmon.call(Method::GET, WINDOWS, None).await;
    assert_eq!(list.status, 200, "{}", list.body);
    // It can be mended.
    let id: Uuid = {
        let client = it.cronmon.pool.get().await.unwrap();
        client
            .query_one("select window_id from maintenance_window where cron = 'x'", &[])
            .await
            .unwrap()
            .get(0)
    };
    let window = json!({ "window_id": id });
    assert_eq!(
        change(&it.cronmon, &window, json!({ "cron": "@daily", "duration": 5 })).await["cron"],
        "@daily"
    );
}
