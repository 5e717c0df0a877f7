//! Nobody's monitors make the others' alerts late: neither how many fall due at once, nor what they cost, nor what
//! their schedules take to read, nor where their alerts go.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use chrono::{DateTime, Duration as Span, Utc};
use cronmon_tests::databases::new_database;
use cronmon_tests::person::Person;
use cronmon_tests::process::Process;
use cronmon_tests::tokens::Issuer;
use cronmon_tests::{CronMon, Receiver};
use database::due::{Until, behind, judge_due};
use domain::Cron;
use late_check::Tick;
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// A tick whose time is up when it begins: it does the least that a tick does.
async fn least_tick(cronmon: &CronMon) -> Tick {
    let until = Until { now: Some(cronmon.now()), ..Until::default() };
    late_check::tick(&cronmon.pool, until, Some(Instant::now()), |_| async {}).await.unwrap()
}

async fn execute(cronmon: &CronMon, statement: &str) {
    cronmon.pool.get().await.unwrap().batch_execute(statement).await.unwrap();
}

async fn count(cronmon: &CronMon, statement: &str) -> i64 {
    let client = cronmon.pool.get().await.unwrap();
    client.query_one(statement, &[&cronmon.now()]).await.unwrap().get(0)
}

/// An alert config that hears everything of this tenant.
async fn listens(cronmon: &CronMon, tenant: &str) {
    let url = "http://127.0.0.1:9/hook";
    let body = json!({ "name": "hook", "default": true, "type": { "webhook": { "url": url } } });
    let answer = cronmon.call_as(tenant, reqwest::Method::POST, "/alert-configs", Some(&body)).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

/// Monitors that expect a run every hour and missed one, due since `due_at`.
async fn miss(cronmon: &CronMon, tenant: &str, monitors: i32, due_at: DateTime<Utc>) {
    let statement = "
        insert into monitor (monitor_id, tenant, name, slug, ping_id, created_at, schedule_kind, every_seconds,
            grace_duration, alert_on, status, armed, next_slot, due_at)
        select gen_random_uuid(), $1, n::text, n::text, gen_random_uuid(), due_at, 'every', 3600, 60, 'first', 'up', true,
            due_at - interval '60 seconds', due_at
        from (select $3::timestamptz as due_at) d, generate_series(1, $2) n";
    let client = cronmon.pool.get().await.unwrap();
    client.execute(statement, &[&tenant, &monitors, &due_at]).await.unwrap();
}

/// How many alerts of this tenant there are, and how many deliveries were made before the last of them.
async fn alerts_and_place(cronmon: &CronMon, tenant: &str) -> (i64, i64) {
    let statement = "
        with own as (select position from delivery join alert_config using (alert_config_id) where tenant = $1)
        select (select count(*) from own),
               (select count(*) from delivery where position < (select max(position) from own))";
    let row = cronmon.pool.get().await.unwrap().query_one(statement, &[&tenant]).await.unwrap();
    (row.get(0), row.get(1))
}

#[tokio::test(flavor = "multi_thread")]
async fn twenty_thousand_monitors_due_for_an_hour_do_not_hold_up_another_tenants() {
    let cronmon = CronMon::start().await;
    for tenant in ["big", "small"] {
        listens(&cronmon, tenant).await;
    }
    miss(&cronmon, "big", 20_000, cronmon.now() - Span::hours(1)).await;
    miss(&cronmon, "small", 1, cronmon.now() - Span::milliseconds(1)).await;
    let ticked = least_tick(&cronmon).await;
    assert!(ticked.more && ticked.monitors < 20_001, "{ticked:?}");
    let (alerts, place) = alerts_and_place(&cronmon, "small").await;
    assert_eq!(alerts, 1);
    assert!(place < 400, "after {place} others");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_falls_due_beside_a_long_tick_is_judged_by_the_next_one() {
    let cronmon = CronMon::start().await;
    for tenant in ["big", "small"] {
        listens(&cronmon, tenant).await;
    }
    miss(&cronmon, "big", 3_000, cronmon.now() - Span::hours(1)).await;
    assert!(least_tick(&cronmon).await.more);
    cronmon.set_clock(cronmon.now() + Span::seconds(1));
    miss(&cronmon, "small", 3, cronmon.now() - Span::milliseconds(1)).await;
    least_tick(&cronmon).await;
    assert_eq!(alerts_and_place(&cronmon, "small").await.0, 3);
    // And in the end each of all is told, once.
    cronmon.tick().await;
    assert_eq!(alerts_and_place(&cronmon, "big").await.0, 3_000);
    assert_eq!(count(&cronmon, "select count(*) from monitor where due_at < $1").await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenants_turn_is_over_by_what_its_monitors_cost() {
    let cronmon = CronMon::start().await;
    for tenant in ["big", "small"] {
        listens(&cronmon, tenant).await;
    }
    miss(&cronmon, "big", 500, cronmon.now() - Span::hours(1)).await;
    miss(&cronmon, "small", 150, cronmon.now() - Span::milliseconds(1)).await;
    // Each of these has ten runs that hang.
    execute(
        &cronmon,
        "insert into job (job_id, monitor_id, announced, start_time, due_at, answered)
         select gen_random_uuid(), monitor_id, true, due_at - interval '1 hour', due_at, true
         from monitor cross join generate_series(1, 10) where tenant = 'big';
         update monitor set open_jobs = 10 where tenant = 'big'",
    )
    .await;
    least_tick(&cronmon).await;
    assert_eq!(alerts_and_place(&cronmon, "small").await.0, 150);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_monitor_that_cant_be_judged_holds_up_nobody_and_is_tried_again_in_a_minute() {
    let cronmon = CronMon::start().await;
    for tenant in ["bad", "good"] {
        listens(&cronmon, tenant).await;
    }
    // Whatever goes wrong with one: here the database refuses its alert.
    execute(
        &cronmon,
        "create function refuse() returns trigger language plpgsql as $$
         begin
             perform 1 / 0;
             return null;
         end
         $$;
         create trigger refuse before insert on alert for each row when (new.tenant = 'bad') execute function refuse()",
    )
    .await;
    miss(&cronmon, "bad", 2, cronmon.now() - Span::hours(2)).await;
    miss(&cronmon, "good", 450, cronmon.now() - Span::hours(1)).await;
    let until = Until { now: Some(cronmon.now()), ..Until::default() };
    let ticked = late_check::tick(&cronmon.pool, until, None, |_| async {}).await.unwrap();
    assert_eq!((ticked.monitors, ticked.judged_all()), (450, true));
    assert_eq!(alerts_and_place(&cronmon, "good").await.0, 450);
    assert_eq!(alerts_and_place(&cronmon, "bad").await.0, 0);
    assert_eq!(count(&cronmon, DUE).await, 0);
    // Whoever watches hears of it.
    let judging = async || behind(&cronmon.pool, Some(cronmon.now())).await.unwrap().judging;
    assert_eq!(judging().await, Span::hours(2));

    execute(&cronmon, "drop trigger refuse on alert").await;
    cronmon.set_clock(cronmon.now() + Span::seconds(60));
    cronmon.tick().await;
    assert_eq!(alerts_and_place(&cronmon, "bad").await.0, 0);
    cronmon.set_clock(cronmon.now() + Span::microseconds(1));
    cronmon.tick().await;
    assert_eq!(alerts_and_place(&cronmon, "bad").await.0, 2);
    assert_eq!(judging().await, Span::zero());
}

#[tokio::test(flavor = "multi_thread")]
async fn many_runs_of_one_monitor_fall_due_a_hundred_at_a_time() {
    let cronmon = CronMon::start().await;
    listens(&cronmon, "acme").await;
    // Three of them hang for as long, the others each a little less.
    execute(
        &cronmon,
        &format!(
            "insert into monitor (monitor_id, tenant, name, slug, ping_id, created_at, schedule_kind, expected_duration,
                 grace_duration, alert_on, status, armed, open_jobs, due_at)
             select gen_random_uuid(), 'acme', 'm', 'm', gen_random_uuid(), at, 'none', 60, 60, 'every', 'up', true, 250,
                 at - interval '1 hour'
             from (select '{}'::timestamptz as at) a;
             insert into job (job_id, monitor_id, announced, start_time, due_at, answered)
             select gen_random_uuid(), monitor_id, true, due_at - interval '2 hours',
                 due_at + greatest(0, n - 3) * interval '1 second', true
             from monitor cross join generate_series(1, 250) n",
            cronmon.now()
        ),
    )
    .await;
    let overran = "select count(*) from job where overran_at is not null and $1::timestamptz is not null";
    let until = Until { now: Some(cronmon.now()), ..Until::default() };
    for judged in [100, 200, 250] {
        let batch = judge_due(&cronmon.pool, until, None).await.unwrap().unwrap();
        assert_eq!((batch.monitors, batch.more), (1, judged < 250));
        assert_eq!(count(&cronmon, overran).await, judged);
        assert_eq!(alerts_and_place(&cronmon, "acme").await.0, judged);
    }
    assert_eq!(count(&cronmon, DUE).await, 0);

    // Of one instant too.
    execute(
        &cronmon,
        "update job set overran_at = null, due_at = '2026-11-22T11:30:00Z'; delete from alert;
         update monitor set due_at = '2026-11-22T11:30:00Z'",
    )
    .await;
    judge_due(&cronmon.pool, until, None).await.unwrap();
    assert_eq!(count(&cronmon, overran).await, 100);
    cronmon.tick().await;
    assert_eq!(count(&cronmon, overran).await, 250);
    assert_eq!(alerts_and_place(&cronmon, "acme").await.0, 250);
}

/// Cron monitors of this tenant whose slots ran out, and which are due to get more.
async fn run_out_of_slots(cronmon: &CronMon, tenant: &str, expressions: &[(&str, &str)]) {
    let client = cronmon.pool.get().await.unwrap();
    let (crons, zones): (Vec<&str>, Vec<&str>) = expressions.iter().copied().unzip();
    let statement = "
        insert into monitor (monitor_id, tenant, name, slug, ping_id, created_at, schedule_kind, cron, timezone,
            grace_duration, alert_on, status, armed, slots_after, refill_at, due_at)
        select gen_random_uuid(), $1, 'm' || n, 'm' || n, gen_random_uuid(), at, 'cron', cron, zone, 60, 'first', 'up',
            true, at, at, at
        from unnest($2::text[], $3::text[]) with ordinality as s (cron, zone, n), (select $4::timestamptz as at) a";
    let at = cronmon.now() - Span::seconds(10);
    client.execute(statement, &[&tenant, &crons, &zones, &at]).await.unwrap();
}

const OUT_OF_SLOTS: &str =
    "select count(*) from monitor where slots_after is not null and $1::timestamptz is not null";
const DUE: &str = "select count(*) from monitor where due_at < $1";

#[tokio::test(flavor = "multi_thread")]
async fn slots_are_given_after_judging_and_asked_for_once_a_minute() {
    let cronmon = CronMon::start().await;
    listens(&cronmon, "small").await;
    run_out_of_slots(&cronmon, "big", &vec![("* * * * *", "Europe/Riga"); 300]).await;
    miss(&cronmon, "small", 1, cronmon.now() - Span::milliseconds(1)).await;
    // Whatever is wrong with giving slots, it holds nobody up, and is not tried with every tick.
    execute(&cronmon, "alter function give_slots_to rename to give_slots_to_nobody").await;
    cronmon.tick().await;
    assert_eq!(alerts_and_place(&cronmon, "small").await.0, 1);
    assert_eq!(count(&cronmon, OUT_OF_SLOTS).await, 300);
    assert_eq!(count(&cronmon, DUE).await, 0);
    execute(&cronmon, "alter function give_slots_to_nobody rename to give_slots_to").await;
    cronmon.set_clock(cronmon.now() + Span::seconds(59));
    cronmon.tick().await;
    assert_eq!(count(&cronmon, OUT_OF_SLOTS).await, 300);
    cronmon.set_clock(cronmon.now() + Span::seconds(2));
    cronmon.tick().await;
    assert_eq!(count(&cronmon, OUT_OF_SLOTS).await, 0);
    assert_eq!(count(&cronmon, DUE).await, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_that_cannot_be_read_any_more_expects_nothing_and_is_not_asked_for_again() {
    let cronmon = CronMon::start().await;
    run_out_of_slots(&cronmon, "big", &[("once in a blue moon", "UTC"), ("* * * * *", "Mars/Olympus")]).await;
    cronmon.tick().await;
    assert_eq!(count(&cronmon, DUE).await, 0);
    cronmon.set_clock(cronmon.now() + Span::days(400));
    assert_eq!(count(&cronmon, DUE).await, 0);
}

/// Sparse, dense and odd: what a tenant can save and what takes the longest to look for.
const ODD: &[&str] = &[
    "* * * * *",
    "*/7 3 1-7 * 0",
    "0 0 29 2 *",
    "59 23 29 2 *",
    "0 0 29 2 1",
    "* * 29 2 *",
    "59 23 31 12 *",
    "0 2 * * *",
    "30 2 * 3 */7",
    "0 0 31 1,3,5,7,8,10,12 *",
    "*/59 */23 */30 * *",
    "0 0 L 2 *",
    "0 0 * * 1#5",
    "0 0 15W * *",
    "1,3,5,7,9,11,13,17,19,23,29,31,37,41,43,47,53,59 1,2,3 1,2,3,4,5 1,2,3,5,7,11 1",
];
const ZONES: &[&str] = &[
    "UTC",
    "Antarctica/Troll",
    "Africa/Casablanca",
    "Australia/Lord_Howe",
    "Pacific/Chatham",
    "America/St_Johns",
    "Asia/Kathmandu",
];

#[tokio::test(flavor = "multi_thread")]
async fn no_schedule_that_can_be_saved_fails_a_tick() {
    let cronmon = CronMon::start().await;
    listens(&cronmon, "small").await;
    let all: Vec<(&str, &str)> =
        ODD.iter().flat_map(|cron| ZONES.iter().map(move |zone| (*cron, *zone))).collect();
    for (cron, zone) in &all {
        let body = json!({ "name": format!("{cron} {zone}"), "armed": true, "schedule": { "cron": cron, "timezone": zone } });
        let answer = cronmon.call_as("big", reqwest::Method::POST, "/monitors", Some(&body)).await;
        // In 2026 the next 29 February is within five years, so each of them can be saved, but for a day that is not.
        assert_eq!(answer.status, 200, "{cron} {zone}: {}", answer.body);
    }
    miss(&cronmon, "small", 1, cronmon.now() - Span::milliseconds(1)).await;
    // All slots of all of them pass.
    for _ in 0..12 {
        cronmon.set_clock(cronmon.now() + Span::days(366));
        cronmon.tick().await;
        assert_eq!(count(&cronmon, DUE).await, 0);
    }
    let expected: Value = cronmon.call_as("big", reqwest::Method::GET, "/monitors", None).await.body;
    assert_eq!(expected["data"].as_array().unwrap().len(), all.len());
    assert_eq!(
        count(
            &cronmon,
            "select count(*) from monitor where tenant = 'big' and next_slot is null and $1 > created_at"
        )
        .await,
        0
    );
    assert_eq!(alerts_and_place(&cronmon, "small").await.0, 1);
}

/// Not a limit that a busy machine breaks: an expression that is searched for through centuries takes seconds.
#[test]
fn no_schedule_that_can_be_saved_takes_long_to_read() {
    let now: DateTime<Utc> = "2026-11-22T12:00:00Z".parse().unwrap();
    // Of 29 February only some: twice within five years, and then not for sixteen.
    for cron in ODD.iter().chain(&["0 0 29 2 */2", "* * 29 2 */2"]) {
        for zone in ZONES {
            let schedule = Cron::parse(cron, Some(zone), now).unwrap();
            let began = Instant::now();
            let found: usize =
                (0..10).map(|years| schedule.slots_after(now + Span::days(366 * years)).len()).sum();
            let each = began.elapsed() / 10;
            assert!(found > 0);
            assert!(each < Duration::from_millis(100), "{cron} {zone}: {each:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_go_out_by_turns() {
    let cronmon = CronMon::start().await;
    for tenant in ["big", "small"] {
        listens(&cronmon, tenant).await;
    }
    miss(&cronmon, "big", 300, cronmon.now() - Span::hours(1)).await;
    cronmon.tick().await;
    cronmon.set_clock(cronmon.now() + Span::seconds(1));
    miss(&cronmon, "small", 2, cronmon.now() - Span::milliseconds(1)).await;
    cronmon.tick().await;
    let due = database::due::due_deliveries(&cronmon.pool, cronmon.now(), 5).await.unwrap();
    let tenants: Vec<&str> = due.iter().map(|due| due.tenant.as_str()).collect();
    assert_eq!(tenants, ["big", "small", "big", "small", "big"]);
    let later = Some(cronmon.now() + Span::seconds(60));
    let left = database::due::left_deliveries(&cronmon.pool, later, 4).await.unwrap();
    assert_eq!(left, due[..4].iter().map(|due| due.delivery_id).collect::<Vec<_>>());
}

/// A webhook that takes a connection and never answers: its URL, and how many there were.
async fn never_answers() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let taken = Arc::new(AtomicUsize::new(0));
    let counts = taken.clone();
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
            counts.fetch_add(1, Ordering::SeqCst);
        }
    });
    (url, taken)
}

#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_deliveries_that_are_never_answered_do_not_hold_up_another_tenants_alert() {
    let issuer = Issuer::new();
    let cronmon = Process::start(&new_database().await, &issuer.certs_url(), None).await;
    let at = &cronmon.url;
    let (big, small) = (Person::new(issuer.token("big")), Person::new(issuer.token("small")));
    let (hanging, taken) = never_answers().await;
    for _ in 0..75 {
        big.listens_at(at, &hanging).await;
    }
    let receiver = Receiver::start().await;
    small.listens_at(at, &receiver.url).await;
    let expects_nothing = |name: &str| json!({ "name": name, "schedule": null });
    let one = small.creates(at, expects_nothing("one")).await;
    for name in ["a", "b", "c", "d"] {
        let monitor = big.creates(at, expects_nothing(name)).await;
        big.pings(&format!("{at}{monitor}/fail")).await;
    }
    let end = Instant::now() + Duration::from_secs(9);
    while taken.load(Ordering::SeqCst) < 30 {
        assert!(Instant::now() < end, "nothing is sent");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    small.pings(&format!("{at}{one}/fail")).await;
    receiver.wait_for("one", 1, Duration::from_secs(60)).await;
    // Those that it would have had to wait for have not even been tried.
    let taken = taken.load(Ordering::SeqCst);
    assert!(taken <= 64, "after {taken} others");
}
