//! Brings the schema up, and back.
//!
//! Each migration has its undo beside it. A file that is missing here is found by the test below, one
//! that has no undo by the compiler.

use std::time::Duration;

use deadpool_postgres::Object;
use refinery::{Migration, Runner};

use crate::explain;

struct Versioned {
    name: &'static str,
    up: &'static str,
    undo: &'static str,
}

macro_rules! migrations {
    ($($name:literal),+ $(,)?) => {
        &[$(Versioned {
            name: $name,
            up: include_str!(concat!("../../../migrations/", $name, ".sql")),
            undo: include_str!(concat!("../../../migrations/undo/", $name, ".sql")),
        }),+]
    };
}

const MIGRATIONS: &[Versioned] = migrations![
    "V0001__tables",
    "V0002__rules",
    "V0003__new_deliveries",
    "V0004__ping_path_tables",
    "V0005__ping_path_rules",
    "V0006__lateness_tables",
    "V0007__lateness_rules",
    "V0008__wakes_and_outages",
    "V0009__fair_ticks",
    "V0010__isolated_ticks",
    "V0011__api_keys",
    "V0012__slack",
    "V0013__lists"
];

/// Held while migrating, so that two at once come one after the other. Any number that is ours alone.
const ADVISORY_LOCK: i64 = 0x6372_6f6e_6d6f_6e00;

const HISTORY: &str = "refinery_schema_history";

/// Applies every migration that is missing, and answers with their names.
///
/// # Errors
/// A migration that failed, or one that was changed after it was applied. What was applied before stays.
pub async fn up(client: &mut Object) -> Result<Vec<String>, String> {
    up_within(client, None).await
}

/// The same, but Postgres stops a statement that takes longer than `limit`, and takes its migration back.
///
/// # Errors
/// As [`up`], and when the time was not enough.
pub async fn up_within(client: &mut Object, limit: Option<Duration>) -> Result<Vec<String>, String> {
    locked(client, limit, async |client| {
        let migrations: Result<Vec<_>, _> =
            MIGRATIONS.iter().map(|m| Migration::unapplied(m.name, m.up)).collect();
        let migrations = migrations.map_err(|e| explain(&e))?;
        let report = Runner::new(&migrations)
            // After a rollback the schema is ahead of this version, which it still serves.
            .set_abort_missing(false)
            .run_async(&mut ***client)
            .await
            .map_err(|e| explain(&e))?;
        Ok(report.applied_migrations().iter().map(|m| format!("V{:04}__{}", m.version(), m.name())).collect())
    })
    .await
}

/// Takes the newest migration back, and answers with its name, or nothing when none is left.
///
/// # Errors
/// When its undo failed; then nothing was changed.
pub async fn revert(client: &mut Object) -> Result<Option<String>, String> {
    locked(client, None, async |client| {
        let known = client
            .query_one("select to_regclass($1) is not null", &[&HISTORY])
            .await
            .map_err(|e| explain(&e))?;
        if !known.get::<_, bool>(0) {
            return Ok(None);
        }
        let newest = client
            .query_opt(
                "select version, format('V%s__%s', lpad(version::text, 4, '0'), name)
                 from refinery_schema_history order by version desc limit 1",
                &[],
            )
            .await
            .map_err(|e| explain(&e))?;
        let Some(newest) = newest else { return Ok(None) };
        let (version, name): (i32, String) = (newest.get(0), newest.get(1));
        let migration = MIGRATIONS
            .iter()
            .find(|m| m.name == name)
            .ok_or_else(|| format!("{name} was applied by another version of CronMon"))?;
        let transaction = client.transaction().await.map_err(|e| explain(&e))?;
        transaction.batch_execute(migration.undo).await.map_err(|e| format!("{name}: {}", explain(&e)))?;
        transaction
            .execute("delete from refinery_schema_history where version = $1", &[&version])
            .await
            .map_err(|e| explain(&e))?;
        transaction.commit().await.map_err(|e| explain(&e))?;
        Ok(Some(name))
    })
    .await
}

async fn locked<T>(
    client: &mut Object,
    limit: Option<Duration>,
    work: impl AsyncFnOnce(&mut Object) -> Result<T, String>,
) -> Result<T, String> {
    // Waiting for another one's migrations, too, may take longer than any statement of ours.
    let limit = limit.map_or(0, |limit| limit.as_millis());
    let begin = format!("set statement_timeout = {limit}");
    client.batch_execute(&begin).await.map_err(|e| explain(&e))?;
    client.execute("select pg_advisory_lock($1)", &[&ADVISORY_LOCK]).await.map_err(|e| explain(&e))?;
    let result = work(client).await;
    let unlocked = client
        .batch_execute(&format!("select pg_advisory_unlock({ADVISORY_LOCK}); reset statement_timeout"))
        .await;
    let result = result?;
    unlocked.map_err(|e| explain(&e))?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../migrations");
        let mut files: Vec<String> = std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| {
                entry.unwrap().file_name().into_string().unwrap().strip_suffix(".sql").map(Into::into)
            })
            .collect();
        files.sort();
        let listed: Vec<&str> = MIGRATIONS.iter().map(|m| m.name).collect();
        assert_eq!(files, listed);
    }
}
