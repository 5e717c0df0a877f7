//! Lambda as a host: settings, log, database and queues from the environment that AWS gives a function, and
//! HTTP events for the same routers that a listener serves.

mod aws;
mod database_login;
pub mod http;
pub mod queues;
pub mod spool_queue;
mod sqs;
pub mod wake_queue;

use std::time::Duration;

use database::{Pool, Recycling, Target, connect, explain};
pub use lambda_runtime::{Error, LambdaEvent, service_fn};

/// Reads one setting.
#[must_use]
pub fn setting(name: &str) -> Option<String> {
    database::settings::given(&|name| std::env::var(name).ok(), name)
}

/// A setting that the function can't do without.
///
/// # Errors
/// It is missing.
pub fn required(name: &str) -> Result<String, String> {
    setting(name).ok_or_else(|| format!("{name} is missing"))
}

/// Logs lines of JSON to standard output, from `AWS_LAMBDA_LOG_LEVEL` on (by default INFO).
pub fn log_as_json() {
    let level = setting("AWS_LAMBDA_LOG_LEVEL").and_then(|level| level.parse().ok());
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_target(false)
        .with_max_level(level.unwrap_or(tracing::Level::INFO))
        .with_writer(std::io::stdout)
        .init();
}

/// Connects to `DATABASE_URL`, with the login of `DATABASE_SECRET_ARN` if that is set. Starting is when a
/// function has the most CPU, so the first connection is made here; when it can't be had, the first request
/// tries again.
///
/// # Errors
/// The settings can't be used.
pub async fn connect_database(size: usize) -> Result<Pool, String> {
    Ok(connect_database_with(size, Recycling::Verified).await?.0)
}

/// The same for a function that finds out by itself when a connection has died; and whether there is one now.
///
/// # Errors
/// The settings can't be used.
pub async fn connect_database_unverified(size: usize) -> Result<(Pool, bool), String> {
    connect_database_with(size, Recycling::Fast).await
}

async fn connect_database_with(size: usize, recycling: Recycling) -> Result<(Pool, bool), String> {
    let pool = connect(database_target()?, size, recycling)?;
    let connected = pool.get().await.map(drop);
    if let Err(e) = &connected {
        tracing::error!("no database connection at the start, the first request tries again: {}", explain(e));
    }
    Ok((pool, connected.is_ok()))
}

/// The database of the settings.
///
/// # Errors
/// They are missing.
pub fn database_target() -> Result<Target, String> {
    let mut target = Target::from_env(|name| std::env::var(name).ok())?;
    target.logins = setting("DATABASE_SECRET_ARN").map(database_login::of_secret);
    Ok(target)
}

/// How long a run may take whose end was not told: `cargo lambda watch` gives a moment long past.
const TIME_OF_A_RUN: Duration = Duration::from_secs(60);

/// How long this run may still take. Lambda tells its end as a time of day, which only a clock can compare.
#[allow(clippy::disallowed_methods)]
#[must_use]
pub fn time_left<In>(event: &LambdaEvent<In>) -> Duration {
    event.context.deadline().duration_since(std::time::SystemTime::now()).unwrap_or(TIME_OF_A_RUN)
}

/// Answers invocations until the environment ends.
///
/// # Errors
/// The runtime interface can't be reached.
pub async fn run<In, Out, F>(
    handler: impl Fn(LambdaEvent<In>) -> F + Clone + Send + 'static,
) -> Result<(), Error>
where
    In: for<'de> serde::Deserialize<'de> + Send + 'static,
    Out: serde::Serialize + Send + 'static,
    F: Future<Output = Result<Out, Error>> + Send + 'static,
{
    lambda_runtime::run(service_fn(handler)).await
}
