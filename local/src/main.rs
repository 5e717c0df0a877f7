//! All functions in one process, for one machine: the same routers on a plain listener, a tick every
//! second, deliveries from the deliveries table. No AWS, no Docker.

mod beats;
mod deliveries;
mod import;
mod inbox;
mod loops;
mod ping_spool;
mod seed;
mod serve;
mod settings;
mod spool;
mod welcome;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, SubsecRound as _, Utc};
use database::keys::{Scope, check_tenant, create_api_key};
use database::{Pool, PoolError, Recycling, connect, explain, may_come, migrations};
use settings::Settings;
use tracing_subscriber::EnvFilter;

/// Connections for requests, and apart from them those of the loops, which a rush of pings must not starve.
const CONNECTIONS_FOR_REQUESTS: usize = 16;
const CONNECTIONS_FOR_LOOPS: usize = 6;

/// Between two looks whether the database is there, after a start without it.
const BETWEEN_TRIES: Duration = Duration::from_secs(1);

const USAGE: &str = "usage: cronmon, cronmon migrate up|revert|redo, cronmon key TENANT ping|read|manage, \
     cronmon import postgres://... (or by the setting FROM), or cronmon seed [TENANT] [--yes]";

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(std::io::stderr).init();

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        [] => run().await,
        ["migrate", how @ ("up" | "revert" | "redo")] => migrate(how).await,
        ["key", tenant, scope @ ("ping" | "read" | "manage")] => make_key(tenant, scope).await,
        ["import"] => match std::env::var("FROM") {
            Ok(from) => import(&from).await,
            Err(_) => Err(USAGE.to_owned()),
        },
        ["import", from] => import(from).await,
        ["seed"] => seed("dev", false).await,
        ["seed", "--yes"] => seed("dev", true).await,
        ["seed", tenant] if !tenant.starts_with('-') => seed(tenant, false).await,
        ["seed", tenant, "--yes"] | ["seed", "--yes", tenant] => seed(tenant, true).await,
        _ => Err(USAGE.to_owned()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("cronmon: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<(), String> {
    let settings = Settings::from_env(|name| std::env::var(name).ok())?;
    let pool = connect(settings.database.clone(), CONNECTIONS_FOR_REQUESTS, Recycling::Fast)?;
    let loops_pool = connect(settings.database.clone(), CONNECTIONS_FOR_LOOPS, Recycling::Fast)?;
    let is_migrated = match (migrate_up(&pool).await, &settings.spool_folder) {
        (Ok(()), _) => true,
        (Err(NotMigrated::Away(why)), Some(_)) => {
            tracing::error!("{why}; until it can, pings wait in the spool");
            false
        }
        (Err(why), _) => return Err(why.to_string()),
    };
    // The only clock of the process; everything else is told the time.
    #[allow(clippy::disallowed_methods)]
    let clock: http_common::Clock = Arc::new(Utc::now);
    serve::serve(settings, pool, loops_pool, clock, is_migrated).await
}

async fn import(from: &str) -> Result<(), String> {
    import::import(from, |name| std::env::var(name).ok(), now()).await
}

async fn seed(tenant: &str, is_sure: bool) -> Result<(), String> {
    seed::seed(tenant, is_sure, |name| std::env::var(name).ok(), now()).await
}

/// As in `run`: the only clock of a command, read once.
#[allow(clippy::disallowed_methods)]
fn now() -> DateTime<Utc> {
    Utc::now().trunc_subsecs(6)
}

async fn migrate(how: &str) -> Result<(), String> {
    let database = settings::database(|name| std::env::var(name).ok())?;
    let pool = connect(database, 1, Recycling::Fast)?;
    if how == "up" {
        return migrate_up(&pool).await.map_err(|e| e.to_string());
    }
    let mut client = pool.get().await.map_err(|e| unreachable(&e).to_string())?;
    match migrations::revert(&mut client).await? {
        Some(name) => say(&format!("took back {name}")),
        None => say("there is no migration to take back"),
    }
    drop(client);
    if how == "redo" { migrate_up(&pool).await.map_err(|e| e.to_string()) } else { Ok(()) }
}

/// Makes an API key, and prints it.
async fn make_key(tenant: &str, scope: &str) -> Result<(), String> {
    let scope = Scope::from_name(scope).ok_or("the scope must be ping, read or manage")?;
    check_tenant(tenant)?;
    let pool = connect(settings::database(|name| std::env::var(name).ok())?, 1, Recycling::Fast)?;
    let mut client = pool.get().await.map_err(|e| unreachable(&e).to_string())?;
    // In silence: what it prints is the key and nothing else.
    migrations::up(&mut client).await?;
    let new = create_api_key(&**client, tenant, "made by cronmon key", scope, None, now()).await;
    say(&new.map_err(|e| e.to_string())?.key);
    Ok(())
}

/// Why the schema is not this version's.
enum NotMigrated {
    /// The database may be there later.
    Away(String),
    Failed(String),
}

impl std::fmt::Display for NotMigrated {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (Self::Away(why) | Self::Failed(why)) = self;
        f.write_str(why)
    }
}

fn unreachable(e: &PoolError) -> NotMigrated {
    let why = format!("the database can't be reached: {}", explain(e));
    if may_come(e) { NotMigrated::Away(why) } else { NotMigrated::Failed(why) }
}

async fn migrate_up(pool: &Pool) -> Result<(), NotMigrated> {
    let mut client = pool.get().await.map_err(|e| unreachable(&e))?;
    let applied = migrations::up(&mut client).await.map_err(NotMigrated::Failed)?;
    if !applied.is_empty() {
        say(&format!("the schema is at {}", applied.join(", ")));
    }
    Ok(())
}

/// Migrates once the database is there.
async fn migrate_later(pool: &Pool) {
    let mut known = String::new();
    while let Err(why) = migrate_up(pool).await {
        let why = why.to_string();
        if why != known {
            tracing::error!("{why}");
            known = why;
        }
        tokio::time::sleep(BETWEEN_TRIES).await;
    }
    tracing::info!("the database is there");
}

/// What a person at the terminal reads. The log goes to standard error.
#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}
