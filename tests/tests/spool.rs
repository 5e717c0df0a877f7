//! What waits in the folder of the built `cronmon` while the database is away, and what becomes of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use chrono::{DateTime, SubsecRound as _, TimeDelta, Utc};
use cronmon_tests::Receiver;
use cronmon_tests::chaos::{now, segments};
use cronmon_tests::contents::count;
use cronmon_tests::cronmon::http_client;
use cronmon_tests::databases::{new_database, pool};
use cronmon_tests::person::Person;
use cronmon_tests::process::Process;
use cronmon_tests::proxy::{Proxy, port_of};
use cronmon_tests::tokens::Issuer;
use database::Pool;
use database::signals::{Address, ReceivedSignal};
use database::spool::{Why, group, to_text};
use domain::SignalKind;
use ring::digest::{SHA256, digest};
use serde_json::{Value, json};
use uuid::Uuid;

/// A folder, a database, and a proxy between that and cronmon.
struct Machine {
    issuer: Issuer,
    person: Person,
    database_url: String,
    pool: Pool,
    proxy: Proxy,
    folder: PathBuf,
}

impl Machine {
    async fn new() -> Self {
        let issuer = Issuer::new();
        let database_url = new_database().await;
        let proxy = Proxy::before(port_of(&database_url)).await;
        let folder = std::env::temp_dir().join(format!("cronmon-test-spool-{}", Uuid::new_v4()));
        std::fs::create_dir(&folder).unwrap();
        Self {
            person: Person::new(issuer.token("acme")),
            issuer,
            pool: pool(&database_url, 2),
            database_url,
            proxy,
            folder,
        }
    }

    async fn start(&self) -> Process {
        let url = self.proxy.in_front_of(&self.database_url);
        let settings = [("SPOOL_DIR", self.folder.to_str().unwrap())];
        Process::start_with(&url, &self.issuer.certs_url(), None, &settings).await.unwrap()
    }

    async fn count(&self, statement: &str) -> i64 {
        count(&self.pool, statement).await
    }

    /// Until nothing waits, and what waited is said to be done.
    async fn wait_for_the_spool(&self, cronmon: &Process) -> Value {
        let url = format!("{}/api/v1/health/ready", cronmon.url);
        let end = Instant::now() + Duration::from_secs(15);
        loop {
            if let Ok(answer) = http_client().get(&url).send().await
                && let Ok(ready) = serde_json::from_str::<Value>(&answer.text().await.unwrap())
                && ready["data"]["spool"]["waiting"] == 0
                && segments(&self.folder) == 0
            {
                return ready["data"].clone();
            }
            assert!(Instant::now() < end, "{} files wait", segments(&self.folder));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Puts records into the folder, as an earlier process would.
    fn left_behind(&self, records: &[(String, DateTime<Utc>, String)]) {
        let lines: Vec<String> = records.iter().map(|(group, at, record)| line(group, *at, record)).collect();
        std::fs::write(self.folder.join("00000001.spool"), lines.concat()).unwrap();
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

/// As `local/src/spool/line.rs` has it.
fn line(group: &str, received_at: DateTime<Utc>, record: &str) -> String {
    let said =
        json!({ "group": group, "received_at": received_at, "record": BASE64.encode(record) }).to_string();
    let sum: String =
        digest(&SHA256, said.as_bytes()).as_ref()[..8].iter().map(|b| format!("{b:02x}")).collect();
    format!("{sum} {said}\n\n")
}

/// A signal of a monitor that is pinged at this path.
fn signal(path: &str, kind: SignalKind, received_at: DateTime<Utc>) -> (String, DateTime<Utc>, String) {
    let ping_id = path.rsplit('/').next().unwrap().parse().unwrap();
    let signal = ReceivedSignal {
        address: Address::PingId(ping_id),
        signal_id: Uuid::now_v7(),
        received_at: received_at.trunc_subsecs(6),
        kind,
        rid: None,
        exit_status: None,
        source_address: None,
        user_agent: None,
        body: None,
        searched: None,
    };
    (group(&signal.address), signal.received_at, to_text(&signal, Why::Away).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_timed_out_and_was_committed_all_the_same_counts_once() {
    let machine = Machine::new().await;
    let cronmon = machine.start().await;
    let ping = machine.person.creates(&cronmon.url, json!({ "name": "a", "schedule": null })).await;
    let mut client = machine.pool.get().await.unwrap();
    let lock = client.transaction().await.unwrap();
    lock.execute("select from monitor for update", &[]).await.unwrap();

    let began = Instant::now();
    machine.person.pings(&format!("{}{ping}", cronmon.url)).await;
    assert!(began.elapsed() > Duration::from_secs(3), "it did not wait for the lock");
    assert!(segments(&machine.folder) > 0, "it was not spooled");
    // The replay waits for the lock too.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(machine.count("select count(*) from signal").await, 0);
    lock.rollback().await.unwrap();
    drop(client);

    machine.wait_for_the_spool(&cronmon).await;
    let statement_of_a_ping = "select count(*) from pg_stat_activity \
         where datname = current_database() and state = 'active' and pid <> pg_backend_pid()";
    while machine.count(statement_of_a_ping).await > 0 {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(machine.count("select count(*) from signal").await, 1);
    assert_eq!(machine.count("select count(*) from job where end_time is not null").await, 1);
    assert_eq!(machine.count("select count(*) from job").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_can_not_be_applied_holds_nobody_up() {
    let machine = Machine::new().await;
    let cronmon = machine.start().await;
    let ping = machine.person.creates(&cronmon.url, json!({ "name": "a", "schedule": null })).await;
    let other = machine.person.creates(&cronmon.url, json!({ "name": "b", "schedule": null })).await;
    cronmon.stop().await;
    let at = now();
    let (group, _, _) = signal(&ping, SignalKind::Success, at);
    let unknown = format!("/ping/{}", Uuid::new_v4());
    machine.left_behind(&[
        (group.clone(), at, "no signal".to_owned()),
        signal(&unknown, SignalKind::Success, at),
        signal(&ping, SignalKind::Success, at),
        (group, at, "damaged below".to_owned()),
        signal(&other, SignalKind::Success, at),
    ]);
    let file = machine.folder.join("00000001.spool");
    let whole = std::fs::read_to_string(&file).unwrap();
    let damaged = BASE64.encode("damaged below");
    std::fs::write(&file, whole.replace(&damaged, &BASE64.encode("damaged indeed"))).unwrap();

    let cronmon = machine.start().await;
    let ready = machine.wait_for_the_spool(&cronmon).await;
    assert_eq!(ready["parked_pings"], 2);
    assert_eq!(machine.count("select count(*) from signal").await, 2);
    assert_eq!(machine.count("select count(*) from monitor where status = 'up'").await, 2);
    let reasons =
        "select count(*) from parked_signal where reason like 'not a signal%' or reason like 'no monitor%'";
    assert_eq!(machine.count(reasons).await, 2);
    let set_aside = std::fs::read_to_string(machine.folder.join("damaged.txt")).unwrap();
    assert!(set_aside.contains(&BASE64.encode("damaged indeed")), "{set_aside}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_whose_pings_all_waited_has_its_duration_and_its_failure_is_told_once() {
    let machine = Machine::new().await;
    let cronmon = machine.start().await;
    let receiver = Receiver::start().await;
    let (person, at) = (&machine.person, &cronmon.url);
    person.listens_at(at, &receiver.url).await;
    let run = person.creates(at, json!({ "name": "run", "schedule": null, "expected_duration": 60 })).await;
    let failing = person.creates(at, json!({ "name": "failing", "schedule": null })).await;
    let rid = "rid=5b8a1c0e-7d7c-4a0b-9c59-0f3f1e6f1a11";

    machine.proxy.refuse().await;
    person.pings(&format!("{at}{run}/start?{rid}")).await;
    person.pings(&format!("{at}{failing}/3")).await;
    tokio::time::sleep(Duration::from_millis(400)).await;
    person.pings(&format!("{at}{run}?{rid}")).await;
    assert!(segments(&machine.folder) > 0 && receiver.heard().is_empty());
    machine.proxy.accept();

    machine.wait_for_the_spool(&cronmon).await;
    receiver.wait_for("failing", 1, Duration::from_secs(5)).await;
    let whole = "select count(*) from job join monitor using (monitor_id) where name = 'run' and succeeded \
         and announced and end_time - start_time between interval '0.4 seconds' and interval '5 seconds'";
    assert_eq!(machine.count(whole).await, 1);
    assert_eq!(machine.count("select count(*) from job").await, 2);
    assert_eq!(machine.count("select sum(open_jobs)::bigint from monitor").await, 0);
    // Time for what must not come.
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(receiver.types_about("failing"), ["failed"]);
    assert_eq!(receiver.heard().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_goes_behind_those_of_its_monitor_that_wait_and_past_all_others() {
    let machine = Machine::new().await;
    let cronmon = machine.start().await;
    let held = machine.person.creates(&cronmon.url, json!({ "name": "held", "schedule": null })).await;
    let other = machine.person.creates(&cronmon.url, json!({ "name": "other", "schedule": null })).await;
    cronmon.stop().await;
    machine.left_behind(&[signal(&held, SignalKind::Start, now() - TimeDelta::seconds(3))]);
    let mut client = machine.pool.get().await.unwrap();
    let lock = client.transaction().await.unwrap();
    lock.execute("select from monitor where name = 'held' for update", &[]).await.unwrap();

    let cronmon = machine.start().await;
    let began = Instant::now();
    machine.person.pings(&format!("{}{held}", cronmon.url)).await;
    machine.person.pings(&format!("{}{other}", cronmon.url)).await;
    assert!(began.elapsed() < Duration::from_secs(2), "one of them waited for the lock");
    let recorded = "select count(*) from signal join monitor using (monitor_id) where name =";
    assert_eq!(machine.count(&format!("{recorded} 'held'")).await, 0);
    assert_eq!(machine.count(&format!("{recorded} 'other'")).await, 1);
    lock.rollback().await.unwrap();
    drop(client);

    machine.wait_for_the_spool(&cronmon).await;
    let ended = "select count(*) from job where announced and end_time > start_time + interval '2 seconds'";
    assert_eq!(machine.count(ended).await, 1);
    assert_eq!(machine.count("select count(*) from job").await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_database_and_folder_a_ping_is_refused_and_stays_so() {
    let machine = Machine::new().await;
    let cronmon = machine.start().await;
    let ping = machine.person.creates(&cronmon.url, json!({ "name": "a", "schedule": null })).await;
    let url = format!("{}{ping}", cronmon.url);
    machine.proxy.refuse().await;
    std::fs::remove_dir_all(&machine.folder).unwrap();
    // The second finds the database known to be away, and is not told more.
    for _ in 0..2 {
        let answer = machine.person.http.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key("retry-after"));
    }
    machine.proxy.accept();
    // The folder is not there again, and not needed.
    machine.person.pings(&url).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(machine.count("select count(*) from signal").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn started_without_the_database_it_takes_pings_for_later() {
    let machine = Machine::new().await;
    let cronmon = machine.start().await;
    let ping = machine.person.creates(&cronmon.url, json!({ "name": "a", "schedule": null })).await;
    cronmon.stop().await;

    machine.proxy.refuse().await;
    let cronmon = machine.start().await;
    machine.person.pings(&format!("{}{ping}", cronmon.url)).await;
    assert!(segments(&machine.folder) > 0);
    machine.proxy.accept();
    machine.wait_for_the_spool(&cronmon).await;
    assert_eq!(machine.count("select count(*) from signal").await, 1);
}
