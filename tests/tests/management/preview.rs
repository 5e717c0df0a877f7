//! A schedule before it is saved.

use cronmon_tests::CronMon;
use reqwest::Method;
use serde_json::{Value, json};

use super::{at, texts};

async fn preview(cronmon: &CronMon, query: &str) -> Value {
    let answer = cronmon.call(Method::GET, &format!("/schedules/preview?{query}"), None).await;
    assert_eq!(answer.status, 200, "{query}: {}", answer.body);
    answer.body["data"].clone()
}

async fn refused(cronmon: &CronMon, query: &str) -> String {
    let answer = cronmon.call(Method::GET, &format!("/schedules/preview?{query}"), None).await;
    assert_eq!(answer.status, 422, "{query}: {}", answer.body);
    answer.body["error"]["description"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_is_shown_in_words_and_with_its_next_slots() {
    let cronmon = CronMon::start().await;
    cronmon.set_clock(at("2026-11-22T12:00:00.5Z"));
    assert_eq!(
        preview(&cronmon, "cron=0+9+*+*+mon-fri&timezone=Europe/Riga&count=2").await,
        json!({
            "schedule": { "cron": "0 9 * * mon-fri", "timezone": "Europe/Riga" },
            "description": "at 09:00 on Monday to Friday",
            "expected_duration": null,
            "grace_duration": 3600,
            "slots": [
                { "at": "2026-11-23T07:00:00Z", "local": "2026-11-23T09:00:00+02:00" },
                { "at": "2026-11-24T07:00:00Z", "local": "2026-11-24T09:00:00+02:00" },
            ],
            "clock_changes": [],
            "warnings": [],
        })
    );
    let every = preview(&cronmon, "every=600&from=2026-11-22T10:00:00Z&count=3&expected_duration=60").await;
    assert_eq!(every["description"], "every 10 min, counted from the last run");
    assert_eq!((&every["grace_duration"], &every["expected_duration"]), (&json!(60), &json!(60)));
    let slots: Vec<&str> =
        every["slots"].as_array().unwrap().iter().map(|slot| slot["at"].as_str().unwrap()).collect();
    assert_eq!(slots, ["2026-11-22T10:10:00Z", "2026-11-22T10:20:00Z", "2026-11-22T10:30:00Z"]);

    let utc = preview(&cronmon, "cron=@daily&grace_duration=5&grce=1").await;
    assert_eq!(utc["grace_duration"], 5);
    assert_eq!(utc["slots"].as_array().unwrap().len(), 10);
    assert_eq!(
        texts(&utc["warnings"]),
        ["no timezone was given: the schedule is read in UTC", "unknown field 'grce' was ignored"]
    );
    let rare = preview(&cronmon, "cron=0+0+29+2+*&count=64").await;
    assert_eq!(rare["slots"].as_array().unwrap().len(), 2);
    assert_eq!(preview(&cronmon, "cron=*+*+*+*+*&count=64").await["slots"].as_array().unwrap().len(), 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_next_changes_of_the_clocks_skip_or_repeat_is_told() {
    let cronmon = CronMon::start().await;
    let query = "cron=30+2+*+*+*&timezone=Europe/Berlin&from=2026-06-01T00:00:00Z";
    let fixed = preview(&cronmon, query).await;
    assert_eq!(
        fixed["clock_changes"],
        json!([
            {
                "at": "2026-10-25T01:00:00Z", "offset_before": 7200, "offset_after": 3600, "skips": false,
                "times": [{ "local": "2026-10-25T02:30:00", "expected_at": ["2026-10-25T00:30:00Z"] }],
                "sentence": "clocks go back on 25 Oct 2026 from 03:00 to 02:00: 02:30 comes twice, and a run is \
                             expected the first time only",
            },
            {
                "at": "2027-03-28T01:00:00Z", "offset_before": 3600, "offset_after": 7200, "skips": true,
                "times": [{ "local": "2027-03-28T02:30:00", "expected_at": ["2027-03-28T01:00:00Z"] }],
                "sentence": "clocks go forward on 28 Mar 2027 from 02:00 to 03:00: 02:30 does not exist, so the \
                             run is expected at 03:00",
            },
        ])
    );
    let sentences: Vec<&str> = fixed["clock_changes"]
        .as_array()
        .unwrap()
        .iter()
        .map(|change| change["sentence"].as_str().unwrap())
        .collect();
    assert_eq!(texts(&fixed["warnings"]), sentences);
    // What a list of times loses in spring, nothing is expected for.
    let list = preview(&cronmon, "cron=0+2,14+*+*+*&timezone=Europe/Berlin").await;
    assert_eq!(list["clock_changes"][0]["times"][0]["expected_at"], json!([]));
    // A rhythm goes on.
    let rhythm = preview(&cronmon, "cron=*/15+*+*+*+*&timezone=Europe/Berlin").await;
    assert_eq!((&rhythm["clock_changes"], &rhythm["warnings"]), (&json!([]), &json!([])));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_previewed_is_422_and_named() {
    let cronmon = CronMon::start().await;
    for (query, description) in [
        ("", "cron: give it, or every"),
        ("timezone=UTC", "timezone: it goes with cron alone"),
        ("every=60&timezone=UTC", "timezone: it goes with cron alone"),
        ("every=60&cron=@daily", "every: it can't stand beside cron"),
        ("every=0", "every: must be from 1 to 31622400 seconds, not 0"),
        ("every=1.5", "every: it must be whole seconds"),
        ("cron=@daily&timezone=Mars", "timezone: 'Mars' is not an IANA time zone such as 'Europe/Riga'"),
        ("cron=0+0+30+2+*", "cron: never comes true within five years"),
        ("cron=@daily&cron=@daily", "cron: it is given twice"),
        ("every=60&count=0", "count: it must be from 1 to 64"),
        ("every=60&count=65", "count: it must be from 1 to 64"),
        ("every=60&from=1969-12-31T23:59:59Z", "from: it must lie between 1970 and 2100"),
        ("every=60&from=2100-01-01T00:00:00Z", "from: it must lie between 1970 and 2100"),
        ("every=60&grace_duration=-1", "grace_duration: it must be from 0 to 31622400 seconds (366 days)"),
        ("every=60&x=1&x=1", "x: it is given twice"),
    ] {
        assert_eq!(refused(&cronmon, query).await, description, "{query}");
    }
    assert!(refused(&cronmon, "cron=x").await.starts_with("cron: is not an expression that can be read: "));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preview_needs_a_token_and_no_database() {
    let cronmon = CronMon::start().await;
    let url = format!("{}/api/v1/schedules/preview?every=60", cronmon.url);
    assert_eq!(cronmon.http.get(&url).send().await.unwrap().status(), 401);
    cronmon.pool.close();
    assert_eq!(preview(&cronmon, "every=60&count=1").await["slots"].as_array().unwrap().len(), 1);
}
