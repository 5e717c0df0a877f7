//! The built `cronmon` and a durable Postgres, both killed while clients ping.

use std::path::PathBuf;
use std::time::Duration;

use cronmon_tests::Receiver;
use cronmon_tests::chaos::{
    CLIENTS, Clients, Outages, Pace, is_soak, monitor, no_alert_was_made_up, now, runs_are_whole, segments,
    silence_is_heard, summary, the_history_is_true,
};
use cronmon_tests::contents::count;
use cronmon_tests::cronmon::http_client;
use cronmon_tests::databases::pool;
use cronmon_tests::person::Person;
use cronmon_tests::postgres::Postgres;
use cronmon_tests::process::Process;
use cronmon_tests::tokens::Issuer;
use database::Pool;
use serde_json::Value;
use tokio::time::{Instant, sleep, sleep_until};

struct Host {
    postgres: Postgres,
    pool: Pool,
    certs_url: String,
    spool: PathBuf,
}

impl Host {
    async fn start_cronmon(&self, port: Option<u16>) -> Process {
        let settings = [("SPOOL_DIR", self.spool.to_str().unwrap())];
        let started = Process::start_with(&self.postgres.url, &self.certs_url, port, &settings).await;
        started.expect("cronmon does not start")
    }

    async fn kill_cronmon(&self, cronmon: Process) -> Process {
        let port = cronmon.port();
        cronmon.kill().await;
        self.start_cronmon(Some(port)).await
    }

    async fn signals(&self) -> i64 {
        count(&self.pool, "select count(*) from signal").await
    }

    /// Kills Postgres when it has some of what waits, and not all.
    async fn kill_postgres_in_the_replay(&self) {
        let before = self.signals().await;
        let end = Instant::now() + Duration::from_secs(20);
        while self.signals().await < before + 20 {
            assert!(Instant::now() < end, "nothing of the spool is applied");
            sleep(Duration::from_millis(2)).await;
        }
        self.postgres.kill_9();
        assert!(segments(&self.spool) > 0, "the replay was over");
    }

    async fn wait_for_the_spool(&self, cronmon: &Process) {
        let http = http_client();
        let url = format!("{}/api/v1/health/ready", cronmon.url);
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = http.get(&url).send().await.unwrap().text().await.unwrap();
            let ready: Value = serde_json::from_str(&answer).unwrap();
            if ready["data"]["spool"]["waiting"] == 0 && segments(&self.spool) == 0 {
                assert_eq!(ready["data"]["parked_pings"], 0);
                return;
            }
            assert!(Instant::now() < end, "{ready}, {} files", segments(&self.spool));
            sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.spool));
    }
}

const PACE: Pace = Pace { pause: 600, every: 5, grace: 4 };

#[tokio::test(flavor = "multi_thread")]
async fn no_ping_is_lost_and_no_alert_made_up_while_everything_is_killed() {
    if !is_soak() || !Postgres::can_freeze() {
        return;
    }
    let (issuer, receiver) = (Issuer::new(), Receiver::start().await);
    let postgres = Postgres::start("chaos-postgres").await;
    let host = Host {
        pool: pool(&postgres.url, 2),
        postgres,
        certs_url: issuer.certs_url(),
        spool: std::env::temp_dir().join(format!("cronmon-test-spool-{}", uuid::Uuid::new_v4())),
    };
    let cronmon = host.start_cronmon(None).await;
    let at = cronmon.url.clone();
    let person = Person::new(issuer.token("acme"));
    person.listens_at(&at, &receiver.url).await;
    let mut urls = Vec::new();
    for client in 0..CLIENTS {
        urls.push(format!("{at}{}", person.creates(&at, monitor(client, PACE)).await));
    }

    let begin = Instant::now();
    let time = |seconds| sleep_until(begin + Duration::from_secs(seconds));
    let mut outages = Outages::default();
    let clients = Clients::start(urls, PACE);

    time(5).await;
    let away = now();
    host.postgres.kill_9();
    time(8).await;
    outages.since(away);
    host.postgres.start_again().await;

    time(14).await;
    let cronmon = host.kill_cronmon(cronmon).await;

    time(19).await;
    let away = now();
    host.postgres.freeze();
    time(39).await;
    outages.since(away);
    host.postgres.thaw();

    time(50).await;
    let away = now();
    host.postgres.kill_9();
    time(53).await;
    assert!(segments(&host.spool) > 0);
    let again = async {
        time(55).await;
        outages.since(away);
        host.postgres.start_again().await;
        host.kill_postgres_in_the_replay().await;
        let away = now();
        time(60).await;
        outages.since(away);
        host.postgres.start_again().await;
    };
    let (cronmon, ()) = tokio::join!(host.kill_cronmon(cronmon), again);

    time(76).await;
    // The clients go on until nothing waits, or silence would be true.
    host.wait_for_the_spool(&cronmon).await;
    let attempts = clients.finish().await;
    println!("one machine: {} in {:?}", summary(&attempts, &outages), begin.elapsed());
    no_alert_was_made_up(&host.pool, &receiver, &attempts).await;
    host.wait_for_the_spool(&cronmon).await;
    the_history_is_true(&host.pool, &attempts).await;
    let runs = runs_are_whole(&host.pool, &attempts).await;
    assert!(runs > 500, "only {runs} runs");
    assert!(attempts.iter().filter(|attempt| attempt.accepted).count() >= 5_000);
    let within = outages.accepted_within(&attempts);
    assert!(within > 500, "only {within} pings were accepted while Postgres was away");
    silence_is_heard(&host.pool, &receiver, Duration::from_secs(15)).await;
}
