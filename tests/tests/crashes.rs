//! The built `cronmon`, in real time, and killed.

use std::time::{Duration, Instant};

use cronmon_tests::Receiver;
use cronmon_tests::databases::{new_database, pool};
use cronmon_tests::person::{Person, about};
use cronmon_tests::process::Process;
use cronmon_tests::tokens::Issuer;
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn from_a_ping_to_its_alerts_in_seconds() {
    let issuer = Issuer::new();
    let receiver = Receiver::start().await;
    let cronmon = Process::start(&new_database().await, &issuer.certs_url(), None).await;
    let at = &cronmon.url;
    let person = Person::new(issuer.token("acme"));
    person.listens_at(at, &receiver.url).await;
    let every_5 = |name: &str| json!({ "name": name, "schedule": { "every": 5 }, "grace_duration": 2 });
    let silent = person.creates(at, every_5("silent")).await;
    let hanging = person.creates(at, every_5("hanging")).await;
    let failing = person.creates(at, every_5("failing")).await;
    let healthy = person.creates(at, every_5("healthy")).await;

    let pinged = person.pings(&format!("{at}{silent}")).await;
    person.pings(&format!("{at}{hanging}/start")).await;
    person.pings(&format!("{at}{failing}/1")).await;
    person.pings(&format!("{at}{healthy}")).await;
    let failed = Instant::now();
    receiver.wait_for("failing", 1, Duration::from_secs(2)).await;
    assert!(failed.elapsed() < Duration::from_secs(2));
    // The failing job works again; the healthy one goes on.
    for _ in 0..3 {
        person.pings(&format!("{at}{failing}")).await;
        person.pings(&format!("{at}{healthy}")).await;
        tokio::time::sleep(Duration::from_millis(2_500)).await;
    }
    for name in ["silent", "hanging"] {
        receiver.wait_for(name, 1, Duration::from_secs(3)).await;
        let late = about(&receiver.heard(), name)[0].clone();
        let after = late.at - pinged;
        assert!(after > Duration::from_secs(7), "{name} was late after {after:?}");
        assert!(after < Duration::from_secs(9), "{name} was late after {after:?}");
    }
    person.pings(&format!("{at}{silent}")).await;
    person.pings(&format!("{at}{hanging}")).await;
    person.pings(&format!("{at}{failing}")).await;
    person.pings(&format!("{at}{healthy}")).await;
    tokio::time::sleep(Duration::from_secs(2)).await;

    assert_eq!(receiver.types_about("silent"), ["late", "recovered"]);
    assert_eq!(receiver.types_about("hanging"), ["late", "recovered"]);
    assert_eq!(receiver.types_about("failing"), ["failed", "recovered"]);
    assert_eq!(receiver.types_about("healthy"), Vec::<String>::new());
    let heard = receiver.heard();
    let causes: Vec<&str> =
        ["silent", "hanging", "failing"].map(|n| about(&heard, n)[0].text("cause")).into();
    assert_eq!(causes, ["missed", "overran", "failed"]);
    assert!(cronmon.stop().await < Duration::from_secs(5));
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_it_loses_no_alert_and_makes_none_up() {
    const MONITORS: usize = 12;
    let issuer = Issuer::new();
    let receiver = Receiver::start().await;
    let database_url = new_database().await;
    let mut cronmon = Process::start(&database_url, &issuer.certs_url(), None).await;
    let port = cronmon.port();
    let at = cronmon.url.clone();
    let person = Person::new(issuer.token("acme"));
    person.listens_at(&at, &receiver.url).await;
    let mut pings = Vec::new();
    for i in 0..MONITORS {
        let body = json!({ "name": format!("job {i}"), "schedule": { "every": 2 }, "grace_duration": 1 });
        pings.push(person.creates(&at, body).await);
    }
    let healthy = json!({ "name": "healthy", "schedule": { "every": 3_600 } });
    let healthy = person.creates(&at, healthy).await;
    person.pings(&format!("{at}{healthy}")).await;
    for ping in &pings {
        person.pings(&format!("{at}{ping}")).await;
    }
    // Around the deadlines, some 3 s from now, it is killed at moments of a fixed series and started again.
    for wait in [2_900u64, 130, 310, 70, 450] {
        tokio::time::sleep(Duration::from_millis(wait)).await;
        cronmon.kill().await;
        cronmon = Process::start(&database_url, &issuer.certs_url(), Some(port)).await;
    }
    // Leases of sends that died with their process have to end first.
    for i in 0..MONITORS {
        receiver.wait_for(&format!("job {i}"), 1, Duration::from_secs(30)).await;
    }
    for ping in &pings {
        person.pings(&format!("{at}{ping}")).await;
    }
    for i in 0..MONITORS {
        let name = format!("job {i}");
        let end = Instant::now() + Duration::from_secs(30);
        while !receiver.types_about(&name).contains(&"recovered".to_owned()) {
            assert!(Instant::now() < end, "{name} heard only {:?}", receiver.types_about(&name));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    let heard = receiver.heard();
    assert!(about(&heard, "healthy").is_empty());
    for i in 0..MONITORS {
        let messages = about(&heard, &format!("job {i}"));
        // A repeat has the id of what it repeats.
        let mut seen: Vec<(&str, &str)> = Vec::new();
        for message in &messages {
            let this = (message.webhook_id.as_str(), message.text("type"));
            if !seen.contains(&this) {
                seen.push(this);
            }
        }
        let types: Vec<&str> = seen.iter().map(|(_, kind)| *kind).collect();
        // The pings that mend come quickly enough that nothing is missed a second time before them.
        assert_eq!(types[..2], ["late", "recovered"], "job {i}: {types:?}");
    }
    // Each fact exists once, whatever was killed.
    let pool = pool(&database_url, 1);
    let client = pool.get().await.unwrap();
    let lost = "select count(*) from alert a where not exists (select from delivery d where d.alert_id = a.alert_id)";
    assert_eq!(client.query_one(lost, &[]).await.unwrap().get::<_, i64>(0), 0);
    assert!(cronmon.stop().await < Duration::from_secs(6));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_development_token_opens_the_api() {
    let folder = std::env::temp_dir().join(format!("cronmon-test-key-{}", uuid::Uuid::new_v4()));
    let tool = std::env::var("CRONMON_DEV_TOKEN_BIN").unwrap();
    let made = std::process::Command::new(tool)
        .args(["--dir", folder.to_str().unwrap(), "--tenant", "acme"])
        .output()
        .unwrap();
    assert!(made.status.success());
    let token = String::from_utf8(made.stdout).unwrap().trim().to_owned();
    let certs = format!("file://{}/jwks.json", folder.display());
    let cronmon = Process::start(&new_database().await, &certs, None).await;
    let person = Person::new(token);
    let monitor = person
        .post(&format!("{}/api/v1/monitors", cronmon.url), &json!({ "name": "demo", "schedule": null }))
        .await;
    assert_eq!(monitor["name"], "demo");
    // Its tenant has an inbox from the first request on: somebody hears of it.
    assert!(!monitor["warnings"].to_string().contains("nobody"), "{}", monitor["warnings"]);
    std::fs::remove_dir_all(folder).unwrap();
}
