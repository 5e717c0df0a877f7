//! Sends what the deliveries table holds. The sends under way are few, and the tenants share them: however many
//! deliveries one has, and however long its destinations take to answer, there is room for the others'.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;
use std::time::{Duration, Instant};

use database::due::{DueDelivery, due_deliveries};
use database::{DatabaseError, Pool};
use destinations::Senders;
use http_common::Clock;
use notify::{After, Claimed, claim, deliver};
use tokio::sync::Notify;
use tokio::sync::watch::Receiver;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::sleep;
use uuid::Uuid;

use crate::loops::Trouble;

/// How often deliveries are looked for when nobody calls for it: repeats come due by themselves.
const LOOK_PAUSE: Duration = Duration::from_millis(300);

/// A look costs more the more is due. It takes this part of the time, unless there is nothing else to do.
const PART_FOR_LOOKS: u32 = 10;

/// What a look is taken to cost at most. One that takes longer says nothing of that: the process stood still meanwhile.
const DEAREST_LOOK: Duration = Duration::from_millis(300);

/// Deliveries that one look finds.
const OF_A_LOOK: i64 = 5_000;

/// Sends under way at once, and those to one alert config.
const MOST_SENDS: usize = 64;
const MOST_TO_ONE: usize = 16;

/// After an answer, so that what is claimed next is more than one.
const GATHER: Duration = Duration::from_millis(5);

/// `work` is notified of new deliveries.
pub(crate) async fn run(
    pool: Pool,
    senders: Senders,
    clock: Clock,
    work: Arc<Notify>,
    mut stopped: Receiver<bool>,
) {
    let mut sends = Sends::default();
    let mut found = Found::default();
    let mut trouble = Trouble::default();
    while !*stopped.borrow() {
        found.wanted |= sends.forget_ended();
        match send_some(&pool, &senders, &clock, &mut found, &mut sends).await {
            Ok(()) => trouble.over("deliveries go out again"),
            Err(e) => trouble.is(&format!("deliveries can't be claimed: {e}")),
        }
        let pause = tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => None,
            () = work.notified() => {
                found.wanted = true;
                None
            }
            Some(()) = sends.one_ends() => Some(GATHER),
            () = sleep(LOOK_PAUSE) => None,
        };
        if let Some(pause) = pause {
            sleep(pause).await;
        }
    }
    while sends.one_ends().await.is_some() {}
}

/// Claims and sends as much as there is room for.
async fn send_some(
    pool: &Pool,
    senders: &Senders,
    clock: &Clock,
    found: &mut Found,
    sends: &mut Sends,
) -> Result<(), DatabaseError> {
    if found.is_old() {
        let began = Instant::now();
        found.due = due_deliveries(pool, clock(), OF_A_LOOK).await?.into();
        found.looked_at = Some(began);
        found.look_took = began.elapsed().min(DEAREST_LOOK);
        found.more = i64::try_from(found.due.len()).is_ok_and(|count| count == OF_A_LOOK);
        found.wanted = false;
    }
    let next = sends.room_for(&mut found.due);
    if next.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = next.iter().map(|due| due.delivery_id).collect();
    let most = i64::try_from(ids.len()).unwrap_or(i64::MAX);
    for claimed in claim(pool, &ids, Some(clock()), most).await? {
        if let Some(due) = next.iter().find(|due| due.delivery_id == claimed.delivery_id()) {
            let (pool, senders) = (pool.clone(), senders.clone());
            sends.begin(due, async move { deliver(&pool, &senders, claimed, Claimed::now).await });
        }
    }
    Ok(())
}

/// What the last look found and nobody has claimed since.
#[derive(Default)]
struct Found {
    due: VecDeque<DueDelivery>,
    /// There was more than a look finds.
    more: bool,
    looked_at: Option<Instant>,
    look_took: Duration,
    /// Somebody said that there is more by now.
    wanted: bool,
}

impl Found {
    fn is_old(&self) -> bool {
        let Some(looked_at) = self.looked_at else { return true };
        if self.due.is_empty() && self.more {
            return true;
        }
        let age = looked_at.elapsed();
        age >= self.look_took * PART_FOR_LOOKS && (self.wanted || age >= LOOK_PAUSE)
    }
}

/// The sends under way.
#[derive(Default)]
struct Sends {
    tasks: JoinSet<After>,
    of: HashMap<Id, (String, Uuid)>,
    of_tenant: HashMap<String, usize>,
    to_config: HashMap<Uuid, usize>,
    /// One that ended made the delivery due that waited behind it.
    made_due: bool,
}

impl Sends {
    fn begin(&mut self, due: &DueDelivery, send: impl Future<Output = After> + Send + 'static) {
        let task = self.tasks.spawn(send).id();
        self.of.insert(task, (due.tenant.clone(), due.alert_config_id));
        *self.of_tenant.entry(due.tenant.clone()).or_default() += 1;
        *self.to_config.entry(due.alert_config_id).or_default() += 1;
    }

    /// Takes out of what is due those that may be sent now, in their order. A tenant has no more sends under way
    /// than are free: one alone takes half of all, and whoever comes next finds room.
    fn room_for(&self, due: &mut VecDeque<DueDelivery>) -> Vec<DueDelivery> {
        let mut of_tenant = self.of_tenant.clone();
        let mut to_config = self.to_config.clone();
        let mut free = MOST_SENDS.saturating_sub(self.of.len());
        let mut next = Vec::new();
        due.retain(|one| {
            if free == 0 {
                return true;
            }
            let tenants = of_tenant.get(&one.tenant).copied().unwrap_or(0);
            let configs = to_config.get(&one.alert_config_id).copied().unwrap_or(0);
            if tenants >= free || configs >= MOST_TO_ONE {
                return true;
            }
            of_tenant.insert(one.tenant.clone(), tenants + 1);
            to_config.insert(one.alert_config_id, configs + 1);
            free -= 1;
            next.push(one.clone());
            false
        });
        next
    }

    /// Waits for the end of one; nothing when there is none.
    async fn one_ends(&mut self) -> Option<()> {
        let ended = self.tasks.join_next_with_id().await?;
        self.forget(ended);
        Some(())
    }

    /// Whether those that have ended made others due.
    fn forget_ended(&mut self) -> bool {
        while let Some(ended) = self.tasks.try_join_next_with_id() {
            self.forget(ended);
        }
        std::mem::take(&mut self.made_due)
    }

    fn forget(&mut self, ended: Result<(Id, After), JoinError>) {
        let task = match ended {
            Ok((task, after)) => {
                self.made_due |= after.follower.is_some();
                task
            }
            // The others go on. Its lease ends, and then it is sent again.
            Err(e) => {
                tracing::error!("a delivery was not settled: {e}");
                e.id()
            }
        };
        let Some((tenant, alert_config_id)) = self.of.remove(&task) else { return };
        one_less(&mut self.of_tenant, &tenant);
        one_less(&mut self.to_config, &alert_config_id);
    }
}

fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize>, key: &K) {
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn due(tenant: &str, config: u128) -> DueDelivery {
        DueDelivery {
            delivery_id: Uuid::new_v4(),
            alert_config_id: Uuid::from_u128(config),
            tenant: tenant.to_owned(),
        }
    }

    /// Sends that never end, as many as there is room for.
    fn begin_all(sends: &mut Sends, due: Vec<DueDelivery>) -> usize {
        let mut due = VecDeque::from(due);
        let next = sends.room_for(&mut due);
        for one in &next {
            sends.begin(one, std::future::pending());
        }
        next.len()
    }

    #[tokio::test]
    async fn a_tenant_whose_webhooks_never_answer_leaves_room_for_the_others() {
        let mut sends = Sends::default();
        let hanging = |tenant: &'static str| (0..300).map(|config| due(tenant, config)).collect();
        assert_eq!(begin_all(&mut sends, hanging("a")), MOST_SENDS / 2);
        assert_eq!(begin_all(&mut sends, hanging("a")), 0);
        assert_eq!(begin_all(&mut sends, hanging("b")), 16);
        assert_eq!(begin_all(&mut sends, hanging("c")), 8);
        // Whoever has few is sent at once.
        assert_eq!(begin_all(&mut sends, vec![due("d", 900), due("d", 901)]), 2);
    }

    #[tokio::test]
    async fn an_alert_config_that_never_answers_leaves_room_for_the_others_of_its_tenant() {
        let mut sends = Sends::default();
        let to_one = (0..300).map(|_| due("a", 1)).collect();
        assert_eq!(begin_all(&mut sends, to_one), MOST_TO_ONE);
        assert_eq!(begin_all(&mut sends, vec![due("a", 2), due("a", 1), due("a", 3)]), 2);
    }

    #[tokio::test]
    async fn what_has_no_room_stays_in_its_order_and_has_some_when_others_end() {
        let mut sends = Sends::default();
        let all: Vec<DueDelivery> = (0..40).map(|config| due("a", config)).collect();
        let mut waiting = VecDeque::from(all.clone());
        for one in sends.room_for(&mut waiting) {
            let after = After { delivery_id: one.delivery_id, again_in: None, follower: None };
            sends.begin(&one, async move { after });
        }
        assert_eq!(waiting, &all[32..]);
        while sends.one_ends().await.is_some() {}
        assert!(sends.of.is_empty() && sends.of_tenant.is_empty() && sends.to_config.is_empty());
        assert_eq!(sends.room_for(&mut waiting), &all[32..]);
    }
}
