//! Where a monitor stands, told by the API after real pings and ticks.

use cronmon_tests::CronMon;
use serde_json::{Value, json};

use super::at;

/// `status running next_expected_at due_at`, the instants as the time of the day or `-`.
async fn standing(cronmon: &CronMon, monitor: &Value) -> String {
    let shown = cronmon.read(monitor).await;
    let time = |field: &str| match shown[field].as_str() {
        Some(text) => {
            assert_eq!(&text[..11], "2026-11-22T", "{field}");
            text[11..].to_owned()
        }
        None => "-".to_owned(),
    };
    let running = if shown["running"] == true { "running" } else { "idle" };
    format!("{} {running} {} {}", shown["status"].as_str().unwrap(), time("next_expected_at"), time("due_at"))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_scheduled_monitor_goes_from_new_to_up_to_late_to_failed_and_up_again() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": { "every": 300 } })).await;
    for (now, event, expected) in [
        ("12:00:00", "tick", "new idle - -"),
        ("12:00:00", "", "up idle 12:05:00Z 12:06:00Z"),
        ("12:06:00", "tick", "up idle 12:05:00Z 12:06:00Z"),
        ("12:06:01", "tick", "late idle 12:10:00Z 12:11:00Z"),
        ("12:07:00", "/start", "late running 12:12:00Z 12:13:00Z"),
        ("12:08:00", "/2", "failed idle 12:12:00Z 12:13:00Z"),
        ("12:13:01", "tick", "failed idle 12:17:00Z 12:18:00Z"),
        ("12:13:30", "/log", "failed idle 12:17:00Z 12:18:00Z"),
        ("12:14:00", "/start", "failed running 12:19:00Z 12:20:00Z"),
        ("12:15:00", "/0", "up idle 12:19:00Z 12:20:00Z"),
    ] {
        cronmon.set_clock(at(&format!("2026-11-22T{now}Z")));
        match event {
            "tick" => cronmon.tick().await,
            suffix => cronmon.ping(&monitor, suffix).await,
        }
        assert_eq!(standing(&cronmon, &monitor).await, expected, "{now} {event}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_never_ends_makes_its_monitor_late() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "a", "expected_duration": 60, "grace_duration": 30 })).await;
    for (now, event, expected) in [
        ("12:00:00", "/start", "new running - 12:01:30Z"),
        ("12:01:30", "tick", "new running - 12:01:30Z"),
        ("12:01:31", "tick", "late running - -"),
        ("12:05:00", "tick", "late running - -"),
        ("12:06:00", "", "up idle - -"),
        ("12:07:00", "/fail", "failed idle - -"),
    ] {
        cronmon.set_clock(at(&format!("2026-11-22T{now}Z")));
        match event {
            "tick" => cronmon.tick().await,
            suffix => cronmon.ping(&monitor, suffix).await,
        }
        assert_eq!(standing(&cronmon, &monitor).await, expected, "{now} {event}");
    }
    let job = &cronmon.read(&monitor).await["jobs"][1];
    assert_eq!(job["late"], true);
    assert_eq!(job["succeeded"], true);
    assert_eq!(job["duration"], 360);
}
