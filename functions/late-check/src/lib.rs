//! Finds what is due. One run is a tick: it judges every monitor whose deadline has passed, the longest
//! due first, and writes down alerts and deliveries.

use std::time::Instant;

use chrono::{DateTime, Utc};
use database::due::judge_due;
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
}

/// Judges what is due at `now`, until `end` comes; `None` is Postgres' clock. Two ticks at once share the work.
/// Each batch's deliveries are given to `hand_over` once the batch is committed.
///
/// # Errors
/// [`DatabaseError`]; what was judged before stays, the rest is due in the next tick.
pub async fn tick<F: Future<Output = ()>>(
    pool: &Pool,
    now: Option<DateTime<Utc>>,
    end: Option<Instant>,
    mut hand_over: impl FnMut(Vec<Uuid>) -> F,
) -> Result<Tick, DatabaseError> {
    let mut total = Tick::default();
    for _ in 0..MOST_BATCHES {
        let batch = judge_due(pool, now).await?;
        total.monitors += batch.monitors;
        total.refilled += batch.refilled;
        if !batch.new_deliveries.is_empty() {
            hand_over(batch.new_deliveries).await;
        }
        if !batch.more || end.is_some_and(|end| Instant::now() > end) {
            break;
        }
    }
    Ok(total)
}
