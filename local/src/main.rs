//! All functions in one process, for one machine: the same routers on a plain listener, a tick every
//! second, deliveries from the deliveries table. No AWS, no Docker.

mod inbox;
mod loops;
mod serve;
mod settings;
mod spool;
mod spooled;
mod welcome;

use std::process::ExitCode;
use std::sync::Arc;

use chrono::Utc;
use database::{Pool, Recycling, connect, explain, migrations};
use settings::Settings;
use tracing_subscriber::EnvFilter;

/// Connections for requests, and apart from them those of the loops, which a rush of pings must not starve.
const CONNECTIONS_FOR_REQUESTS: usize = 16;
const CONNECTIONS_FOR_LOOPS: usize = 6;

#[tokio::main]
async fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_target(false).with_writer(std::io::stderr).init();

    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let result = match arguments.as_slice() {
        [] => run().await,
        ["migrate", how @ ("up" | "revert" | "redo")] => migrate(how).await,
        _ => Err("usage: cronmon, or cronmon migrate up|revert|redo".to_owned()),
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
    migrate_up(&pool).await?;
    // The only clock of the process; everything else is told the time.
    #[allow(clippy::disallowed_methods)]
    let clock: http_common::Clock = Arc::new(Utc::now);
    serve::serve(settings, pool, loops_pool, clock).await
}

async fn migrate(how: &str) -> Result<(), String> {
    let database = settings::database(|name| std::env::var(name).ok())?;
    let pool = connect(database, 1, Recycling::Fast)?;
    if how == "up" {
        return migrate_up(&pool).await;
    }
    let mut client =
        pool.get().await.map_err(|e| format!("the database can't be reached: {}", explain(&e)))?;
    match migrations::revert(&mut client).await? {
        Some(name) => say(&format!("took back {name}")),
        None => say("there is no migration to take back"),
    }
    drop(client);
    if how == "redo" { migrate_up(&pool).await } else { Ok(()) }
}

async fn migrate_up(pool: &Pool) -> Result<(), String> {
    let mut client =
        pool.get().await.map_err(|e| format!("the database can't be reached: {}", explain(&e)))?;
    let applied = migrations::up(&mut client).await?;
    if !applied.is_empty() {
        say(&format!("the schema is at {}", applied.join(", ")));
    }
    Ok(())
}

/// What a person at the terminal reads. The log goes to standard error.
#[allow(clippy::print_stdout)]
fn say(line: &str) {
    println!("{line}");
}
