//! An environment that was frozen while its database connection went away.

use std::time::Duration;

use cronmon_tests::contents::count;
use cronmon_tests::lambda::{Stack, can_run};
use cronmon_tests::person::Person;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_environment_answers_its_next_request() {
    if !can_run() {
        return;
    }
    let frozen = Duration::from_secs(if std::env::var_os("CRONMON_SOAK").is_some() { 60 } else { 3 });
    let stack = Stack::start().await;
    let person = Person::new(stack.issuer.token("acme"));
    let ping = person.creates(&stack.url, json!({ "name": "a", "schedule": { "every": 3600 } })).await;
    person.pings(&format!("{}{ping}", stack.url)).await;
    stack.tick().await;
    let all = [&stack.functions.ping, &stack.functions.api, &stack.functions.late_check];
    let before: Vec<_> = all.iter().map(|function| function.process()).collect();
    for function in all {
        function.signal("STOP").await;
    }
    let kill = "select count(pg_terminate_backend(pid)) from pg_stat_activity \
                where datname = current_database() and pid <> pg_backend_pid() and application_name = 'cronmon'";
    assert!(count(&stack.pool, kill).await >= 3);
    tokio::time::sleep(frozen).await;
    for function in all {
        function.signal("CONT").await;
    }

    person.pings(&format!("{}{ping}/1", stack.url)).await;
    stack.tick().await;
    let monitors = person.http.get(format!("{}/api/v1/monitors", stack.url));
    let monitors = monitors.header("authorization", format!("Bearer {}", stack.issuer.token("acme")));
    assert_eq!(monitors.send().await.unwrap().status(), 200);
    assert_eq!(count(&stack.pool, "select count(*) from signal").await, 2);
    assert_eq!(count(&stack.pool, "select count(*) from monitor where status = 'failed'").await, 1);
    let after: Vec<_> = all.iter().map(|function| function.process()).collect();
    assert_eq!(before, after, "they are the environments of before");
}
