//! What waits in the spool's queue while the database is away, and what becomes of it.

use std::time::Duration;

use chrono::{SubsecRound as _, TimeDelta};
use cronmon_tests::Receiver;
use cronmon_tests::chaos::now;
use cronmon_tests::contents::count;
use cronmon_tests::databases::new_database;
use cronmon_tests::lambda::{Settings, Stack, can_run};
use cronmon_tests::person::Person;
use cronmon_tests::proxy::{Proxy, port_of};
use database::signals::{Address, ReceivedSignal};
use database::spool::{Why, group, to_text};
use domain::SignalKind;
use serde_json::{Value, json};
use uuid::Uuid;

/// A stack with a proxy between its functions and the database.
async fn behind_a_proxy(settings: Settings) -> (Stack, Proxy, Person) {
    let database_url = new_database().await;
    let proxy = Proxy::before(port_of(&database_url)).await;
    let mut all = Settings::from([("DATABASE_URL".to_owned(), proxy.in_front_of(&database_url))]);
    all.extend(settings);
    let stack = Stack::on(database_url, &all, 1).await;
    let person = Person::new(stack.issuer.token("acme"));
    (stack, proxy, person)
}

/// A message of a signal to this address that came so many seconds ago.
pub(super) fn message(address: Address, kind: SignalKind, seconds: i64) -> String {
    let signal = ReceivedSignal {
        address,
        signal_id: Uuid::now_v7(),
        received_at: (now() - TimeDelta::seconds(seconds)).trunc_subsecs(6),
        kind,
        rid: None,
        exit_status: None,
        source_address: None,
        user_agent: None,
        body: None,
        searched: None,
    };
    to_text(&signal, Why::Away).unwrap()
}

pub(super) fn address(path: &str) -> Address {
    Address::PingId(path.rsplit('/').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_applied_holds_nobody_up() {
    if !can_run() {
        return;
    }
    let stack = Stack::start().await;
    let person = Person::new(stack.issuer.token("acme"));
    let ping = person.creates(&stack.url, json!({ "name": "a", "schedule": null })).await;
    let group = group(&address(&ping));
    stack.spool.put("garbage", Some(&group)).await;
    let unknown = Address::PingId(Uuid::new_v4());
    stack.spool.put(&message(unknown, SignalKind::Success, 1), Some(&group)).await;
    stack.spool.put(&message(address(&ping), SignalKind::Success, 1), Some(&group)).await;
    stack.tick().await;

    assert_eq!(stack.spool.count().await, 0);
    assert_eq!(count(&stack.pool, "select count(*) from signal").await, 1);
    assert_eq!(count(&stack.pool, "select count(*) from parked_signal").await, 2);
    let ready = person.http.get(format!("{}/api/v1/health/ready", stack.url)).send().await.unwrap();
    let ready: Value = serde_json::from_str(&ready.text().await.unwrap()).unwrap();
    assert_eq!(ready["data"]["parked_pings"], 2, "{ready}");
    assert_eq!(ready["data"]["spool"]["waiting"], 0, "{ready}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_pings_all_waited_has_its_duration_and_its_failure_is_told_once() {
    if !can_run() {
        return;
    }
    let (stack, proxy, person) = behind_a_proxy(Settings::new()).await;
    let (receiver, at) = (Receiver::start().await, &stack.url);
    person.listens_at(at, &receiver.url).await;
    let run = person.creates(at, json!({ "name": "run", "schedule": null, "expected_duration": 60 })).await;
    let failing = person.creates(at, json!({ "name": "failing", "schedule": null })).await;
    let rid = "rid=5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11";

    proxy.refuse().await;
    person.pings(&format!("{at}{run}/start?{rid}")).await;
    person.pings(&format!("{at}{failing}/3")).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    person.pings(&format!("{at}{run}?{rid}")).await;
    assert_eq!(stack.spool.count().await, 3);
    proxy.accept();

    for _ in 0..2 {
        stack.tick().await;
        stack.deliver(1).await;
    }
    assert_eq!(stack.spool.count().await, 0);
    let whole = "select count(*) from job join monitor using (monitor_id) where name = 'run' and succeeded \
         and announced and end_time - start_time between interval '0.4 seconds' and interval '10 seconds'";
    assert_eq!(count(&stack.pool, whole).await, 1);
    assert_eq!(count(&stack.pool, "select count(*) from job").await, 2);
    assert_eq!(receiver.types_about("failing"), ["failed"]);
    assert_eq!(receiver.heard().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fail_that_a_later_success_overtook_is_history_and_no_alert() {
    if !can_run() {
        return;
    }
    let stack = Stack::start().await;
    let person = Person::new(stack.issuer.token("acme"));
    let receiver = Receiver::start().await;
    person.listens_at(&stack.url, &receiver.url).await;
    let ping = person.creates(&stack.url, json!({ "name": "a", "schedule": null })).await;
    person.pings(&format!("{}{ping}", stack.url)).await;
    let fail = message(address(&ping), SignalKind::Fail, 30);
    stack.spool.put(&fail, Some(&group(&address(&ping)))).await;
    // SQS may give a message again.
    stack.spool.put(&fail, Some(&group(&address(&ping)))).await;
    stack.tick().await;
    stack.deliver(1).await;

    assert_eq!(stack.spool.count().await, 0);
    let older =
        "select count(*) from signal where kind = 'fail' and received_at < now() - interval '25 seconds'";
    assert_eq!(count(&stack.pool, older).await, 1);
    assert_eq!(count(&stack.pool, "select count(*) from signal").await, 2);
    assert_eq!(count(&stack.pool, "select count(*) from monitor where status = 'up'").await, 1);
    assert_eq!(count(&stack.pool, "select count(*) from alert").await, 0);
    assert!(receiver.heard().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn without_database_and_queue_a_ping_is_refused_and_stays_so() {
    if !can_run() {
        return;
    }
    let nowhere = format!("{}/123456789012/nowhere.fifo", std::env::var("CRONMON_MOTO_URL").unwrap());
    let settings = Settings::from([("SPOOL_QUEUE_URL".to_owned(), nowhere)]);
    let (stack, proxy, person) = behind_a_proxy(settings).await;
    let ping = person.creates(&stack.url, json!({ "name": "a", "schedule": null })).await;
    let url = format!("{}{ping}", stack.url);
    proxy.refuse().await;
    for _ in 0..2 {
        let answer = person.http.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
    }
    proxy.accept();
    // The queue is not there now either, and not needed.
    person.pings(&url).await;
    assert_eq!(count(&stack.pool, "select count(*) from signal").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_past_a_deadline_goes_behind_an_earlier_one_that_may_explain_it() {
    if !can_run() {
        return;
    }
    let stack = Stack::start().await;
    let person = Person::new(stack.issuer.token("acme"));
    let every_2 = json!({ "name": "a", "schedule": { "every": 2 }, "grace_duration": 1 });
    let ping = person.creates(&stack.url, every_2).await;
    let url = format!("{}{ping}", stack.url);
    person.pings(&url).await;
    stack.tick().await;
    tokio::time::sleep(Duration::from_millis(3_500)).await;
    let earlier = message(address(&ping), SignalKind::Success, 2);
    stack.spool.put(&earlier, Some(&group(&address(&ping)))).await;
    person.pings(&url).await;
    assert_eq!(stack.spool.count().await, 2);
    stack.tick().await;

    assert_eq!(stack.spool.count().await, 0);
    assert_eq!(count(&stack.pool, "select count(*) from signal").await, 3);
    assert_eq!(count(&stack.pool, "select count(*) from alert").await, 0);
}

/// A job's end must not be told that there is no such job while its start waits.
#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_a_job_goes_behind_its_start_into_the_spool() {
    if !can_run() {
        return;
    }
    let (stack, proxy, person) = behind_a_proxy(Settings::new()).await;
    let receiver = Receiver::start().await;
    person.listens_at(&stack.url, &receiver.url).await;
    let api = format!("{}/api/v1", stack.url);
    let manage = async |path: &str, body: Value| -> Value {
        let request = person.http.post(format!("{api}{path}")).bearer_auth(stack.issuer.token("acme"));
        let response = request.body(body.to_string()).send().await.unwrap();
        serde_json::from_str::<Value>(&response.text().await.unwrap()).unwrap()["data"].clone()
    };
    let body = json!({ "name": "a", "expected_duration": 60, "grace_duration": 0 });
    let monitor = manage("/monitors", body).await["monitor_id"].as_str().unwrap().to_owned();
    let key = manage("/keys", json!({ "name": "k" })).await["key"].as_str().unwrap().to_owned();
    let post = async |path: String, body: Value| -> (u16, Value) {
        let url = format!("{api}/monitors/{monitor}/jobs/{path}");
        let request = person.http.post(url).header("x-api-key", &key).body(body.to_string());
        let response = request.send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
    };
    // So that it is known when the spool was empty.
    stack.tick().await;
    proxy.refuse().await;
    let (_, started) = post("start".to_owned(), Value::Null).await;
    let job = started["data"]["job_id"].as_str().unwrap().to_owned();
    assert_eq!(stack.spool.count().await, 1);
    proxy.accept();
    // The breaker of that environment has to be over.
    tokio::time::sleep(Duration::from_millis(5_200)).await;
    let (status, finished) = post(format!("{job}/finish"), json!({ "succeeded": true })).await;
    assert_eq!(status, 200, "{finished}");
    assert_eq!((&finished["data"]["job_id"], &finished["data"]["succeeded"]), (&json!(job), &json!(true)));
    assert_eq!(stack.spool.count().await, 2);

    for _ in 0..2 {
        stack.tick().await;
        stack.deliver(1).await;
    }
    assert_eq!(stack.spool.count().await, 0);
    let whole = format!(
        "select count(*) from job where job_id = '{job}' and succeeded and announced
         and end_time - start_time > interval '5 seconds'"
    );
    assert_eq!(count(&stack.pool, &whole).await, 1);
    assert_eq!(count(&stack.pool, "select count(*) from job").await, 1);
    assert_eq!(receiver.heard().len(), 0);
    // One that is as new and is not there all the same has no answer before the spool was seen empty again.
    let (status, _) = post(format!("{}/finish", Uuid::new_v4()), json!({ "succeeded": true })).await;
    assert_eq!(status, 404);
}
