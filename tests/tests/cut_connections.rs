//! The connection is cut at every message that late-check, notify and a ping have for Postgres, and notify for a
//! webhook: before the message arrives, or before its answer does. Whoever was cut does it again, as the clock, the
//! queue and the client would.

use chrono::Duration as Span;
use cronmon_tests::contents::count;
use cronmon_tests::cronmon::senders as senders_to;
use cronmon_tests::databases::pool;
use cronmon_tests::proxy::{Cut, Proxy, port_of};
use cronmon_tests::{CronMon, Receiver};
use database::due::Until;
use reqwest::StatusCode;
use serde_json::{Value, json};

const MONITORS: usize = 3;

/// CronMon, a proxy in front of its database, and a receiver that hears of everything.
struct Behind {
    cronmon: CronMon,
    proxy: Proxy,
    receiver: Receiver,
}

impl Behind {
    async fn a_proxy() -> Self {
        let cronmon = CronMon::start().await;
        let proxy = Proxy::before(port_of(&cronmon.database_url)).await;
        Self { cronmon, proxy, receiver: Receiver::start().await }
    }

    /// Some monitors that are overdue.
    async fn due() -> Self {
        let behind = Self::a_proxy().await;
        behind.cronmon.hear_everything_at(&behind.receiver.url).await;
        for i in 0..MONITORS {
            let body = json!({ "name": format!("job {i}"), "schedule": { "every": 60 }, "armed": true });
            behind.cronmon.create(body).await;
        }
        behind.cronmon.set_clock(behind.cronmon.now() + Span::hours(1));
        behind
    }

    fn pool(&self) -> database::Pool {
        pool(&self.proxy.in_front_of(&self.cronmon.database_url), 4)
    }

    async fn has(&self, statement: &str) -> i64 {
        count(&self.cronmon.pool, statement).await
    }

    /// Each alert exists once, went out, and was heard by one id however often.
    async fn each_was_told(&self, what: &str) {
        self.cronmon.tick().await;
        // Leases and repeats are over by then.
        self.cronmon.set_clock(self.cronmon.now() + Span::hours(1));
        self.cronmon.deliver().await;
        assert_eq!(self.has("select count(*) from alert").await, MONITORS as i64, "{what}");
        assert_eq!(self.has("select count(*) from delivery").await, MONITORS as i64, "{what}");
        assert_eq!(self.has("select count(*) from delivery where delivered_at is null").await, 0, "{what}");
        let mut ids: Vec<String> = self.receiver.heard().into_iter().map(|heard| heard.webhook_id).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), MONITORS, "{what}");
    }
}

/// Cuts at one message after the other until nothing is left to cut; answers with how many there were.
async fn at_every_message(does: impl AsyncFn(&str, i64, Cut) -> bool) -> i64 {
    let mut messages = 0;
    for cut in [Cut::Message, Cut::Answer] {
        for k in 0.. {
            assert!(k < 60, "it never said all that it had to say");
            if !does(&format!("{cut:?} {k} is cut"), k, cut).await {
                messages = k;
                break;
            }
        }
    }
    messages
}

#[tokio::test(flavor = "multi_thread")]
async fn late_check_at_every_message_to_postgres() {
    let messages = at_every_message(async |what, k, cut| {
        let behind = Behind::due().await;
        let pool = behind.pool();
        behind.proxy.cut_after(k, cut);
        let until = Until { now: Some(behind.cronmon.now()), ..Until::default() };
        let ticked = late_check::tick(&pool, until, None, |_| async {}).await;
        let was_cut = behind.proxy.has_cut();
        // Where it only looked after maintenance windows it goes on.
        assert!(ticked.is_ok() || was_cut, "{what}: {ticked:?}");
        // The next minute's.
        late_check::tick(&pool, until, None, |_| async {}).await.unwrap();
        assert_eq!(behind.has("select count(*) from alert").await, MONITORS as i64, "{what}");
        behind.each_was_told(what).await;
        was_cut
    })
    .await;
    // The login and the statement at least.
    assert!(messages >= 3, "{messages}");
}

/// Deliveries that were made, whose words to Postgres or to the webhook are cut.
async fn notify_is_cut(to_the_webhook: bool) -> i64 {
    at_every_message(async |what, k, cut| {
        let mut behind = Behind::due().await;
        behind.cronmon.tick().await;
        if to_the_webhook {
            behind.proxy = Proxy::before(port_of(&behind.receiver.url)).await;
            let url = behind.proxy.in_front_of(&behind.receiver.url);
            let there = format!("update alert_config set url = '{url}'");
            behind.cronmon.pool.get().await.unwrap().batch_execute(&there).await.unwrap();
        }
        let pool = if to_the_webhook { behind.cronmon.pool.clone() } else { behind.pool() };
        let senders = senders_to("http://127.0.0.1:1/api");
        behind.proxy.cut_after(k, cut);
        // Cut, it may have claimed them or not, sent them or not, written that down or not.
        let now = behind.cronmon.now();
        drop(notify::deliver_due(&pool, &senders, now).await);
        let was_cut = behind.proxy.has_cut();
        // The queue gives the message again, and again once the lease has ended.
        for later in [Span::zero(), Span::seconds(30), Span::hours(1)] {
            notify::deliver_due(&pool, &senders, now + later).await.unwrap();
        }
        let heard = behind.receiver.heard().len();
        behind.each_was_told(what).await;
        assert_eq!(behind.receiver.heard().len(), heard, "{what}: told again after it was settled");
        // Only what was cut is heard a second time.
        assert!(heard <= MONITORS + if was_cut { MONITORS } else { 0 }, "{what}: {heard}");
        was_cut
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn notify_at_every_message_to_postgres() {
    let messages = notify_is_cut(false).await;
    assert!(messages >= 4, "{messages}");
}

#[tokio::test(flavor = "multi_thread")]
async fn notify_at_every_message_to_the_webhook() {
    let messages = notify_is_cut(true).await;
    assert!(messages >= MONITORS as i64, "{messages}");
}

/// Repeats its request until it is taken; answers with how often that took.
async fn pings(cronmon: &CronMon, monitor: &Value, key: Option<&str>) -> usize {
    let path = monitor["ping_url"].as_str().unwrap();
    let path = path.split_once("/ping/").unwrap().1;
    for attempt in 1..=3 {
        let mut request = cronmon.http.post(format!("{}/ping/{path}/fail", cronmon.url));
        if let Some(key) = key {
            request = request.header("Idempotency-Key", key);
        }
        let answer = request.send().await.unwrap();
        if answer.status() == StatusCode::OK {
            return attempt;
        }
        assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
        assert!(answer.headers().contains_key("retry-after"));
    }
    panic!("it was never taken");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ping_at_every_message_to_postgres() {
    for key in [Some("once"), None] {
        let messages = at_every_message(async |what, k, cut| {
            let behind = Behind::a_proxy().await;
            behind.cronmon.hear_everything_at(&behind.receiver.url).await;
            let body = json!({ "name": "job", "schedule": null, "alert_on": "every" });
            let monitor = behind.cronmon.create(body).await;
            let through =
                CronMon::start_on(&behind.proxy.in_front_of(&behind.cronmon.database_url), None).await;
            behind.proxy.cut_after(k, cut);
            let attempts = pings(&through, &monitor, key).await;
            let was_cut = behind.proxy.has_cut();
            assert_eq!(attempts, if was_cut { 2 } else { 1 }, "{what}");
            // Without a key each request counts: the one whose answer was lost may have counted too.
            let signals = behind.has("select count(*) from signal").await;
            match key {
                Some(_) => assert_eq!(signals, 1, "{what}"),
                None => assert!((1..=attempts as i64).contains(&signals), "{what}: {signals}"),
            }
            assert_eq!(behind.has("select count(*) from alert").await, signals, "{what}");
            behind.cronmon.deliver().await;
            assert_eq!(behind.receiver.types_about("job").len() as i64, signals, "{what}");
            was_cut
        })
        .await;
        assert!(messages >= 3, "{messages}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ticks_at_once_share_three_hundred_due_monitors() {
    let cronmon = CronMon::start().await;
    let receiver = Receiver::start().await;
    cronmon.hear_everything_at(&receiver.url).await;
    let monitor = cronmon.create(json!({ "name": "a", "schedule": { "every": 60 }, "armed": true })).await;
    let copies = "insert into monitor (monitor_id, tenant, name, slug, ping_id, created_at, schedule_kind, every_seconds,
            grace_duration, alert_on, armed, next_slot, due_at)
        select gen_random_uuid(), tenant, 'copy ' || i, 'copy-' || i, gen_random_uuid(), created_at, schedule_kind,
            every_seconds, grace_duration, alert_on, armed, next_slot, due_at
        from monitor, generate_series(2, 300) i";
    cronmon.pool.get().await.unwrap().batch_execute(copies).await.unwrap();
    cronmon.set_clock(cronmon.now() + Span::hours(1));
    let other = pool(&cronmon.database_url, 2);
    let until = Until { now: Some(cronmon.now()), ..Until::default() };
    let tick =
        |pool| async move { late_check::tick(pool, until, None, |_| async {}).await.unwrap().monitors };
    let (one, two) = tokio::join!(tick(&cronmon.pool), tick(&other));
    assert_eq!(one + two, 300);
    assert!(one > 0 && two > 0, "{one} and {two}: one of them did nothing");
    for table in ["alert", "delivery"] {
        assert_eq!(count(&cronmon.pool, &format!("select count(*) from {table}")).await, 300, "{table}");
    }
    let all = "select count(distinct monitor_id) from alert where type = 'late'";
    assert_eq!(count(&cronmon.pool, all).await, 300);
    cronmon.deliver().await;
    assert_eq!(receiver.heard().len(), 300);
    assert_eq!(cronmon.read(&monitor).await["status"], "late");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_event_five_times_at_once_is_like_once() {
    let behind = Behind::due().await;
    let (cronmon, pool) = (&behind.cronmon, &behind.cronmon.pool);
    let five = |count: usize| 0..5 * count;
    futures_util::future::join_all(five(1).map(|_| cronmon.tick())).await;
    let made = pool.get().await.unwrap().query("select delivery_id from delivery", &[]).await.unwrap();
    assert_eq!(made.len(), MONITORS);
    let senders = senders_to("http://127.0.0.1:1/api");
    let ids: Vec<uuid::Uuid> = made.iter().map(|row| row.get(0)).collect();
    let end = std::time::Instant::now() + std::time::Duration::from_secs(60);
    let messages = five(1).map(|_| notify::deliver_these(pool, &senders, ids.clone(), end));
    futures_util::future::join_all(messages).await;
    assert_eq!(behind.receiver.heard().len(), MONITORS);

    let monitor = cronmon.create(json!({ "name": "five", "schedule": null, "alert_on": "every" })).await;
    let taken = futures_util::future::join_all(five(1).map(|_| pings(cronmon, &monitor, Some("once")))).await;
    assert_eq!(taken, [1; 5]);
    assert_eq!(behind.has("select count(*) from signal").await, 1);
    cronmon.deliver().await;
    assert_eq!(behind.receiver.types_about("five"), ["failed"]);
}
