//! Finds what is due. One run is a tick: it judges every monitor whose deadline has passed, the longest
//! due first, and writes down alerts and deliveries. Before that it applies what waits in the spool, and
//! beside it deletes old history.

pub mod get;
pub mod heartbeat;
pub mod old_history;
pub mod replay;

use std::time::Instant;

use database::due::{Until, judge_due};
use database::{DatabaseError, Pool};
use uuid::Uuid;

/// Batches in one tick at most: what is left is due again in the next one, and one tick can't go on for
/// ever beside it.
const MOST_BATCHES: usize = 1_000;

/// What one tick did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tick {
    /// Monitors judged.
    pub monitors: i32,
    /// Cron schedules that got more slots.
    pub refilled: i32,
    /// Too much time passed since the spool was looked into; what is still due was not judged.
    pub too_late: bool,
    /// There was more than one tick judges.
    pub more: bool,
}

impl Tick {
    /// Whether all that was due has been judged, but for what somebody held.
    #[must_use]
    pub fn judged_all(self) -> bool {
        !self.too_late && !self.more
    }
}

/// Judges what is due, until `end` comes. Two ticks at once share the work.
/// Each batch's deliveries are given to `hand_over` once the batch is committed.
///
/// # Errors
/// [`DatabaseError`]; what was judged before stays, the rest is due in the next tick.
pub async fn tick<F: Future<Output = ()>>(
    pool: &Pool,
    until: Until,
    end: Option<Instant>,
    mut hand_over: impl FnMut(Vec<Uuid>) -> F,
) -> Result<Tick, DatabaseError> {
    let mut total = Tick { more: true, ..Tick::default() };
    for _ in 0..MOST_BATCHES {
        let Some(batch) = judge_due(pool, until).await? else {
            total.too_late = true;
            break;
        };
        total.monitors += batch.monitors;
        total.refilled += batch.refilled;
        if !batch.new_deliveries.is_empty() {
            hand_over(batch.new_deliveries).await;
        }
        total.more = batch.more;
        if !batch.more || end.is_some_and(|end| Instant::now() > end) {
            break;
        }
    }
    Ok(total)
}
