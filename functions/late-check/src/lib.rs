//! Finds what is due. One run is a tick: it judges every monitor whose deadline has passed, the longest
//! due first, and writes down alerts and deliveries. When many are due at once, the tenants take turns. Before that it
//! applies what waits in the spool and finds more starts for maintenance windows, and beside it deletes old history.

pub mod get;
pub mod heartbeat;
pub mod old_history;
pub mod replay;

use std::time::{Duration, Instant};

use database::due::{BATCH, Judged, Until, due_by_turns, give_needed_slots, judge_due, longest_due, put_off};
use database::windows::refill;
use database::{DatabaseError, Pool};
use uuid::Uuid;

/// Batches in one tick at most: what is left is due again in the next one, and one tick can't go on for
/// ever beside it.
const MOST_BATCHES: usize = 1_000;

/// Monitors that are judged in the order of one look, before the next one sees who fell due meanwhile. A look costs
/// more the more are due.
const OF_A_LOOK: i64 = 2_000;

/// How many times as long as a look took is judged before the tick ends.
const USE_OF_A_LOOK: u32 = 3;

/// Statements for maintenance windows that need more starts, in one tick at most.
const MOST_REFILLS: usize = 10;

/// And how long they take together, before judging: the others have their turn in the next tick.
const TIME_FOR_REFILLS: Duration = Duration::from_millis(300);

/// What one tick did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tick {
    /// Monitors judged.
    pub monitors: i32,
    /// Cron schedules that got more slots.
    pub refilled: usize,
    /// Too much time passed since the spool was looked into; what is still due was not judged.
    pub too_late: bool,
    /// Its end came before it had judged all.
    pub more: bool,
}

impl Tick {
    /// Whether all that was due has been judged, but for what somebody held.
    #[must_use]
    pub fn judged_all(self) -> bool {
        !self.too_late && !self.more
    }
}

/// Judges these each in a transaction of its own, until `end` comes. Who can't be judged is put off and holds up nobody.
async fn one_by_one(
    pool: &Pool,
    until: Until,
    these: &[Uuid],
    end: Option<Instant>,
) -> Result<Option<Judged>, DatabaseError> {
    // What fell due meanwhile was not looked at.
    let mut total = Judged { more: true, ..Judged::default() };
    for monitor_id in these {
        match judge_due(pool, until, Some(&[*monitor_id])).await {
            Ok(Some(one)) => {
                total.monitors += one.monitors;
                total.need_slots.extend(one.need_slots);
                total.new_deliveries.extend(one.new_deliveries);
            }
            // What was judged stays, and its alerts have to be handed over.
            Ok(None) if total.monitors > 0 => break,
            Ok(None) => return Ok(None),
            Err(e) if e.may_be_over_later() && total.monitors > 0 => break,
            Err(e) if e.may_be_over_later() => return Err(e),
            Err(e) => {
                tracing::error!(%monitor_id, "a monitor can't be judged, and is tried again in a minute: {e}");
                if let Err(e) = put_off(pool, *monitor_id, until.now).await {
                    tracing::error!(%monitor_id, "it could not be put off: {e}");
                }
            }
        }
        if end.is_some_and(|end| Instant::now() > end) {
            break;
        }
    }
    Ok(Some(total))
}

/// Judges what is due, until `end` comes. Two ticks at once share the work.
/// Each batch's deliveries are given to `hand_over` once the batch is committed.
///
/// # Errors
/// [`DatabaseError`] when the database can't work; what was judged before stays, the rest is due in the next tick. A
/// monitor that can't be judged, and slots that can't be given, are only logged: that is tried again in a minute.
pub async fn tick<F: Future<Output = ()>>(
    pool: &Pool,
    until: Until,
    end: Option<Instant>,
    mut hand_over: impl FnMut(Vec<Uuid>) -> F,
) -> Result<Tick, DatabaseError> {
    let mut total = Tick { more: true, ..Tick::default() };
    // First: which windows were in force decides who is told.
    let began = Instant::now();
    for _ in 0..MOST_REFILLS {
        match refill(pool, until.now).await {
            Ok(refilled) if refilled.more && began.elapsed() < TIME_FOR_REFILLS => {}
            Ok(_) => break,
            // Without a connection nothing else will be done either.
            Err(e @ DatabaseError::Pool(_)) => return Err(e),
            // Half of their starts are still to come.
            Err(e) => {
                tracing::error!("maintenance windows were not looked after: {e}");
                break;
            }
        }
    }
    // Who is next, while more are due than a batch takes: one tenant's monitors must not hold up the others'.
    let mut turns: Vec<Uuid> = Vec::new();
    let (mut end, mut looks) = (end, 0);
    for _ in 0..MOST_BATCHES {
        let these: Vec<Uuid> = turns.drain(..turns.len().min(BATCH)).collect();
        let by_turns = !these.is_empty();
        let batch = match judge_due(pool, until, by_turns.then_some(&*these)).await {
            Err(e) if !e.may_be_over_later() => {
                tracing::error!("a batch could not be judged, and is judged one by one: {e}");
                let these = if by_turns { these } else { longest_due(pool, until).await? };
                one_by_one(pool, until, &these, end).await?
            }
            batch => batch?,
        };
        let Some(batch) = batch else {
            total.too_late = true;
            return Ok(total);
        };
        total.monitors += batch.monitors;
        if !batch.new_deliveries.is_empty() {
            hand_over(batch.new_deliveries).await;
        }
        match give_needed_slots(pool, batch.need_slots, until.now).await {
            Ok(refilled) => total.refilled += refilled,
            // What was judged is committed, and the caller has to hear of it.
            Err(e) => tracing::error!("no slots were given: {e}"),
        }
        if !by_turns {
            if !batch.more {
                total.more = false;
                return Ok(total);
            }
            let began = Instant::now();
            turns = due_by_turns(pool, until, OF_A_LOOK).await?;
            looks += 1;
            if looks == 1 {
                // A look is made use of, else short ticks would do nothing but look.
                end = end.map(|end| end.max(Instant::now() + began.elapsed() * USE_OF_A_LOOK));
            }
        }
        // However little time there is, one batch goes by turns.
        if (by_turns || turns.is_empty()) && end.is_some_and(|end| Instant::now() > end) {
            break;
        }
    }
    total.more = true;
    Ok(total)
}
