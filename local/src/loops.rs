//! What happens without a request: the tick, and the deliveries.

use std::sync::Arc;
use std::time::Duration;

use database::Pool;
use http_common::Clock;
use notify::webhook::Webhooks;
use notify::{Claimed, Which};
use ping::InFlight;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval, sleep};

const TICK: Duration = Duration::from_secs(1);

/// How often deliveries are looked for when nobody calls for it: repeats come due by themselves.
const DELIVERY_PAUSE: Duration = Duration::from_millis(300);

/// Sends under way at once: a destination that is slow to answer takes one of them, not the loop.
const MOST_SENDS: usize = 64;

/// `work` is notified of new deliveries.
pub(crate) async fn run(
    pool: Pool,
    webhooks: Webhooks,
    clock: Clock,
    in_flight: InFlight,
    work: Arc<Notify>,
    stopped: watch::Receiver<bool>,
) {
    tokio::join!(
        ticks(pool.clone(), clock.clone(), in_flight, work.clone(), stopped.clone()),
        deliveries(pool, webhooks, clock, work, stopped),
    );
}

async fn ticks(
    pool: Pool,
    clock: Clock,
    in_flight: InFlight,
    work: Arc<Notify>,
    mut stopped: watch::Receiver<bool>,
) {
    let mut seconds = interval(TICK);
    seconds.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut trouble = Trouble::default();
    loop {
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => return,
            _ = seconds.tick() => {}
        }
        // A ping that waits for the database came in time, whenever it gets there.
        let now = clock();
        let now = in_flight.oldest().map_or(now, |oldest| oldest.min(now));
        let hand_over = |_| {
            work.notify_one();
            std::future::ready(())
        };
        match late_check::tick(&pool, Some(now), None, hand_over).await {
            Ok(_) => trouble.over("lateness is judged again"),
            Err(e) => trouble.is(&format!("lateness can't be judged: {e}")),
        }
    }
}

async fn deliveries(
    pool: Pool,
    webhooks: Webhooks,
    clock: Clock,
    work: Arc<Notify>,
    mut stopped: watch::Receiver<bool>,
) {
    let permits = Arc::new(Semaphore::new(MOST_SENDS));
    let mut sends = JoinSet::new();
    let mut trouble = Trouble::default();
    while !*stopped.borrow() {
        while sends.try_join_next().is_some() {}
        let free = i64::try_from(permits.available_permits()).unwrap_or(0);
        let claimed = if free == 0 {
            Ok(Vec::new())
        } else {
            notify::claim(&pool, Which::Due, Some(clock()), free).await
        };
        match claimed {
            Ok(claimed) => {
                trouble.over("deliveries go out again");
                for delivery in claimed {
                    let Ok(permit) = permits.clone().try_acquire_owned() else { break };
                    let (pool, webhooks) = (pool.clone(), webhooks.clone());
                    sends.spawn(async move {
                        notify::deliver(&pool, &webhooks, delivery, Claimed::now).await;
                        drop(permit);
                    });
                }
            }
            Err(e) => trouble.is(&format!("deliveries can't be claimed: {e}")),
        }
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => {}
            () = work.notified() => {}
            () = sleep(DELIVERY_PAUSE) => {}
        }
    }
    while sends.join_next().await.is_some() {}
}

/// Says once that something is wrong, and once that it is over.
#[derive(Default)]
struct Trouble(bool);

impl Trouble {
    fn is(&mut self, what: &str) {
        if !std::mem::replace(&mut self.0, true) {
            tracing::error!("{what}");
        }
    }

    fn over(&mut self, what: &str) {
        if std::mem::replace(&mut self.0, false) {
            tracing::info!("{what}");
        }
    }
}
