//! 10,000 lines at once.

use std::fmt::Write as _;
use std::time::Instant;

use cronmon_tests::CronMon;
use cronmon_tests::contents::{contents, count};
use cronmon_tests::databases::{new_database, pool};
use cronmon_tests::proxy::{Proxy, port_of};

use crate::post::send_as;

/// What a Lambda function may answer, in bytes; what is answered is a text within JSON there.
const LONGEST_ANSWER: usize = 6_291_556;

fn crontab(lines: usize) -> String {
    let mut text = String::new();
    for n in 0..lines {
        if n % 3 == 0 {
            writeln!(text, "# job {n}").unwrap();
        }
        writeln!(
            text,
            "{} {} * * {} /usr/local/bin/job{n} --number {n} >> /var/log/job.log 2>&1",
            n % 60,
            n % 24,
            n % 7
        )
        .unwrap();
    }
    text
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_lines_are_one_transaction_and_as_many_statements_as_ten() {
    let mut turns = Vec::new();
    println!("| lines | first | again | rewritten again | dry | messages | MB |");
    for lines in [10, 10_000] {
        let database_url = new_database().await;
        let proxy = Proxy::before(port_of(&database_url)).await;
        let cronmon = CronMon::start_on(&proxy.in_front_of(&database_url), None).await;
        let direct = pool(&database_url, 1);
        let text = crontab(lines);
        // The first statement of a connection is not the import's.
        cronmon.call(reqwest::Method::GET, "/monitors", None).await;

        let mut took = Vec::new();
        let mut row = Vec::new();
        let before = proxy.turns();
        let started = Instant::now();
        let reply = send_as(&cronmon, "acme", "*/*", "", &text).await;
        took.push(started.elapsed());
        row.push(proxy.turns() - before);
        assert_eq!(reply.status, 200, "{:.500}", reply.text);
        assert_eq!(reply.text.matches("/start").count(), lines);

        assert_eq!(
            count(&direct, "select count(*) from monitor where armed").await,
            i64::try_from(lines).unwrap()
        );
        let written_by = "select count(distinct x) from (select xmin::text from monitor union select xmin::text \
             from slots_to_come) as written (x)";
        assert_eq!(count(&direct, written_by).await, 1, "transactions");

        let now = contents(&direct).await;
        for again in [&text, &reply.text] {
            let before = proxy.turns();
            let started = Instant::now();
            let again = send_as(&cronmon, "acme", "*/*", "", again).await;
            took.push(started.elapsed());
            row.push(proxy.turns() - before);
            assert_eq!(again.status, 200, "{:.500}", again.text);
            assert!(again.text == reply.text);
        }
        let started = Instant::now();
        assert_eq!(send_as(&cronmon, "dry", "*/*", "?dry_run=1", &text).await.status, 200);
        took.push(started.elapsed());
        assert!(contents(&direct).await == now);

        println!(
            "| {lines} | {:.2?} | {:.2?} | {:.2?} | {:.2?} | {row:?} | {:.2} |",
            took[0],
            took[1],
            took[2],
            took[3],
            reply.text.len() as f64 / 1e6
        );
        turns.push(row);
    }
    assert_eq!(turns[0], turns[1]);
    assert!(turns[0].iter().all(|turns| *turns < 20), "{turns:?}");
}

/// Whatever Lambda would not let through would leave monitors behind of which nobody has the URLs.
#[tokio::test(flavor = "multi_thread")]
async fn what_would_be_too_long_an_answer_is_refused_before_anything_is_saved() {
    let cronmon = CronMon::start().await;
    for (lines, accept, status) in [
        (10_000, "application/json", 422),
        (19_000, "*/*", 422),
        (9_000, "application/json", 200),
        (17_000, "*/*", 200),
    ] {
        let reply = send_as(&cronmon, "acme", accept, "", crontab(lines)).await;
        assert_eq!(reply.status, status, "{lines}: {:.300}", reply.text);
        let saved = count(&cronmon.pool, "select count(*) from monitor").await;
        if status == 422 {
            assert!(reply.refusal().contains("the answer would be larger than"), "{}", reply.text);
            assert_eq!(reply.refusal().contains("ask for the text"), accept == "application/json");
            assert_eq!(saved, 0);
        } else {
            let length = serde_json::to_string(&reply.text).unwrap().len();
            assert!(length < LONGEST_ANSWER, "{lines}: {length}");
            assert_eq!(saved, i64::try_from(lines).unwrap());
        }
    }
}

/// Every schedule changes at once.
#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_changes_are_one_transaction_too() {
    let cronmon = CronMon::start().await;
    let text = crontab(10_000);
    assert_eq!(send_as(&cronmon, "acme", "*/*", "", &text).await.status, 200);
    let started = Instant::now();
    let reply = send_as(&cronmon, "acme", "*/*", "?timezone=Europe/Riga", &text).await;
    assert_eq!(reply.status, 200, "{:.500}", reply.text);
    println!("10,000 changes: {:.2?}", started.elapsed());
    assert_eq!(count(&cronmon.pool, "select count(distinct xmin::text) from monitor").await, 1);
    let statement = "select count(*) from monitor where timezone = 'Europe/Riga'";
    assert_eq!(count(&cronmon.pool, statement).await, 10_000);

    // In the zone that they have.
    let started = Instant::now();
    let reply = send_as(&cronmon, "acme", "*/*", "", text.replace(" * * ", " * 1-12 ")).await;
    assert_eq!(reply.status, 200, "{:.500}", reply.text);
    println!("10,000 changes in another zone: {:.2?}", started.elapsed());
    let statement = format!("{statement} and cron like '% * 1-12 %'");
    assert_eq!(count(&cronmon.pool, &statement).await, 10_000);
}
