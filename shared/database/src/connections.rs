//! Connections to Postgres.

use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, RecyclingMethod, Runtime};
use tokio_postgres::{Config, NoTls};

pub type Pool = deadpool_postgres::Pool;

/// How a connection that comes back into use is checked.
#[derive(Debug, Clone, Copy)]
pub enum Recycling {
    /// Only whether it is known to be closed: for a process that is never frozen.
    Fast,
    /// By asking Postgres, one round trip: after a freeze a dead connection still looks open.
    Verified,
}

/// A pool of at most `size` connections; none is opened before it is needed.
///
/// # Errors
/// When `url` is not a Postgres URL; the text does not repeat it, for it may hold a password.
pub fn connect(url: &str, size: usize, recycling: Recycling) -> Result<Pool, String> {
    let mut config: Config = url.parse().map_err(|e| format!("DATABASE_URL is not a Postgres URL: {e}"))?;
    config
        .application_name("cronmon")
        .connect_timeout(Duration::from_secs(5))
        .tcp_user_timeout(Duration::from_secs(10))
        .keepalives_idle(Duration::from_secs(30));
    if config.get_options().is_none() {
        // No statement of ours takes long; one that does must not hold its locks for ever.
        config.options("-c statement_timeout=15s -c idle_in_transaction_session_timeout=15s");
    }
    let method = match recycling {
        Recycling::Fast => RecyclingMethod::Fast,
        Recycling::Verified => RecyclingMethod::Verified,
    };
    let manager = Manager::from_config(config, NoTls, ManagerConfig { recycling_method: method });
    Pool::builder(manager)
        .max_size(size)
        .runtime(Runtime::Tokio1)
        .create_timeout(Some(Duration::from_secs(5)))
        .recycle_timeout(Some(Duration::from_secs(2)))
        .wait_timeout(Some(Duration::from_secs(10)))
        .build()
        .map_err(|e| e.to_string())
}
