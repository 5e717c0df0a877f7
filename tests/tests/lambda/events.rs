//! Every sample event of `events/`, and what it does.

use cronmon_tests::Receiver;
use cronmon_tests::contents::{contents, count};
use cronmon_tests::lambda::{Function, Stack, can_run, sample};
use cronmon_tests::person::Person;
use cronmon_tests::slack::{CHANNEL, Slack, TOKEN};
use reqwest::Method;
use serde_json::{Value, json};

const PING_ID: &str = "00000000-0000-4000-8000-000000000001";
const DELIVERIES: [&str; 2] =
    ["00000000-0000-4000-8000-000000000011", "00000000-0000-4000-8000-000000000012"];

/// A stack with a monitor whose ping id is the samples'.
async fn stack_with_monitor() -> (Stack, Person) {
    let stack = Stack::start().await;
    let person = Person::new(stack.issuer.token("acme"));
    person.creates(&stack.url, json!({ "name": "demo", "schedule": { "every": 3600 } })).await;
    execute(&stack, &format!("update monitor set ping_id = '{PING_ID}'")).await;
    (stack, person)
}

async fn execute(stack: &Stack, statement: &str) {
    stack.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
}

fn event(name: &str, replace: &[(&str, &str)]) -> Value {
    let text = replace.iter().fold(sample(name), |text, (from, to)| {
        assert!(text.contains(from), "{name} has no {from}");
        text.replace(from, to)
    });
    serde_json::from_str(&text).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn pings() {
    if !can_run() {
        return;
    }
    let (stack, _) = stack_with_monitor().await;
    for (name, body, kind, source) in [
        ("ping-get", "OK", "success", "203.0.113.7"),
        ("ping-head", "", "success", "203.0.113.7"),
        ("ping-post-base64", "OK", "fail", "203.0.113.7"),
        ("ping-function-url", "OK", "start", "203.0.113.7"),
    ] {
        execute(&stack, "delete from signal").await;
        let event = event(name, &[]);
        let answer = stack.functions.ping.invoke(&event).await;
        assert_eq!(answer["statusCode"], 200, "{name}: {answer}");
        assert_eq!(
            (answer["body"].as_str(), &answer["isBase64Encoded"]),
            (Some(body), &json!(false)),
            "{name}"
        );
        assert_eq!(answer["headers"]["ping-body-limit"], "10000", "{name}");
        let pool = stack.pool.get().await.unwrap();
        let row =
            pool.query_one("select kind, source_address, user_agent, body from signal", &[]).await.unwrap();
        assert_eq!((row.get::<_, &str>(0), row.get::<_, &str>(1)), (kind, source), "{name}");
        assert_eq!(row.get::<_, &str>(2), event["headers"]["user-agent"].as_str().unwrap(), "{name}");
        assert_eq!(row.get::<_, Option<&[u8]>>(3).is_some(), name == "ping-post-base64");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_is_started_by_key() {
    if !can_run() {
        return;
    }
    let (stack, person) = stack_with_monitor().await;
    execute(&stack, "update monitor set monitor_id = '00000000-0000-4000-8000-000000000003'").await;
    let key = person.makes_a_key(&stack.url).await;
    let answer = stack.functions.ping.invoke(&event("ping-start-job", &[("API-KEY", &key)])).await;
    assert_eq!(answer["statusCode"], 200, "{answer}");
    let body: Value = serde_json::from_str(answer["body"].as_str().unwrap()).unwrap();
    let started = "select count(*) from job where end_time is null and job_id = '";
    let job_id = body["data"]["job_id"].as_str().unwrap();
    assert_eq!(count(&stack.pool, &format!("{started}{job_id}'")).await, 1);
    let stranger = stack.functions.ping.invoke(&event("ping-start-job", &[])).await;
    assert_eq!(stranger["statusCode"], 401, "{stranger}");
}

#[tokio::test(flavor = "multi_thread")]
async fn management() {
    if !can_run() {
        return;
    }
    let (stack, _) = stack_with_monitor().await;
    let token = stack.issuer.token("acme");
    let list = stack.functions.api.invoke(&event("api-get-monitors", &[("TOKEN", &token)])).await;
    assert_eq!(
        (&list["statusCode"], &list["headers"]["content-type"]),
        (&json!(200), &json!("application/json"))
    );
    let list: Value = serde_json::from_str(list["body"].as_str().unwrap()).unwrap();
    assert_eq!((&list["data"][0]["name"], &list["paging"]["total"]), (&json!("demo"), &json!(1)));

    let made = stack.functions.api.invoke(&event("api-post-monitor-base64", &[("TOKEN", &token)])).await;
    assert_eq!(made["statusCode"], 200, "{made}");
    let made: Value = serde_json::from_str(made["body"].as_str().unwrap()).unwrap();
    let name = made["data"]["name"].as_str().unwrap();
    assert_eq!(count(&stack.pool, &format!("select count(*) from monitor where name = '{name}'")).await, 1);
    let ping_url = made["data"]["ping_url"].as_str().unwrap();
    assert!(ping_url.starts_with(&format!("{}/ping/", stack.url)), "{ping_url}");

    let stranger = stack.functions.api.invoke(&event("api-get-monitors", &[])).await;
    assert_eq!(stranger["statusCode"], 401);
    let unknown = json!({ "rawPath": "/nowhere", "requestContext": { "http": { "method": "GET" } } });
    let unknown = stack.functions.api.invoke(&unknown).await;
    assert_eq!(unknown["statusCode"], 404);
    assert!(unknown["body"].as_str().unwrap().starts_with(r#"{"error":{"code":404"#), "{unknown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_schedule_and_a_wake_judge_what_is_due() {
    if !can_run() {
        return;
    }
    let (stack, person) = stack_with_monitor().await;
    let receiver = Receiver::start().await;
    person.listens_at(&stack.url, &receiver.url).await;
    for (i, name) in ["late-check-schedule", "late-check-wake"].into_iter().enumerate() {
        let ping = format!("{}/ping/{PING_ID}", stack.url);
        person.pings(&ping).await;
        stack.deliver(1).await;
        execute(
            &stack,
            "update monitor set next_slot = now() - interval '1 day', due_at = now() - interval '1 hour'",
        )
        .await;
        for _ in 0..5 {
            let answer = stack.functions.late_check.invoke(&event(name, &[])).await;
            assert_eq!(answer, json!({ "batchItemFailures": [] }), "{name}");
        }
        stack.deliver(2).await;
        let told = receiver.types_about("demo");
        assert_eq!(told.iter().filter(|told| *told == "late").count(), i + 1, "{told:?}");
        assert_eq!(told.len(), 2 * i + 1, "{told:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_of_deliveries_is_sent_in_its_order_once() {
    if !can_run() {
        return;
    }
    let (stack, person) = stack_with_monitor().await;
    let receiver = Receiver::start().await;
    person.listens_at(&stack.url, &receiver.url).await;
    person.pings(&format!("{}/ping/{PING_ID}/fail", stack.url)).await;
    person.pings(&format!("{}/ping/{PING_ID}", stack.url)).await;
    for (id, kind) in [(DELIVERIES[0], "failed"), (DELIVERIES[1], "recovered")] {
        let rename = format!(
            "update delivery set delivery_id = '{id}' where alert_id = (select alert_id from alert where type = '{kind}')"
        );
        execute(&stack, &rename).await;
    }
    // The second one first: it has to wait for the other.
    let mut batch = event("notify-deliveries", &[]);
    batch["Records"].as_array_mut().unwrap().reverse();
    for _ in 0..2 {
        let answer = stack.functions.notify.invoke(&batch).await;
        assert_eq!(answer, json!({ "batchItemFailures": [] }));
    }
    assert_eq!(receiver.types_about("demo"), ["failed", "recovered"]);
    let ids: Vec<String> = receiver.heard().into_iter().map(|heard| heard.webhook_id).collect();
    assert_eq!(ids, DELIVERIES);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_that_fails_for_the_moment_comes_again_by_the_queue() {
    if !can_run() {
        return;
    }
    let (stack, person) = stack_with_monitor().await;
    let receiver = Receiver::start().await;
    person.listens_at(&stack.url, &receiver.url).await;
    receiver.answer_with(reqwest::StatusCode::SERVICE_UNAVAILABLE);
    person.pings(&format!("{}/ping/{PING_ID}/fail", stack.url)).await;
    stack.deliver(1).await;
    assert_eq!(
        count(&stack.pool, "select count(*) from delivery where attempts = 1 and last_status = 503").await,
        1
    );
    receiver.answer_with(reqwest::StatusCode::OK);
    // The first repeat comes after 5 s, a fifth more or less, and never before the table has it due.
    let end = std::time::Instant::now() + std::time::Duration::from_secs(12);
    while count(&stack.pool, "select count(*) from delivery where delivered_at is not null").await == 0 {
        assert!(std::time::Instant::now() < end, "{}", stack.functions.notify.log());
        stack.deliver(1).await;
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
    assert_eq!(count(&stack.pool, "select attempts::bigint from delivery").await, 2);
    assert_eq!(receiver.heard().len(), 2);
    assert_eq!(receiver.heard()[0].webhook_id, receiver.heard()[1].webhook_id);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_alert_and_a_test_go_to_slack_and_the_token_to_no_log() {
    if !can_run() {
        return;
    }
    let slack = Slack::start().await;
    let settings = [("SLACK_API_URL".to_owned(), slack.api_url.clone())].into();
    let stack = Stack::with(&settings).await;
    let person = Person::new(stack.issuer.token("acme"));
    let config = |channel: &str| {
        let r#type = json!({ "slack": { "channel": channel, "token": TOKEN } });
        json!({ "name": "ops", "default": true, "type": r#type })
    };
    let configs = format!("{}/api/v1/alert-configs", stack.url);
    let made = person.post(&configs, &config(CHANNEL)).await;
    let ping = person.creates(&stack.url, json!({ "name": "demo", "schedule": { "every": 3600 } })).await;
    person.pings(&format!("{}{ping}/fail", stack.url)).await;
    stack.deliver(1).await;
    assert_eq!(slack.texts(), ["Failed 'demo' job"]);
    assert_eq!(count(&stack.pool, "select count(*) from delivery where delivered_at is not null").await, 1);

    // What goes wrong is logged.
    let one = format!("{configs}/{}", made["alert_config_id"].as_str().unwrap());
    let changed = person.request(Method::PATCH, &one).body(config("#gone").to_string()).send().await.unwrap();
    assert_eq!(changed.status(), 200);
    let tested = person.request(Method::POST, &format!("{one}/test")).send().await.unwrap();
    assert_eq!(tested.status(), 502);
    let told = tested.text().await.unwrap();
    assert!(told.contains("Failed to notify: Slack API error: channel_not_found"), "{told}");
    assert_eq!(slack.texts()[1], "Test 'ops' alert");
    person.pings(&format!("{}{ping}", stack.url)).await;
    stack.deliver(1).await;
    assert_eq!(slack.texts()[2], "Recovered 'demo' job");
    let logs = [&stack.functions.api, &stack.functions.notify].map(Function::log);
    for log in &logs {
        assert!(log.contains("Slack API error: channel_not_found"), "{log}");
        assert!(!log.contains("TellNobody"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_queue_should_not_hold_does_no_harm() {
    if !can_run() {
        return;
    }
    let (stack, _) = stack_with_monitor().await;
    let before = contents(&stack.pool).await;
    for body in ["", "{}", "not json", r#"{"delivery_ids": ["x"]}"#, r#"{"delivery_ids": []}"#] {
        let event = json!({ "Records": [{ "messageId": "1", "body": body }] });
        assert_eq!(stack.functions.notify.invoke(&event).await, json!({ "batchItemFailures": [] }), "{body}");
    }
    assert_eq!(contents(&stack.pool).await, before);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_ping_id_reaches_a_log_line() {
    if !can_run() {
        return;
    }
    let (stack, person) = stack_with_monitor().await;
    person.pings(&format!("{}/ping/{PING_ID}/fail", stack.url)).await;
    let unknown = "7d9c6a3e-2b41-4f70-8d15-0c9e8a7b6d52";
    let key = "abcdefghij0123456789xy";
    for path in [
        format!("/ping/{unknown}"),
        format!("/ping/{PING_ID}/x"),
        format!("/ping/{PING_ID}/999"),
        format!("/ping/{key}/demo?create=1"),
        format!("/ping/{key}/demo?create=1&cron={PING_ID}"),
    ] {
        let answer = person.http.get(format!("{}{path}", stack.url)).send().await.unwrap();
        assert!(answer.status().is_client_error());
    }
    stack.tick().await;
    // One that the database does not take, and that late-check can't apply either; and one that it parks.
    execute(&stack, "alter table signal rename to signal_away").await;
    person.pings(&format!("{}/ping/{PING_ID}", stack.url)).await;
    person.pings(&format!("{}/ping/{unknown}", stack.url)).await;
    person.pings(&format!("{}/ping/{key}/demo", stack.url)).await;
    let schedule = serde_json::from_str(&sample("late-check-schedule")).unwrap();
    stack.functions.late_check.try_invoke(&schedule).await;
    execute(&stack, "alter table signal_away rename to signal").await;
    stack.tick().await;
    stack.deliver(1).await;
    assert_eq!(stack.spool.count().await, 0);
    assert_eq!(count(&stack.pool, "select count(*) from parked_signal").await, 2);
    let functions = &stack.functions;
    let logs = [&functions.ping, &functions.api, &functions.late_check, &functions.notify]
        .map(Function::log)
        .join("");
    assert!(logs.contains("the database did not take a ping"), "{logs}");
    assert!(logs.contains("pings wait in the spool"), "{logs}");
    assert!(logs.contains("a spooled signal was parked"), "{logs}");
    for id in [PING_ID, unknown, key] {
        assert!(!logs.contains(id), "{logs}");
    }
}
