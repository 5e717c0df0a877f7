//! Jobs that are started and finished with an API key, as the original API does it.

use std::time::{Duration, Instant};

use chrono::{DateTime, Duration as Span, Utc};
use cronmon_tests::chaos::segments;
use cronmon_tests::contents::{contents, count};
use cronmon_tests::cronmon::{Answer, http_client};
use cronmon_tests::databases::{new_database, pool};
use cronmon_tests::process::Process;
use cronmon_tests::proxy::{Proxy, port_of};
use cronmon_tests::tokens::Issuer;
use cronmon_tests::{CronMon, Receiver};
use database::signals::{Address, Outcome, ReceivedSignal, Terms, apply_signal};
use database::spool::{Replayed, Why, replay, to_text};
use domain::SignalKind;
use futures_util::future::join_all;
use reqwest::Method;
use serde_json::{Value, json};
use uuid::Uuid;

fn jobs_of(monitor: &Value) -> String {
    format!("/monitors/{}/jobs", monitor["monitor_id"].as_str().unwrap())
}

async fn start(cronmon: &CronMon, key: &str, monitor: &Value) -> String {
    let answer = cronmon.call_by_key(key, Method::POST, &(jobs_of(monitor) + "/start"), None).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert_eq!(answer.body["data"].as_object().unwrap().len(), 1);
    answer.body["data"]["job_id"].as_str().unwrap().to_owned()
}

async fn finish(cronmon: &CronMon, key: &str, monitor: &Value, job: &str, body: Value) -> Answer {
    let path = format!("{}/{job}/finish", jobs_of(monitor));
    cronmon.call_by_key(key, Method::POST, &path, Some(&body)).await
}

/// As it comes to the database.
fn signal(
    key: &str,
    monitor: &Value,
    kind: SignalKind,
    job_id: Option<Uuid>,
    received_at: DateTime<Utc>,
) -> ReceivedSignal {
    ReceivedSignal {
        address: Address::Monitor {
            key_hash: domain::key::hash(key),
            monitor_id: monitor["monitor_id"].as_str().unwrap().parse().unwrap(),
        },
        signal_id: Uuid::now_v7(),
        received_at,
        kind,
        rid: job_id,
        exit_status: None,
        source_address: None,
        user_agent: None,
        body: None,
        searched: None,
    }
}

async fn original(cronmon: &CronMon) -> Value {
    cronmon.create(json!({ "name": "backup", "expected_duration": 60, "grace_duration": 30 })).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_finished_is_the_one_that_was_started() {
    let cronmon = CronMon::start().await;
    let (monitor, key) = (original(&cronmon).await, cronmon.new_key("ping").await);
    let first = start(&cronmon, &key, &monitor).await;
    cronmon.set_clock(cronmon.now() + Span::seconds(10));
    let second = start(&cronmon, &key, &monitor).await;
    assert_ne!(first, second);
    cronmon.set_clock(cronmon.now() + Span::milliseconds(5_900));
    let body = json!({ "succeeded": false, "output": "disk full\0\u{1f600}" });
    let answer = finish(&cronmon, &key, &monitor, &first, body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let job = &answer.body["data"];
    for (field, value) in [
        ("job_id", json!(first)),
        ("start_time", json!("2026-11-22T12:00:00")),
        ("end_time", json!("2026-11-22T12:00:15.900")),
        ("duration", json!(15)),
        ("in_progress", json!(false)),
        ("late", json!(false)),
        ("succeeded", json!(false)),
        ("output", json!("disk full\0\u{1f600}")),
    ] {
        assert_eq!(job[field], value, "{field}");
    }
    let path = format!("{}/{first}", jobs_of(&monitor));
    assert_eq!(
        cronmon.call(Method::GET, &path, None).await.body["data"],
        *job,
        "it reads as it was answered"
    );
    let shown = cronmon.read(&monitor).await;
    assert_eq!((&shown["status"], &shown["running"]), (&json!("failed"), &json!(true)));
    assert_eq!(shown["last_started_job"]["job_id"], json!(second));
    assert_eq!(shown["last_finished_job"]["job_id"], json!(first));

    let before = contents(&cronmon.pool).await;
    let again = finish(&cronmon, &key, &monitor, &first, json!({ "succeeded": true })).await;
    assert_eq!(again.status, 400);
    assert_eq!(again.body["error"]["reason"], "Job Already Finished");
    assert_eq!(again.body["error"]["description"], format!("Job('{first}') is already finished"));
    let mut after = contents(&cronmon.pool).await;
    after.insert("api_key".to_owned(), before["api_key"].clone());
    assert_eq!(after, before, "nothing but the use of the key");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_sixteen_finishes_at_once_one_counts() {
    let cronmon = CronMon::start().await;
    let (monitor, key) = (original(&cronmon).await, cronmon.new_key("ping").await);
    let job = start(&cronmon, &key, &monitor).await;
    let finishes =
        (0..16).map(|n| finish(&cronmon, &key, &monitor, &job, json!({ "succeeded": n % 2 == 0 })));
    let mut codes: Vec<u16> = join_all(finishes).await.iter().map(|answer| answer.status.as_u16()).collect();
    codes.sort_unstable();
    assert_eq!(codes, [vec![200], vec![400; 15]].concat());
    assert_eq!(count(&cronmon.pool, "select count(*) from job").await, 1);
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_a_ping_started_can_be_finished_by_its_id() {
    let cronmon = CronMon::start().await;
    let (monitor, key) = (original(&cronmon).await, cronmon.new_key("manage").await);
    cronmon.ping(&monitor, "/start").await;
    cronmon.set_clock(cronmon.now() + Span::seconds(1));
    cronmon.ping(&monitor, "/start").await;
    let shown = cronmon.read(&monitor).await;
    let [newer, older] = &shown["jobs"].as_array().unwrap()[..] else { panic!("{shown}") };
    let older_id = older["job_id"].as_str().unwrap();
    assert_eq!(finish(&cronmon, &key, &monitor, older_id, json!({ "succeeded": true })).await.status, 200);
    let shown = cronmon.read(&monitor).await;
    assert_eq!(shown["jobs"][0]["job_id"], newer["job_id"]);
    assert_eq!(shown["jobs"][0]["in_progress"], true, "the other one goes on");
    assert_eq!(shown["jobs"][1]["succeeded"], true);
    assert_eq!(shown["jobs"].as_array().unwrap().len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_repeated_idempotency_key_starts_one_job_and_finishes_it_once() {
    let cronmon = CronMon::start().await;
    let (monitor, key) = (original(&cronmon).await, cronmon.new_key("ping").await);
    let post = async |path: &str, body: Value| {
        let request = cronmon.http.post(format!("{}/api/v1{}/{path}", cronmon.url, jobs_of(&monitor)));
        let request = request.header("x-api-key", &key).header("idempotency-key", "run 1");
        let response = request.body(body.to_string()).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap())
    };
    let (_, first) = post("start", Value::Null).await;
    let (_, second) = post("start", Value::Null).await;
    assert_eq!(first, second);
    let path = format!("{}/finish", first["data"]["job_id"].as_str().unwrap());
    let (status, job) = post(&path, json!({ "succeeded": true })).await;
    assert_eq!((status, &job["data"]["succeeded"]), (200, &json!(true)));
    cronmon.set_clock(cronmon.now() + Span::seconds(9));
    assert_eq!(post(&path, json!({ "succeeded": true })).await, (200, job));
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 2);
}

/// In a pause signals are only recorded. Whoever sent one is told that it was.
#[tokio::test(flavor = "multi_thread")]
async fn of_a_paused_monitor_starts_and_finishes_are_recorded_and_what_began_before_ends_once() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    let (monitor, key) = (original(&cronmon).await, cronmon.new_key("ping").await);
    let before = start(&cronmon, &key, &monitor).await;
    let path = |verb: &str| format!("/monitors/{}/{verb}", monitor["monitor_id"].as_str().unwrap());
    assert_eq!(cronmon.call(Method::POST, &path("pause"), None).await.status, 200);
    cronmon.set_clock(cronmon.now() + Span::seconds(1));
    let within = start(&cronmon, &key, &monitor).await;
    cronmon.set_clock(cronmon.now() + Span::seconds(1));
    let ended = start(&cronmon, &key, &monitor).await;
    let answer = finish(&cronmon, &key, &monitor, &ended, json!({ "succeeded": false })).await;
    assert_eq!((answer.status.as_u16(), &answer.body["data"]["job_id"]), (200, &json!(ended)));
    assert_eq!(answer.body["data"]["succeeded"], false);
    let again = finish(&cronmon, &key, &monitor, &ended, json!({ "succeeded": false })).await;
    assert_eq!(
        (again.status.as_u16(), &again.body["error"]["reason"]),
        (400, &json!("Job Already Finished"))
    );
    assert_eq!(count(&cronmon.pool, "select count(*) from signal where kind <> 'pause'").await, 4);
    cronmon.deliver().await;
    assert!(receiver.heard().is_empty());

    // What began before or in the pause ends after it, each once, and a failure is told.
    assert_eq!(cronmon.call(Method::POST, &path("resume"), None).await.status, 200);
    for job in [&before, &within] {
        cronmon.set_clock(cronmon.now() + Span::seconds(1));
        let answer = finish(&cronmon, &key, &monitor, job, json!({ "succeeded": false })).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
        assert_eq!(answer.body["data"]["succeeded"], false);
        let again = finish(&cronmon, &key, &monitor, job, json!({ "succeeded": true })).await;
        assert_eq!(
            (again.status.as_u16(), &again.body["error"]["reason"]),
            (400, &json!("Job Already Finished"))
        );
    }
    cronmon.deliver().await;
    assert_eq!(receiver.types_about("backup"), ["failed", "failed"]);
}

/// Two starts that others sent go into the spool; the later is applied first, and the earlier opens no job.
#[tokio::test(flavor = "multi_thread")]
async fn the_failure_of_a_start_that_was_overtaken_is_told() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    let (monitor, key) = (original(&cronmon).await, cronmon.new_key("ping").await);
    cronmon.set_clock(cronmon.now() + Span::seconds(10));
    start(&cronmon, &key, &monitor).await;
    let overtaken = signal(&key, &monitor, SignalKind::Start, None, cronmon.now() - Span::seconds(5));
    let text = to_text(&overtaken, Why::Away).unwrap();
    let replayed = replay(&cronmon.pool, &text, Some(cronmon.now())).await.unwrap();
    assert!(matches!(replayed, Replayed::Applied(_)));
    let job = overtaken.signal_id.to_string();
    let answer = finish(&cronmon, &key, &monitor, &job, json!({ "succeeded": false })).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let again = finish(&cronmon, &key, &monitor, &job, json!({ "succeeded": false })).await;
    assert_eq!(again.status, 400, "{}", again.body);
    cronmon.deliver().await;
    assert_eq!(receiver.types_about("backup"), ["failed"]);
}

/// On Lambda a job that is not there may wait in the spool. Who finishes ever new ones fills that, and is stopped.
#[tokio::test(flavor = "multi_thread")]
async fn finishes_of_jobs_that_may_wait_in_the_spool_are_counted() {
    let cronmon = CronMon::start().await;
    let (monitor, key) = (original(&cronmon).await, cronmon.new_key("ping").await);
    let seen = "insert into spool_watch (seen_at, empty_at, waiting)
         values ('2026-11-22T11:59:50Z', '2026-11-22T11:59:50Z', 0)";
    cronmon.pool.get().await.unwrap().batch_execute(seen).await.unwrap();
    let terms = Terms { most_per_minute: Some(3), from_spool: false, shared_spool: true };
    let finishes = async |job_id: Uuid| {
        let signal = signal(&key, &monitor, SignalKind::Fail, Some(job_id), cronmon.now());
        apply_signal(&cronmon.pool, &signal, terms).await.unwrap().outcome
    };
    let made = |seconds: i64| {
        let at = u64::try_from((cronmon.now() + Span::seconds(seconds)).timestamp()).unwrap();
        Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, at, 0))
    };
    // Before the spool was seen empty, in the future, or never made by us.
    let another = original(&cronmon).await;
    cronmon.ping(&another, "/start?rid=5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11").await;
    let of_another: Uuid =
        cronmon.read(&another).await["jobs"][0]["job_id"].as_str().unwrap().parse().unwrap();
    for elsewhere in [made(-60), made(60), Uuid::new_v4(), of_another] {
        assert_eq!(finishes(elsewhere).await, Outcome::NoJob);
    }
    let with_idempotency_key = Uuid::new_v5(&Uuid::NAMESPACE_OID, b"x");
    for recent in [made(0), with_idempotency_key, made(-5)] {
        assert_eq!(finishes(recent).await, Outcome::Behind);
    }
    assert_eq!(finishes(made(0)).await, Outcome::Limited { retry_after: 60 });
    cronmon.set_clock(cronmon.now() + Span::seconds(60));
    assert_eq!(finishes(made(0)).await, Outcome::Behind);
    assert_eq!(count(&cronmon.pool, "select count(*) from signal").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_finish_that_waited_leaves_the_job_of_another_monitor_alone() {
    let cronmon = CronMon::start().await;
    let (ours, another) = (original(&cronmon).await, original(&cronmon).await);
    let key = cronmon.new_key("ping").await;
    let rid = "5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11";
    cronmon.ping(&another, &format!("/start?rid={rid}")).await;
    cronmon.ping(&another, "/start").await;
    let before = cronmon.read(&another).await;
    for job in before["jobs"].as_array().unwrap() {
        let finish = signal(
            &key,
            &ours,
            SignalKind::Success,
            Some(job["job_id"].as_str().unwrap().parse().unwrap()),
            cronmon.now(),
        );
        let text = to_text(&finish, Why::Away).unwrap();
        let replayed = replay(&cronmon.pool, &text, Some(cronmon.now())).await.unwrap();
        assert!(matches!(replayed, Replayed::Applied(_)));
    }
    assert_eq!(cronmon.read(&another).await, before);
}

/// Nobody but who has the key can make another's repetition of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_idempotency_key_is_bound_to_the_api_key() {
    let cronmon = CronMon::start().await;
    let monitor = original(&cronmon).await;
    let mut jobs = Vec::new();
    for _ in 0..2 {
        let key = cronmon.new_key("ping").await;
        let request = cronmon.http.post(format!("{}/api/v1{}/start", cronmon.url, jobs_of(&monitor)));
        let request = request.header("x-api-key", key).header("idempotency-key", "2026-11-22");
        let answer: Value =
            serde_json::from_str(&request.send().await.unwrap().text().await.unwrap()).unwrap();
        jobs.push(answer["data"]["job_id"].clone());
    }
    assert_ne!(jobs[0], jobs[1]);
}

/// The row of a key is written by whoever finds it free, and nobody waits for it.
#[tokio::test(flavor = "multi_thread")]
async fn pings_of_one_key_do_not_queue_for_it() {
    let cronmon = CronMon::start().await;
    let (monitor, key) = (original(&cronmon).await, cronmon.new_key("ping").await);
    start(&cronmon, &key, &monitor).await;
    cronmon.set_clock(cronmon.now() + Span::seconds(1));
    let mut client = cronmon.pool.get().await.unwrap();
    let held = client.transaction().await.unwrap();
    held.execute("select from api_key for update", &[]).await.unwrap();
    let job = tokio::time::timeout(Duration::from_secs(3), start(&cronmon, &key, &monitor)).await;
    let job = job.expect("it waited for the row of the key");
    held.rollback().await.unwrap();
    let used = async || {
        let keys = cronmon.call(Method::GET, "/keys", None).await.body;
        keys["data"][0]["last_used"]["time"].clone()
    };
    assert_eq!(used().await, "2026-11-22T12:00:00");
    assert_eq!(finish(&cronmon, &key, &monitor, &job, json!({ "succeeded": true })).await.status, 200);
    assert_eq!(used().await, "2026-11-22T12:00:01");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_a_finish_are_one_message_to_postgres_each() {
    let database_url = new_database().await;
    let proxy = Proxy::before(port_of(&database_url)).await;
    let cronmon = CronMon::start_on(&proxy.in_front_of(&database_url), Some(300)).await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    let key = cronmon.new_key("ping").await;
    let plain = original(&cronmon).await;
    let schedule = json!({ "cron": "*/5 * * * *", "timezone": "Europe/Riga" });
    let cron = cronmon.create(json!({ "name": "cron", "schedule": schedule })).await;
    for monitor in [&plain, &cron] {
        for succeeded in [true, false, true] {
            let said = proxy.said();
            let job = start(&cronmon, &key, monitor).await;
            assert_eq!(proxy.said() - said, 1, "a start");
            let answer = finish(&cronmon, &key, monitor, &job, json!({ "succeeded": succeeded })).await;
            assert_eq!((answer.status.as_u16(), proxy.said() - said), (200, 2), "a finish");
        }
    }
    let unknown = Uuid::new_v4().to_string();
    let job = start(&cronmon, &key, &plain).await;
    for (key, job, code) in [("x", job.as_str(), 401), (&key, &unknown, 404)] {
        let said = proxy.said();
        let answer = finish(&cronmon, key, &plain, job, json!({ "succeeded": true })).await;
        assert_eq!((answer.status.as_u16(), proxy.said() - said), (code, 1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_in_a_minute_are_told_to_wait_and_failures_never_are() {
    let database_url = new_database().await;
    let cronmon = CronMon::start_on(&database_url, Some(2)).await;
    let (monitor, key) = (original(&cronmon).await, cronmon.new_key("ping").await);
    let (one, two) = (start(&cronmon, &key, &monitor).await, start(&cronmon, &key, &monitor).await);
    let url = format!("{}/api/v1{}/start", cronmon.url, jobs_of(&monitor));
    let limited = cronmon.http.post(url).header("x-api-key", &key).send().await.unwrap();
    assert_eq!(limited.status(), 429);
    assert_eq!(limited.headers()["retry-after"], "60");
    let body: Value = serde_json::from_str(&limited.text().await.unwrap()).unwrap();
    assert_eq!(body["error"]["reason"], "Too Many Requests");
    assert_eq!(finish(&cronmon, &key, &monitor, &one, json!({ "succeeded": true })).await.status, 429);
    assert_eq!(finish(&cronmon, &key, &monitor, &two, json!({ "succeeded": false })).await.status, 200);
}

/// While the database is away both are kept, and the job that comes of them has the id that its starter was told.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_jobs_are_kept() {
    let (issuer, database_url) = (Issuer::new(), new_database().await);
    let proxy = Proxy::before(port_of(&database_url)).await;
    let folder = std::env::temp_dir().join(format!("cronmon-test-spool-{}", Uuid::new_v4()));
    std::fs::create_dir(&folder).unwrap();
    let settings = [("SPOOL_DIR", folder.to_str().unwrap())];
    let url = proxy.in_front_of(&database_url);
    let process = Process::start_with(&url, &issuer.certs_url(), None, &settings).await.unwrap();
    let api = format!("{}/api/v1", process.url);
    let http = http_client();
    let manage = async |path: &str, body: Value| -> Value {
        let request = http.post(format!("{api}{path}")).bearer_auth(issuer.token("acme"));
        let response = request.body(body.to_string()).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap()["data"].clone()
    };
    let body = json!({ "name": "a", "expected_duration": 60, "grace_duration": 60 });
    let monitor = manage("/monitors", body).await;
    let key = manage("/keys", json!({ "name": "k" })).await["key"].as_str().unwrap().to_owned();
    let post = async |path: String, body: Value| -> (u16, Value) {
        let request = http.post(format!("{api}{}/{path}", jobs_of(&monitor))).header("x-api-key", &key);
        let response = request.body(body.to_string()).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
    };
    let (_, running) = post("start".to_owned(), Value::Null).await;
    let running = running["data"]["job_id"].as_str().unwrap().to_owned();

    proxy.refuse().await;
    let (status, begun) = post("start".to_owned(), Value::Null).await;
    assert_eq!(status, 200);
    let begun = begun["data"]["job_id"].as_str().unwrap().to_owned();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    for (job, succeeded) in [(&begun, true), (&running, false)] {
        let (status, body) =
            post(format!("{job}/finish"), json!({ "succeeded": succeeded, "output": "x".repeat(30_000) }))
                .await;
        assert_eq!(status, 200, "{body}");
        assert_eq!((&body["data"]["job_id"], &body["data"]["in_progress"]), (&json!(job), &json!(false)));
        assert_eq!((&body["data"]["succeeded"], &body["data"]["duration"]), (&json!(succeeded), &json!(1)));
        assert_eq!(body["data"]["output"].as_str().unwrap().len(), 30_000);
    }
    // What only the database knows nobody can be told.
    let (status, _) = post(format!("{}/finish", Uuid::new_v4()), json!({ "succeeded": true })).await;
    assert_eq!(status, 200);
    assert!(segments(&folder) > 0);
    proxy.accept();

    let end = Instant::now() + Duration::from_secs(20);
    while segments(&folder) > 0 {
        assert!(Instant::now() < end, "it is not applied");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let pool = pool(&database_url, 1);
    for (job, succeeded) in [(&begun, true), (&running, false)] {
        let statement = format!(
            "select count(*) from job j join signal s on s.signal_id = j.ended_by
             where j.job_id = '{job}' and j.rid = j.job_id and j.announced and j.succeeded = {succeeded}
               and j.end_time - j.start_time > interval '1 second' and length(s.body) = 20001"
        );
        assert_eq!(count(&pool, &statement).await, 1, "{job}");
    }
    // The finish of a job that never was is a run of its own.
    assert_eq!(count(&pool, "select count(*) from job").await, 3);
    assert_eq!(count(&pool, "select count(*) from parked_signal").await, 0);
    process.stop().await;
    drop(std::fs::remove_dir_all(&folder));
}
