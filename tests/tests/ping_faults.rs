//! Faults that servers of this ping protocol have had, one by one: CronMon has none of them.
//!
//! That both ends of a long body are kept is in `ping_bodies.rs`.

use std::collections::HashSet;
use std::time::Duration;

use chrono::{DateTime, Duration as Span, Utc};
use cronmon_tests::contents::{contents, count};
use cronmon_tests::databases::{empty_database, pool};
use cronmon_tests::ping_keys::{new_ping_key, slug_of};
use cronmon_tests::recorded::{recorded, said};
use cronmon_tests::webhook::Heard;
use cronmon_tests::{CronMon, Receiver};
use futures_util::future::join_all;
use rand::rngs::SmallRng;
use rand::seq::IndexedRandom as _;
use rand::{RngExt as _, SeedableRng as _};
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

const RID: &str = "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11";

fn ping_url(monitor: &Value, rest: &str) -> String {
    format!("{}{rest}", monitor["ping_url"].as_str().unwrap())
}

async fn send(cronmon: &CronMon, method: Method, url: &str) -> (u16, String) {
    let response = cronmon.http.request(method, url).send().await.unwrap();
    (response.status().as_u16(), response.text().await.unwrap())
}

async fn execute(cronmon: &CronMon, statement: &str) {
    cronmon.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sixteen_first_pings_at_once_make_one_monitor() {
    let cronmon = CronMon::start().await;
    let key = new_ping_key(&cronmon.pool).await;
    let config = json!({ "name": "hook", "type": { "webhook": { "url": "http://127.0.0.1:9/" } } });
    assert_eq!(cronmon.call(Method::POST, "/alert-configs", Some(&config)).await.status, 200);
    for round in 1..=8 {
        let urls = (0..16).map(|i| {
            let suffix = ["", "/start", "/fail", "/log"][i % 4];
            format!("{}/ping/{key}/job-{round}{suffix}?create=1", cronmon.url)
        });
        let urls: Vec<_> = urls.collect();
        let answers = join_all(urls.iter().map(|url| send(&cronmon, Method::POST, url))).await;
        let created = answers.iter().filter(|answer| **answer == (201, "Created".to_owned())).count();
        let others = answers.iter().filter(|answer| **answer == (200, "OK".to_owned())).count();
        assert_eq!((created, others), (1, 15), "{answers:?}");
        assert_eq!(count(&cronmon.pool, "select count(*) from monitor").await, round);
        assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, round * 16);
        assert_eq!(count(&cronmon.pool, "select count(*) from monitor_alert_config").await, round);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_preflight_of_a_slug_is_no_ping_and_makes_no_monitor() {
    let cronmon = CronMon::start().await;
    let key = new_ping_key(&cronmon.pool).await;
    let monitor = cronmon.create(json!({ "name": "backup", "schedule": { "every": 60 } })).await;
    let known = slug_of(&cronmon.pool, &monitor).await;
    let before = contents(&cronmon.pool).await;
    for (slug, rest) in [
        (known.as_str(), ""),
        (&known, "/start"),
        (&known, "/fail"),
        (&known, "/1"),
        ("new", "?create=1"),
        ("new", "/fail?create=1"),
    ] {
        let url = format!("{}/ping/{key}/{slug}{rest}", cronmon.url);
        let response = cronmon.http.request(Method::OPTIONS, &url).send().await.unwrap();
        assert_eq!(response.status(), 200, "{rest}");
        assert_eq!(response.headers()["access-control-allow-origin"], "*", "{rest}");
        assert_eq!(response.text().await.unwrap(), "", "{rest}");
    }
    assert_eq!(contents(&cronmon.pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn keywords_are_found_in_a_body_that_is_no_text() {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "backup", "schedule": null })).await;
    execute(
        &cronmon,
        "update monitor set fail_keywords = '{disk full,\u{43e}\u{448}\u{438}\u{431}\u{43a}\u{430}}', success_keywords = '{all well}',
         start_keywords = '{begin}'",
    )
    .await;
    let in_the_middle = |word: &[u8]| [&[b'x'; 20_000], word, &[b'\xff'; 20_000]].concat();
    let word = "\u{43e}\u{448}\u{438}\u{431}\u{43a}\u{430}".as_bytes();
    let (word_cut_short, word_cut_off) = (&word[..word.len() - 1], &word[1..]);
    for (rest, body, kind) in [
        ("", b"\xff\xfe disk full \xc3".to_vec(), "fail"),
        ("", b"a\0b disk full".to_vec(), "fail"),
        ("", [b"\x80".as_slice(), word, b"\x80"].concat(), "fail"),
        ("", word_cut_short.to_vec(), "success"),
        ("", word_cut_off.to_vec(), "success"),
        ("", b"\xc3".to_vec(), "success"),
        ("/start", b"\xc3".to_vec(), "start"),
        ("/fail", b"\xf0\x9f\xa6 all well".to_vec(), "success"),
        ("/fail", b"begin \xe2\x82".to_vec(), "start"),
        ("/0", b"all well but disk full\xff".to_vec(), "fail"),
        ("/log", b"\xff disk full".to_vec(), "log"),
        ("", in_the_middle(b"disk full"), "fail"),
        ("", in_the_middle(word), "fail"),
        ("/fail", in_the_middle(b"all well"), "success"),
        // Kept are bytes up to within a character.
        (
            "/fail",
            "x".chars().chain("\u{20ac}".repeat(5_000).chars()).collect::<String>().into_bytes(),
            "fail",
        ),
    ] {
        let what = format!("{rest} {}", String::from_utf8_lossy(&body[..body.len().min(40)]));
        let response = cronmon.http.post(ping_url(&monitor, rest)).body(body).send().await.unwrap();
        assert_eq!(response.status(), 200, "{what}");
        assert_eq!(recorded(&cronmon.pool).await.last().unwrap().kind, kind, "{what}");
        // Nor does showing it fail.
        cronmon.read(&monitor).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_malformed_rid_creates_no_monitor_and_records_nothing() {
    let cronmon = CronMon::start().await;
    let key = new_ping_key(&cronmon.pool).await;
    let monitor = cronmon.create(json!({ "name": "backup", "schedule": null })).await;
    let known = slug_of(&cronmon.pool, &monitor).await;
    let before = contents(&cronmon.pool).await;
    for slug in ["new", &known] {
        for suffix in ["", "/start", "/fail", "/log", "/7"] {
            for rid in
                ["", "1", "not-a-uuid", "%00", "5b8a1c0e7d7c4a0b9c590f3f1e6f1a11", &format!("{RID}&rid=x")]
            {
                for query in [format!("create=1&rid={rid}"), format!("rid={rid}&create=1&period=60")] {
                    let url = format!("{}/ping/{key}/{slug}{suffix}?{query}", cronmon.url);
                    for method in [Method::GET, Method::POST] {
                        let answer = send(&cronmon, method, &url).await;
                        assert_eq!(answer, (400, "invalid uuid format".to_owned()), "{url}");
                    }
                }
            }
        }
    }
    assert_eq!(contents(&cronmon.pool).await, before);
    let url = format!("{}/ping/{key}/new?create=1&rid={RID}", cronmon.url);
    assert_eq!(send(&cronmon, Method::GET, &url).await.0, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn runs_that_overlap_each_have_their_deadline() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    let body = json!({
        "name": "backup", "schedule": null, "expected_duration": 60, "grace_duration": 0, "alert_on": "every",
    });
    let monitor = cronmon.create(body).await;
    let (first, second, third) = (Uuid::new_v4(), Uuid::new_v4(), Uuid::new_v4());
    let pass = |seconds| cronmon.set_clock(cronmon.now() + Span::seconds(seconds));
    for rid in [first, second, third] {
        cronmon.ping(&monitor, &format!("/start?rid={rid}")).await;
        pass(20);
    }
    // The latest of them ends in time: that says nothing about the others.
    let began = cronmon.now() - Span::seconds(60);
    cronmon.ping(&monitor, &format!("/0?rid={third}")).await;
    let mut overran = Vec::new();
    for (seconds, expected) in [(0, 0), (1, 1), (18, 1), (2, 2), (1_000, 2)] {
        pass(seconds);
        cronmon.tick().await;
        cronmon.deliver().await;
        overran = receiver.heard().iter().filter(|h| h.text("cause") == "overran").cloned().collect();
        assert_eq!(overran.len(), expected, "{seconds}");
    }
    for (heard, (rid, start)) in overran.iter().zip([(first, began), (second, began + Span::seconds(20))]) {
        assert_eq!(heard.text("type"), "late");
        assert_eq!(heard.message["job"]["rid"], rid.to_string());
        assert_eq!(heard.text("at").parse::<DateTime<Utc>>().unwrap(), start + Span::seconds(60));
    }
}

/// How many transactions a CronMon needs for one monitor and so many pings; a statement that is sent alone is
/// a transaction.
async fn transactions_of(pings: usize) -> i64 {
    let cronmon = CronMon::start().await;
    let monitor = cronmon.create(json!({ "name": "busy", "schedule": { "every": 60 } })).await;
    // No tenant keeps less.
    execute(
        &cronmon,
        "insert into retention (tenant, most_pings, history_duration) values ('acme', 1, 86400)",
    )
    .await;
    for _ in 0..pings {
        cronmon.set_clock(cronmon.now() + Span::days(1));
        cronmon.ping(&monitor, "/log").await;
        cronmon.ping(&monitor, "").await;
    }
    assert_eq!(said(&cronmon.pool).await.len(), 2 * pings, "a ping cleans nothing up");
    // What a connection counted is there for others once it has ended.
    cronmon.pool.close();
    let name = cronmon.database_url.rsplit('/').next().unwrap().to_owned();
    let elsewhere = pool(&empty_database().await, 1);
    let client = elsewhere.get().await.unwrap();
    let open = "select count(*) from pg_stat_activity where datname = $1";
    let committed = "select xact_commit + xact_rollback from pg_stat_database where datname = $1";
    for _ in 0..100 {
        if client.query_one(open, &[&name]).await.unwrap().get::<_, i64>(0) == 0 {
            return client.query_one(committed, &[&name]).await.unwrap().get(0);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("the connections to {name} are still open");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_is_one_statement_and_cleans_nothing_up() {
    let (one, many) = tokio::join!(transactions_of(1), transactions_of(151));
    // Some more, for autovacuum may look at the database meanwhile.
    let pings = many - one;
    assert!((300..330).contains(&pings), "{pings} transactions for 300 pings");
}

#[tokio::test(flavor = "multi_thread")]
async fn in_the_hour_that_the_clocks_repeat_the_next_run_is_always_after_the_ping() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    // In Berlin it is 02:00 to 03:00 twice, from 00:00 and from 01:00 UTC on.
    let begin: DateTime<Utc> = "2026-10-24T23:30:00Z".parse().unwrap();
    cronmon.set_clock(begin);
    let schedule = json!({ "cron": "*/5 * * * *", "timezone": "Europe/Berlin" });
    let create = |name: &str| {
        cronmon
            .create(json!({ "name": name, "schedule": schedule, "grace_duration": 60, "alert_on": "every" }))
    };
    // One pings on the slot, one after it, one before it with a start.
    let (on_time, after, before) = (create("on time").await, create("after").await, create("before").await);
    let mut seen = HashSet::new();
    for slot in (1..=36).map(|i| begin + Span::minutes(5 * i)) {
        let next = slot + Span::minutes(5);
        for (monitor, rests, seconds) in
            [(&before, &["/start", "/0"][..], -10), (&on_time, &[""][..], 0), (&after, &[""][..], 50)]
        {
            cronmon.set_clock(slot + Span::seconds(seconds));
            cronmon.tick().await;
            for rest in rests {
                cronmon.ping(monitor, rest).await;
                let shown = cronmon.read(monitor).await;
                let expected: DateTime<Utc> = shown["next_expected_at"].as_str().unwrap().parse().unwrap();
                assert!(expected > cronmon.now(), "at {} {expected} is expected", cronmon.now());
                // The first ping of all answers no slot.
                if slot > begin + Span::minutes(5) {
                    assert_eq!(expected, next, "after {rest} at {}", cronmon.now());
                }
            }
            seen.insert(cronmon.now());
        }
    }
    cronmon.deliver().await;
    assert_eq!(receiver.heard().iter().map(Heard::told).collect::<Vec<_>>(), Vec::<String>::new());
    assert_eq!(seen.len(), 108);

    // And one that does not come is missed in that hour too.
    cronmon.set_clock(begin + Span::minutes(3 * 60 + 8));
    cronmon.tick().await;
    assert_eq!(count(&cronmon.pool, "select count(*) from alert where cause = 'missed'").await, 3);
}

/// More with `make test-all`.
fn rounds() -> usize {
    if std::env::var_os("CRONMON_SOAK").is_some() { 400 } else { 80 }
}

#[derive(Debug, Clone)]
enum Act {
    Ping(&'static str),
    Tick,
    Edit(Value),
}

async fn act(cronmon: &CronMon, monitor: &Value, act: &Act) {
    match act {
        Act::Ping(rest) => cronmon.ping(monitor, rest).await,
        Act::Tick => cronmon.tick().await,
        Act::Edit(body) => {
            let path = format!("/monitors/{}", monitor["monitor_id"].as_str().unwrap());
            let answer = cronmon.call(Method::PATCH, &path, Some(body)).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happens_at_once_leaves_no_monitor_without_a_deadline_and_drops_no_alert() {
    const MONITORS: usize = 6;
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    let mut random = SmallRng::seed_from_u64(20_261_025);
    let edit = |name: &str, schedule: &Value| {
        Act::Edit(json!({
            "name": name, "schedule": schedule, "expected_duration": 4, "grace_duration": 2, "alert_on": "every",
        }))
    };
    let schedules = [
        json!({ "every": 7 }),
        json!({ "cron": "* * * * *" }),
        json!({ "cron": "*/2 * * * *", "timezone": "Europe/Berlin" }),
        json!(null),
    ];
    let names: Vec<_> = (0..MONITORS).map(|i| format!("monitor {i}")).collect();
    let monitors = join_all(names.iter().zip(schedules.iter().cycle()).map(|(name, schedule)| {
        cronmon.create(json!({
            "name": name, "schedule": schedule, "expected_duration": 4, "grace_duration": 2, "alert_on": "every",
        }))
    }))
    .await;
    let pings = ["", "/start", "/fail", "/0", "/3", "/log"];
    let any_ping = |random: &mut SmallRng| Act::Ping(pings.choose(random).unwrap());
    let mut fails = 0;
    for round in 0..rounds() {
        cronmon.set_clock(cronmon.now() + Span::milliseconds(random.random_range(1..9_000)));
        let acts = (0..MONITORS).map(|i| {
            let pair = match random.random_range(0..4) {
                0 => [any_ping(&mut random), any_ping(&mut random)],
                1 => [any_ping(&mut random), Act::Tick],
                2 => [edit(&names[i], schedules.choose(&mut random).unwrap()), Act::Tick],
                _ => [edit(&names[i], schedules.choose(&mut random).unwrap()), any_ping(&mut random)],
            };
            (i, pair)
        });
        let acts: Vec<_> = acts.collect();
        let is_fail = |act: &&Act| matches!(act, Act::Ping("/fail" | "/3"));
        fails += acts.iter().flat_map(|(_, pair)| pair).filter(is_fail).count();
        let all = join_all(acts.iter().map(|(i, [one, other])| {
            let (cronmon, monitor) = (&cronmon, &monitors[*i]);
            async move { tokio::join!(act(cronmon, monitor, one), act(cronmon, monitor, other)) }
        }));
        tokio::time::timeout(Duration::from_secs(20), all).await.unwrap();

        let what = format!("round {round}: {acts:?}");
        for (never, statement) in [
            ("armed, with a schedule, and nothing is due", "select count(*) from monitor where armed and schedule_kind <> 'none' and due_at is null"),
            ("a run that is open, and its deadline is due later",
             "select count(*) from monitor m join job j using (monitor_id) where j.end_time is null and j.overran_at is null
              and j.due_at is not null and (m.due_at is null or m.due_at > j.due_at)"),
            ("a run that overran, and no alert",
             "select count(*) from job j where overran_at is not null
              and not exists (select from alert a where a.job_id = j.job_id and a.cause = 'overran')"),
            ("a fail, and no alert",
             "select count(*) from signal s where kind = 'fail'
              and not exists (select from alert a where a.job_id = s.job_id and a.cause = 'failed')"),
            ("an incident, and no alert",
             "select count(*) from monitor m where incident_id is not null
              and not exists (select from alert a where a.incident_id = m.incident_id and type <> 'recovered')"),
            ("an incident that is over, and neither a recovery nor an alert that says so",
             "select count(*) from alert a join monitor m using (monitor_id) where a.incident_id is distinct from m.incident_id
              and a.type <> 'recovered' and a.succeeded_at is null
              and not exists (select from alert r where r.incident_id = a.incident_id and r.type = 'recovered')"),
            ("an alert that nobody is told", "select count(*) from alert a where not exists (select from delivery d where d.alert_id = a.alert_id)"),
        ] {
            assert_eq!(count(&cronmon.pool, statement).await, 0, "{never}; {what}");
        }
        if round % 10 == 0 {
            cronmon.deliver().await;
        }
    }
    // All that was armed with a schedule falls due in the end.
    cronmon.set_clock(cronmon.now() + Span::days(1));
    cronmon.tick().await;
    cronmon.deliver().await;
    let calm = "select count(*) from monitor where armed and schedule_kind <> 'none' and status not in ('late', 'failed')";
    assert_eq!(count(&cronmon.pool, calm).await, 0);
    let heard: HashSet<_> = receiver.heard().iter().map(|h| h.text("id").to_owned()).collect();
    let alerts = count(&cronmon.pool, "select count(*) from alert").await;
    assert_eq!((i64::try_from(heard.len()).unwrap(), receiver.heard().len()), (alerts, heard.len()));
    let failed = receiver.heard().iter().filter(|h| h.text("type") == "failed").count();
    assert_eq!(failed, fails);
    assert!(failed > rounds() / 4, "only {failed} fails: the test tests little");
}
