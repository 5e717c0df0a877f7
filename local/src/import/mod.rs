//! `cronmon import`: copies the database of an original CronMon into this one's. What is there already stays as it is;
//! so it can be killed anywhere and run again, also once the original has gone on.
//!
//! The original is read in one snapshot, into temporary tables beside ours, and let go. From there everything is
//! copied in batches of whole monitors, each in a transaction of its own.

mod monitors;
mod original;
mod rest;
mod summary;

use chrono::{DateTime, Utc};
use database::settings::given;
use database::{Recycling, Target, connect, explain};
use deadpool_postgres::Object;
use original::Counts;
use summary::Progress;

use crate::{migrate_up, settings, unreachable};

/// Held while importing, so that two at once come one after the other. Any number that is ours alone.
const ADVISORY_LOCK: i64 = 0x6372_6f6e_696d_7000;

/// In both sessions. Times are written by one and read by the other; and a statement may take as long as it needs.
const SESSION: &str = "set time zone 'UTC'; set datestyle = 'ISO, MDY'; set client_min_messages = warning; \
     set statement_timeout = 0; set idle_in_transaction_session_timeout = 0";

/// What was copied, for the summary.
#[derive(Debug, Default)]
struct Copied {
    monitors: u64,
    jobs: u64,
    /// Jobs that were running here and have ended in the original since.
    ended: u64,
    keys: u64,
    configs: u64,
    attached: u64,
}

pub(crate) async fn import(
    from: &str,
    get: impl Fn(&str) -> Option<String>,
    now: DateTime<Utc>,
) -> Result<(), String> {
    let ca = given(&get, "FROM_CA").or_else(|| given(&get, "DATABASE_CA"));
    let source = Target { url: from.to_owned(), ca, logins: None };
    let source = connect(source, 1, Recycling::Fast).map_err(|e| {
        // It names the settings of our own database.
        format!(
            "the original's database: {}",
            e.replace("DATABASE_URL", "its URL").replace("DATABASE_CA", "FROM_CA")
        )
    })?;
    let target = connect(settings::database(get)?, 1, Recycling::Fast)?;

    let source = source
        .get()
        .await
        .map_err(|e| format!("the original's database can't be reached: {}", explain(&e)))?;
    let counts = original::open(&source, now).await?;
    {
        let target = target.get().await.map_err(|e| unreachable(&e).to_string())?;
        if original::is_one(&target).await? {
            return Err("DATABASE_URL is an original CronMon's database, which is left as it is: \
                        create an empty one for CronMon beside it"
                .to_owned());
        }
    }
    migrate_up(&target).await.map_err(|e| e.to_string())?;
    let mut target = target.get().await.map_err(|e| unreachable(&e).to_string())?;
    target.batch_execute(SESSION).await.map_err(|e| explain(&e))?;
    wait_for_turn(&target).await?;

    let mut progress = Progress::new();
    original::read(&source, &target, &counts, &mut progress).await?;
    drop(source);
    let copied = copy(&mut target, &counts, now, &mut progress).await.map_err(|e| {
        format!("{}; what was copied stays, and the next run goes on from there", explain(&e))
    })?;
    progress.clear();
    summary::print(&target, &counts, &copied).await.map_err(|e| explain(&e))
}

async fn wait_for_turn(target: &Object) -> Result<(), String> {
    let row = target
        .query_one("select pg_try_advisory_lock($1)", &[&ADVISORY_LOCK])
        .await
        .map_err(|e| explain(&e))?;
    if !row.get::<_, bool>(0) {
        crate::say("another import is at work; this one waits for its end");
        target.execute("select pg_advisory_lock($1)", &[&ADVISORY_LOCK]).await.map_err(|e| explain(&e))?;
    }
    Ok(())
}

async fn copy(
    target: &mut Object,
    counts: &Counts,
    now: DateTime<Utc>,
    progress: &mut Progress,
) -> Result<Copied, tokio_postgres::Error> {
    let mut copied = Copied::default();
    monitors::copy(target, counts, now, &mut copied, progress).await?;
    progress.clear();
    rest::copy(target, now, &mut copied).await?;
    Ok(copied)
}
