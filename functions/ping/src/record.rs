//! A signal is recorded: by the database, or while that is away by the spool. Whoever sent it hears yes only
//! when one of them has it.

use std::time::{Duration, Instant};

use database::signals::{Applied, Outcome, ReceivedSignal, Terms, apply_signal, apply_signal_after_a_freeze};
use database::spool::Why;
use tokio::time::timeout;

use crate::App;
use crate::in_flight::Entered;

/// How long the database may take. Clients commonly wait 10 s, and the spool needs some of that.
const TIME_LIMIT: Duration = Duration::from_millis(3_500);

/// After so much silence a connection that may have died in a freeze is taken for dead.
const SILENCE: Duration = Duration::from_secs(1);

/// A database that takes longer may be in trouble, and other signals still on their way to it.
const SOON: Duration = Duration::from_millis(500);

/// Why the database has not got a signal.
enum Failure {
    /// It does not take this one.
    Refused,
    /// It can't take any.
    Away,
    /// Its answer did not come: the signal may be there or not.
    Silent,
}

pub(crate) enum Recorded {
    Applied(Applied),
    /// It will be applied, at its own time.
    Spooled,
    /// The database does not take what it says.
    Refused,
    /// Nobody has it.
    Lost,
}

/// By a task of its own: a client that goes away ends its request, and must not take the connection with it.
pub(crate) async fn record_in_a_task(app: App, signal: ReceivedSignal, in_flight: Entered) -> Recorded {
    let recorded = tokio::spawn(async move {
        let recorded = record(&app, &signal).await;
        drop(in_flight);
        recorded
    });
    recorded.await.unwrap_or(Recorded::Lost)
}

async fn record(app: &App, signal: &ReceivedSignal) -> Recorded {
    let Some(spool) = &app.spool else {
        return match try_database(app, signal, false).await {
            Ok(applied) => Recorded::Applied(applied),
            Err(Failure::Refused) => Recorded::Refused,
            Err(Failure::Away | Failure::Silent) => Recorded::Lost,
        };
    };
    let mut why = Why::Away;
    let mut is_away = false;
    if !spool.holds(&signal.address) && app.breaker.lets_through(Instant::now()) {
        let began = Instant::now();
        match try_database(app, signal, spool.is_shared()).await {
            Ok(applied) => {
                if app.breaker.went_well() {
                    tracing::info!("the database takes pings again");
                }
                if applied.outcome != Outcome::Behind {
                    return Recorded::Applied(applied);
                }
                if began.elapsed() < SOON {
                    why = Why::Behind;
                }
            }
            Err(Failure::Refused) => return Recorded::Refused,
            Err(Failure::Away) => {
                app.breaker.failed(Instant::now());
                is_away = true;
            }
            Err(Failure::Silent) => {
                let now = Instant::now();
                // An environment of Lambda has one ping at a time: it takes the database from no others.
                if app.freezes.is_some() {
                    app.breaker.failed(now);
                } else {
                    app.breaker.had_no_answer(&signal.address, now);
                }
                is_away = true;
            }
        }
    }
    match spool.put(signal, why).await {
        Ok(()) => Recorded::Spooled,
        Err(why) => {
            tracing::error!("a ping could not be spooled: {why}");
            // Better out of its order than not at all.
            if !is_away
                && let Ok(applied) = try_database(app, signal, false).await
                // Its start may be what waits.
                && applied.outcome != Outcome::NoJob
            {
                return Recorded::Applied(applied);
            }
            Recorded::Lost
        }
    }
}

/// A spool that others fill too may hold what has to come first.
async fn try_database(app: &App, signal: &ReceivedSignal, shared_spool: bool) -> Result<Applied, Failure> {
    let terms = Terms { most_per_minute: app.most_per_minute, from_spool: false, shared_spool };
    let applied = async {
        match &app.freezes {
            // Just after another ping silence only means that the database is slow.
            Some(freezes) => {
                let silence = freezes.may_have_happened(signal.received_at).then_some(SILENCE);
                apply_signal_after_a_freeze(&app.pool, signal, terms, silence).await
            }
            None => apply_signal(&app.pool, signal, terms).await,
        }
    };
    match timeout(TIME_LIMIT, applied).await {
        Ok(Ok(applied)) => Ok(applied),
        Ok(Err(e)) if e.is_refusal() => {
            tracing::error!("the database refuses a ping: {e}");
            Err(Failure::Refused)
        }
        Ok(Err(e)) => {
            tracing::error!("the database did not take a ping: {e}");
            Err(Failure::Away)
        }
        Err(_) => {
            tracing::error!("the database did not take a ping: it did not answer in time");
            Err(Failure::Silent)
        }
    }
}
