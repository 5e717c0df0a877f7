//! What is done one after another.

use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;
use tokio_postgres::GenericClient;
use tokio_postgres::types::Type;

use crate::answers::{ApiError, ApiResult};
use crate::auth::Tenant;

/// What a tenant's requests make one after another.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Made {
    MaintenanceWindows,
    AlertConfigs,
    /// Two that import the same one would make its monitors twice.
    Crontabs,
}

/// Those of a tenant wait for each other until the transaction ends, so that two at once can't pass a limit. Taken before
/// any row, so nobody waits for it who holds one.
pub(crate) async fn take_turns(client: &impl GenericClient, tenant: &Tenant, made: Made) -> ApiResult<()> {
    // Locks of two numbers, so that they never meet the one of the migrations.
    let which = match made {
        Made::MaintenanceWindows => 1,
        Made::AlertConfigs => 2,
        Made::Crontabs => 3,
    };
    client
        .execute_typed(
            "select pg_advisory_xact_lock($1, hashtext($2))",
            &[(&which, Type::INT4), (&tenant.0, Type::TEXT)],
        )
        .await?;
    Ok(())
}

/// How long a request waits for its turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for a test, which may then take 10 s until it is sent: together less than the 20 s that the function has.
const PATIENCE_OF_A_TEST: Duration = Duration::from_secs(5);

/// The turn of one that will [`take_turns`], before it takes a connection: those who wait for another must not hold all
/// connections that pings need.
pub(crate) async fn before_a_connection() -> ApiResult<SemaphorePermit<'static>> {
    static TURN: Semaphore = Semaphore::const_new(1);
    turn_of(&TURN, PATIENCE).await
}

/// The same for who saves a crontab, which takes longer.
pub(crate) async fn to_import() -> ApiResult<SemaphorePermit<'static>> {
    static TURN: Semaphore = Semaphore::const_new(1);
    turn_of(&TURN, PATIENCE).await
}

/// Few tests of alert configs go out at a time in a process, whosever they are: nobody makes it send a flood.
pub(crate) async fn to_send_a_test() -> ApiResult<SemaphorePermit<'static>> {
    static TURN: Semaphore = Semaphore::const_new(8);
    turn_of(&TURN, PATIENCE_OF_A_TEST).await
}

async fn turn_of(turns: &'static Semaphore, patience: Duration) -> ApiResult<SemaphorePermit<'static>> {
    match timeout(patience, turns.acquire()).await {
        Ok(turn) => turn.map_err(|e| ApiError::internal(&e)),
        Err(_) => Err(ApiError::busy()),
    }
}

/// Plays the model over a history or reads a crontab, off the threads that serve requests and one at a time in a process:
/// pings need the processors too. Whoever waits should hold no connection meanwhile.
pub(crate) async fn in_turn<T: Send + 'static>(play: impl FnOnce() -> T + Send + 'static) -> ApiResult<T> {
    static TURN: Semaphore = Semaphore::const_new(1);
    let turn = turn_of(&TURN, PATIENCE).await?;
    let played = tokio::task::spawn_blocking(move || {
        // Until it is done: a caller that goes away does not end it.
        let _turn = turn;
        play()
    });
    played.await.map_err(|e| ApiError::internal(&e))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::*;

    #[tokio::test(flavor = "multi_thread")]
    async fn one_plays_at_a_time_though_its_caller_goes_away() {
        let (playing, most, played) =
            (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
        let callers: Vec<_> = (0..8)
            .map(|caller| {
                let (playing, most, played) = (playing.clone(), most.clone(), played.clone());
                let plays = in_turn(move || {
                    most.fetch_max(playing.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(20));
                    playing.fetch_sub(1, Ordering::SeqCst);
                    played.fetch_add(1, Ordering::SeqCst);
                });
                tokio::spawn(async move {
                    // Some go away while they wait or play.
                    let patience = Duration::from_millis(if caller % 2 == 0 { 10 } else { 10_000 });
                    timeout(patience, plays).await.is_ok()
                })
            })
            .collect();
        let mut answered = 0;
        for caller in callers {
            answered += usize::from(caller.await.unwrap());
        }
        assert!(answered >= 4, "{answered} were answered");
        assert!(played.load(Ordering::SeqCst) >= answered);
        assert_eq!(most.load(Ordering::SeqCst), 1);
    }
}
