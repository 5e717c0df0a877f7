//! The built `cronmon` is not there, or its database is not: what becomes of deadlines, and who is told.

use std::path::PathBuf;
use std::time::Duration;

use cronmon_tests::Receiver;
use cronmon_tests::chaos::is_soak;
use cronmon_tests::contents::count;
use cronmon_tests::databases::{new_database, pool};
use cronmon_tests::person::Person;
use cronmon_tests::process::Process;
use cronmon_tests::proxy::{Proxy, port_of};
use cronmon_tests::tokens::Issuer;
use cronmon_tests::webhook::Heard;
use database::Pool;
use reqwest::Method;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

struct World {
    cronmon: Option<Process>,
    url: String,
    issuer: Issuer,
    person: Person,
    receiver: Receiver,
    pool: Pool,
    proxy: Proxy,
    database_url: String,
    /// Of the spool, if it has one.
    folder: Option<PathBuf>,
}

impl World {
    async fn new() -> Self {
        let folder = std::env::temp_dir().join(format!("cronmon-test-outage-{}", Uuid::new_v4()));
        Self::with(Some(folder)).await
    }

    async fn with(folder: Option<PathBuf>) -> Self {
        let issuer = Issuer::new();
        let direct = new_database().await;
        let proxy = Proxy::before(port_of(&direct)).await;
        let mut world = Self {
            cronmon: None,
            url: String::new(),
            person: Person::new(issuer.token("acme")),
            issuer,
            receiver: Receiver::start().await,
            pool: pool(&direct, 2),
            database_url: proxy.in_front_of(&direct),
            proxy,
            folder,
        };
        world.start().await;
        world.person.listens_at(&world.url, &world.receiver.url).await;
        world
    }

    async fn start(&mut self) {
        let port = (!self.url.is_empty()).then(|| port_of(&self.url));
        let spool = self.folder.as_ref().map(|folder| ("SPOOL_DIR", folder.to_str().unwrap()));
        let settings: Vec<_> = spool.into_iter().collect();
        let certs = self.issuer.certs_url();
        let cronmon = Process::start_with(&self.database_url, &certs, port, &settings).await.unwrap();
        self.url.clone_from(&cronmon.url);
        self.cronmon = Some(cronmon);
    }

    async fn kill(&mut self) {
        self.cronmon.take().unwrap().kill().await;
    }

    async fn count(&self, statement: &str) -> i64 {
        count(&self.pool, statement).await
    }

    /// A monitor that is pinged now and then expects a ping every so many seconds.
    async fn pinged(&self, name: &str, every: u32) -> String {
        let body = json!({ "name": name, "schedule": { "every": every }, "grace_duration": 2 });
        let url = format!("{}{}", self.url, self.person.creates(&self.url, body).await);
        self.person.pings(&url).await;
        url
    }

    /// Pings it every two seconds, whatever happens.
    fn goes_on(&self, url: String) -> JoinHandle<()> {
        let http = self.person.http.clone();
        tokio::spawn(async move {
            loop {
                drop(http.get(&url).timeout(Duration::from_secs(8)).send().await);
                sleep(Duration::from_secs(2)).await;
            }
        })
    }

    fn notices(&self) -> Vec<Heard> {
        let mut notices: Vec<Heard> =
            self.receiver.heard().into_iter().filter(|heard| heard.text("type") == "notice").collect();
        notices.dedup_by_key(|heard| heard.webhook_id.clone());
        notices
    }

    async fn wait_for_a_notice(&self, within: Duration) -> Heard {
        let end = Instant::now() + within;
        while self.notices().is_empty() {
            assert!(
                Instant::now() < end,
                "no notice, but {:?}; {}",
                self.receiver.heard(),
                self.what_is_there().await
            );
            sleep(Duration::from_millis(100)).await;
        }
        self.notices()[0].clone()
    }

    /// Of the tables that say why nobody was told.
    async fn what_is_there(&self) -> String {
        let statement = "select json_build_object(
            'spans', (select json_agg(t) from outage_span t), 'alerts', (select json_agg(t) from alert t),
            'deliveries', (select json_agg(t) from delivery t), 'watch', (select json_agg(t) from late_check_watch t),
            'unknown', (select json_agg(t) from unknown_verdict t),
            'monitors', (select json_agg(json_build_array(name, status, due_at, next_slot, last_signal_at)) from monitor)
        )::text";
        self.pool.get().await.unwrap().query_one(statement, &[]).await.unwrap().get(0)
    }

    async fn ready(&self) -> Value {
        let answer = self.person.http.get(format!("{}/api/v1/health/ready", self.url)).send().await.unwrap();
        serde_json::from_str::<Value>(&answer.text().await.unwrap()).unwrap()["data"].clone()
    }

    /// Deadlines passed while nobody was there: they were not judged, somebody was told, and the next ones count again.
    async fn what_passed_was_not_judged_and_what_comes_is(&self) {
        let notice = self.wait_for_a_notice(Duration::from_secs(10)).await;
        let (cause, reason) = (notice.text("cause"), notice.text("reason"));
        assert_eq!((cause, &notice.message["monitor"]), ("blind", &Value::Null));
        assert!(reason.contains("not judged: 2 deadlines (silent, healthy)"), "{reason}");
        assert_eq!(self.receiver.types_about("silent"), Vec::<String>::new());
        let in_the_span = "select count(*) from unknown_verdict join outage_span using (span_id)
                           where deadline_at between began_at and ended_at";
        assert_eq!(self.count(in_the_span).await, 2);
        self.receiver.wait_for("silent", 1, Duration::from_secs(30)).await;
        let not_in_it = "select count(*) from alert, outage_span
                         where type = 'late' and at > ended_at + interval '2 seconds'";
        assert_eq!(self.count(not_in_it).await, 1);
        assert_eq!(self.receiver.types_about("silent"), ["late"]);
        assert_eq!(self.receiver.types_about("healthy"), Vec::<String>::new());
        assert_eq!(self.notices().len(), 1);
        assert_eq!(self.count("select count(*) from outage_span where kind = 'blind'").await, 1);
    }
}

impl Drop for World {
    fn drop(&mut self) {
        drop(self.folder.as_ref().map(std::fs::remove_dir_all));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_stopped_judges_nothing_that_it_could_not_see() {
    let world = World::new().await;
    world.pinged("silent", 8).await;
    let healthy = world.pinged("healthy", 8).await;
    sleep(Duration::from_secs(3)).await;
    let cronmon = world.cronmon.as_ref().unwrap();
    cronmon.signal("STOP").await;
    sleep(Duration::from_secs(15)).await;
    cronmon.signal("CONT").await;
    // One that comes before the process knows that it stood still.
    world.person.pings(&healthy).await;
    let pings = world.goes_on(healthy);
    world.what_passed_was_not_judged_and_what_comes_is().await;
    pings.abort();
    let ready = world.ready().await;
    assert!(ready["ingest_seen_at"].is_string() && ready["ticked_at"].is_string(), "{ready}");
}

/// The first that it does is to answer what came meanwhile: a ping, and an edit of each monitor.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_spool_too_whoever_comes_first_judges_nothing_that_could_not_be_seen() {
    let world = World::with(None).await;
    world.pinged("silent", 8).await;
    let healthy = world.pinged("healthy", 8).await;
    let monitors =
        world.pool.get().await.unwrap().query("select monitor_id, name from monitor", &[]).await.unwrap();
    sleep(Duration::from_secs(3)).await;
    let cronmon = world.cronmon.as_ref().unwrap();
    cronmon.signal("STOP").await;
    sleep(Duration::from_secs(15)).await;
    let pings = world.goes_on(healthy);
    let edits = monitors.iter().map(|row| {
        let url = format!("{}/api/v1/monitors/{}", world.url, row.get::<_, Uuid>("monitor_id"));
        let body = json!({ "name": row.get::<_, &str>("name"), "schedule": { "every": 8 }, "expected_duration": null,
                           "grace_duration": 2 });
        let edit = world.person.request(Method::PATCH, &url).body(body.to_string());
        tokio::spawn(edit.send())
    });
    let edits: Vec<_> = edits.collect();
    // They wait in the socket.
    sleep(Duration::from_millis(300)).await;
    cronmon.signal("CONT").await;
    for edit in edits {
        let answer = edit.await.unwrap().unwrap();
        assert_eq!(answer.status(), 200, "{}", answer.text().await.unwrap());
    }
    world.what_passed_was_not_judged_and_what_comes_is().await;
    pings.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_was_not_there_judges_nothing_that_it_could_not_see() {
    let mut world = World::new().await;
    world.pinged("silent", 8).await;
    let healthy = world.pinged("healthy", 8).await;
    sleep(Duration::from_secs(3)).await;
    world.kill().await;
    sleep(Duration::from_secs(12)).await;
    world.start().await;
    world.person.pings(&healthy).await;
    let pings = world.goes_on(healthy);
    world.what_passed_was_not_judged_and_what_comes_is().await;
    // A short pause is none.
    world.kill().await;
    world.start().await;
    sleep(Duration::from_secs(3)).await;
    pings.abort();
    assert_eq!(world.count("select count(*) from outage_span").await, 1);
}

/// Its pings wait in the spool: nobody was blind. In real time, so that it takes minutes; the environment may say more.
#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_pings_are_kept_and_only_what_was_missed_is_told() {
    if !is_soak() {
        return;
    }
    let world = World::new().await;
    world.pinged("silent", 60).await;
    let healthy = world.pinged("healthy", 8).await;
    let pings = world.goes_on(healthy);
    sleep(Duration::from_secs(3)).await;
    world.proxy.refuse().await;
    let seconds = std::env::var("CRONMON_OUTAGE_SECONDS").map_or(165, |text| text.parse().unwrap());
    sleep(Duration::from_secs(seconds)).await;
    world.proxy.accept();
    world.receiver.wait_for("silent", 1, Duration::from_secs(20)).await;
    let notice = world.wait_for_a_notice(Duration::from_secs(20)).await;
    assert_eq!(notice.text("cause"), "delayed", "{}", notice.message);
    sleep(Duration::from_secs(12)).await;
    pings.abort();
    assert_eq!(world.receiver.types_about("silent"), ["late"]);
    assert_eq!(world.receiver.types_about("healthy"), Vec::<String>::new());
    assert_eq!(world.notices().len(), 1);
    assert_eq!(world.count("select count(*) from outage_span where kind = 'blind'").await, 0);
}
