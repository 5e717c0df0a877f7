//! Times in which pings could not come in, or nothing was judged: what becomes of deadlines, and who is told.
//! Minutes are made by moving what is written down into the past.

use std::time::{Duration, Instant};

use cronmon_tests::Receiver;
use cronmon_tests::contents::count;
use cronmon_tests::databases::new_database;
use cronmon_tests::lambda::{Settings, Stack, can_run};
use cronmon_tests::person::Person;
use database::outages::CANARY;
use database::signals::Address;
use database::spool::group;
use domain::SignalKind;
use serde_json::{Value, json};

use crate::spool::{address, message};

struct World {
    stack: Stack,
    person: Person,
    receiver: Receiver,
}

impl World {
    async fn new() -> Self {
        Self::on(new_database().await).await
    }

    async fn on(database_url: String) -> Self {
        let stack = Stack::with_canary(database_url, &Settings::new()).await;
        let receiver = Receiver::start().await;
        let person = Person::new(stack.issuer.token("acme"));
        person.listens_at(&stack.url, &receiver.url).await;
        Self { stack, person, receiver }
    }

    async fn execute(&self, statement: &str) {
        self.stack.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
    }

    async fn count(&self, statement: &str) -> i64 {
        count(&self.stack.pool, statement).await
    }

    /// Everything that is written down happened so long ago.
    async fn minutes_pass(&self, minutes: u32) {
        let statement = format!(
            "update signal set received_at = received_at - interval '{minutes} minutes';
             update late_check_watch set
                 ticked_at = ticked_at - interval '{minutes} minutes',
                 ticking_since = ticking_since - interval '{minutes} minutes',
                 ingest_seen_at = ingest_seen_at - interval '{minutes} minutes',
                 judges_until = judges_until - interval '{minutes} minutes', wakes = '{{}}';
             update spool_watch set
                 seen_at = seen_at - interval '{minutes} minutes', empty_at = empty_at - interval '{minutes} minutes',
                 some_at = some_at - interval '{minutes} minutes';
             update monitor set
                 last_signal_at = last_signal_at - interval '{minutes} minutes',
                 last_success_at = last_success_at - interval '{minutes} minutes',
                 next_slot = next_slot - interval '{minutes} minutes', due_at = due_at - interval '{minutes} minutes'"
        );
        self.execute(&statement).await;
    }

    async fn ready(&self) -> (u16, Value) {
        let url = format!("{}/api/v1/health/ready", self.stack.url);
        let answer = self.person.http.get(url).send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()["data"].clone())
    }

    async fn ticks_and_delivers(&self, times: usize) {
        for _ in 0..times {
            self.stack.tick().await;
        }
        self.stack.deliver(2).await;
    }

    fn notices(&self) -> Vec<Value> {
        let all = self.receiver.heard();
        let mut notices: Vec<_> = all.iter().filter(|heard| heard.text("type") == "notice").collect();
        notices.dedup_by_key(|heard| heard.webhook_id.clone());
        notices.into_iter().map(|heard| heard.message.clone()).collect()
    }

    /// A monitor that expects a ping every five minutes and was pinged now.
    async fn pinged(&self, name: &str) -> String {
        let body = json!({ "name": name, "schedule": { "every": 300 }, "grace_duration": 60 });
        let ping = self.person.creates(&self.stack.url, body).await;
        self.person.pings(&format!("{}{ping}", self.stack.url)).await;
        ping
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_canary_goes_the_way_of_all_pings_and_belongs_to_nobody() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    assert_eq!(world.ready().await.1["canary_seen_at"], Value::Null);
    assert_eq!(world.ready().await.0, 200);
    world.ticks_and_delivers(2).await;
    assert_eq!(world.count("select count(*) from signal where kind = 'log'").await, 2);
    let (status, ready) = world.ready().await;
    assert_eq!((status, &ready["blind_since"]), (200, &Value::Null), "{ready}");
    for known in ["canary_seen_at", "ingest_seen_at", "ticked_at"] {
        assert!(ready[known].is_string(), "{ready}");
    }
    // Anybody may send one, and nothing but that.
    let url = format!("{}/ping/{CANARY}", world.stack.url);
    for (what, status) in [("/log", 200), ("", 404), ("/fail", 404), ("/start", 404), ("/7", 404)] {
        let answer = world.person.http.get(format!("{url}{what}")).send().await.unwrap();
        assert_eq!(answer.status(), status, "{what}");
    }
    let monitors = world.person.http.get(format!("{}/api/v1/monitors", world.stack.url));
    let monitors = monitors.header("authorization", format!("Bearer {}", world.stack.issuer.token("acme")));
    let monitors: Value =
        serde_json::from_str(&monitors.send().await.unwrap().text().await.unwrap()).unwrap();
    assert_eq!(monitors["paging"]["total"], 0, "{monitors}");
    assert!(world.receiver.heard().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gap_is_written_down_before_anything_is_judged_and_told_once() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    let ping = world.pinged("backup").await;
    world.ticks_and_delivers(1).await;
    // late-check did not run, and nobody knows whether pings came in.
    world.minutes_pass(20).await;
    assert_eq!(world.ready().await.0, 503);
    world.ticks_and_delivers(5).await;
    assert_eq!(world.ready().await.0, 200);
    assert_eq!(world.count("select count(*) from outage_span").await, 1);
    let span = "select count(*) from outage_span where kind = 'blind' and noticed_at is not null \
                and ended_at - began_at between interval '19 minutes' and interval '21 minutes'";
    assert_eq!(world.count(span).await, 1);
    assert!(world.count("select count(*) from unknown_verdict").await >= 1);
    assert_eq!(world.count("select count(*) from alert where type <> 'notice'").await, 0);
    let notices = world.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    let notice = &notices[0];
    assert_eq!(
        (&notice["cause"], &notice["monitor"], &notice["job"]),
        (&json!("blind"), &Value::Null, &Value::Null)
    );
    let reason = notice["reason"].as_str().unwrap();
    assert!(reason.starts_with("from ") && reason.ends_with(" (backup)"), "{reason}");

    // What is missed afterwards is told.
    world.execute("update monitor set due_at = now(), next_slot = now() - interval '60 seconds' where tenant = 'acme'; \
                   update outage_span set began_at = began_at - interval '1 hour', ended_at = ended_at - interval '1 hour'").await;
    world.ticks_and_delivers(5).await;
    assert_eq!(world.receiver.types_about("backup").first().map(String::as_str), Some("late"));
    assert_eq!(world.count("select count(*) from alert where type = 'late'").await, 1);
    world.person.pings(&format!("{}{ping}", world.stack.url)).await;
    assert_eq!(world.notices().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_canary_nothing_is_judged_that_its_ping_may_explain_until_that_is_a_blind_time() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    world.pinged("backup").await;
    world.ticks_and_delivers(1).await;
    world.stack.canary_way.refuse().await;
    world.execute("update monitor set due_at = now(), next_slot = now() - interval '60 seconds' where tenant = 'acme'").await;
    world.ticks_and_delivers(2).await;
    assert_eq!(world.count("select count(*) from alert").await, 0);
    assert_eq!(world.count("select count(*) from outage_span").await, 0);
    // It is looked at again soon.
    assert_eq!(world.stack.wakes.count().await, 1);
    world.stack.canary_way.accept();
    world.ticks_and_delivers(1).await;
    assert_eq!(world.count("select count(*) from alert where type = 'late'").await, 1);

    world.stack.canary_way.refuse().await;
    world.pinged("mail").await;
    world.minutes_pass(7).await;
    world.ticks_and_delivers(2).await;
    assert_eq!(world.count("select count(*) from outage_span where ended_at is null").await, 1);
    assert_eq!(
        world.count("select count(*) from alert join monitor using (monitor_id) where name = 'mail'").await,
        0
    );
    assert_eq!(
        world
            .count("select count(*) from unknown_verdict join monitor using (monitor_id) where name = 'mail'")
            .await,
        1
    );
    let (status, ready) = world.ready().await;
    assert!(status == 503 && ready["blind_since"].is_string(), "{status} {ready}");
    assert_eq!(world.notices().len(), 0);
    let log = world.stack.functions.late_check.log();
    assert!(
        log.contains("the canary ping did not come through") && !log.contains(&CANARY.to_string()),
        "{log}"
    );

    world.stack.canary_way.accept();
    world.ticks_and_delivers(5).await;
    assert_eq!(world.count("select count(*) from outage_span where ended_at is null").await, 0);
    assert_eq!(world.ready().await.0, 200);
    assert_eq!(world.notices().len(), 1);
}

/// The database was away for twenty minutes: what waits in the spool comes first, canaries among it, and nobody was
/// blind.
#[tokio::test(flavor = "multi_thread")]
async fn after_a_long_outage_of_the_database_what_waited_explains_and_what_was_missed_is_told() {
    if !can_run() {
        return;
    }
    let world = World::new().await;
    let healthy = world.pinged("healthy").await;
    world.pinged("missed").await;
    world.ticks_and_delivers(1).await;
    world.minutes_pass(20).await;
    let canary = Address::PingId(CANARY);
    for minute in 1..20 {
        let waited = message(canary.clone(), SignalKind::Log, minute * 60);
        world.stack.spool.put(&waited, Some(&group(&canary))).await;
    }
    for minute in [15, 10, 5, 1] {
        let waited = message(address(&healthy), SignalKind::Success, minute * 60);
        world.stack.spool.put(&waited, Some(&group(&address(&healthy)))).await;
    }
    world.ticks_and_delivers(5).await;
    // What a queue gave out in an answer that came too late comes again when its time is over.
    let give_up = Instant::now() + Duration::from_secs(60);
    while world.stack.spool.count().await > 0 {
        assert!(Instant::now() < give_up, "the spool is not emptied");
        tokio::time::sleep(Duration::from_secs(1)).await;
        world.ticks_and_delivers(1).await;
    }
    // The spool had something just now: who filled it may be filling it still.
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.execute("update spool_watch set some_at = some_at - interval '1 minute'").await;
    world.ticks_and_delivers(2).await;
    assert_eq!(world.receiver.types_about("healthy"), Vec::<String>::new());
    assert_eq!(world.count("select count(*) from alert where type = 'late'").await, 1);
    assert_eq!(world.receiver.types_about("missed").first().map(String::as_str), Some("late"));
    assert_eq!(world.count("select count(*) from outage_span where kind = 'blind'").await, 0);
    assert_eq!(world.count("select count(*) from outage_span where kind = 'delayed'").await, 1);
    let notices = world.notices();
    assert_eq!(notices.len(), 1, "{notices:?}");
    assert_eq!(notices[0]["cause"], "delayed");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_watches_is_called_while_all_is_well_and_only_then() {
    if !can_run() {
        return;
    }
    // Only whether it was called counts.
    let watcher = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/secret", watcher.local_addr().unwrap());
    let settings = Settings::from([("HEARTBEAT_URL".to_owned(), url)]);
    let database_url = new_database().await;
    let world = World::on(database_url.clone()).await;
    world.ticks_and_delivers(1).await;
    world.minutes_pass(7).await;
    // Blind for minutes, and still so: all that is due is judged, but well it is not.
    let stack = Stack::with_canary(database_url, &settings).await;
    stack.canary_way.refuse().await;
    let call = tokio::time::timeout(Duration::from_secs(4), watcher.accept());
    let ((), call) = tokio::join!(stack.tick(), call);
    assert!(call.is_err(), "it was called by who is blind");
    assert_eq!(world.count("select count(*) from outage_span where ended_at is null").await, 1);

    stack.canary_way.accept();
    let tick = async {
        let (stream, ()) = tokio::join!(watcher.accept(), stack.tick());
        stream.unwrap().0
    };
    let stream = tokio::time::timeout(Duration::from_secs(20), tick).await.expect("it was not called");
    let mut said = vec![0; 200];
    stream.readable().await.unwrap();
    let read = stream.try_read(&mut said).unwrap();
    assert!(String::from_utf8_lossy(&said[..read]).starts_with("GET /secret HTTP/1.1"));
    drop(stream);
    // Not twice within a minute, and its address in no log.
    let again = tokio::time::timeout(Duration::from_millis(500), watcher.accept());
    let ((), again) = tokio::join!(stack.tick(), again);
    assert!(again.is_err(), "it was called twice");
    assert!(!stack.functions.late_check.log().contains("secret"));
}
