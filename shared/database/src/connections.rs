//! Connections to Postgres.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use deadpool_postgres::{Connect, Manager, ManagerConfig, QueueMode, RecyclingMethod, Runtime};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::settings::given;
use crate::tls;

pub type Pool = deadpool_postgres::Pool;

/// Which database, and how to get in.
#[derive(Clone)]
pub struct Target {
    /// `postgres://user:password@host/name`.
    pub url: String,
    /// Certificates (PEM) of who may vouch for the server; without them Amazon's for RDS, and the public ones
    /// elsewhere.
    pub ca: Option<String>,
    /// Where user and password come from when they are not in the URL.
    pub logins: Option<Logins>,
}

/// Fetches the login. Called before the first connection, and again when Postgres refuses what it gave.
pub type Logins = Arc<dyn Fn() -> BoxFuture<'static, Result<Login, String>> + Send + Sync>;

#[derive(Clone)]
pub struct Login {
    pub user: String,
    pub password: String,
}

impl From<&str> for Target {
    fn from(url: &str) -> Self {
        Self { url: url.to_owned(), ca: None, logins: None }
    }
}

impl Target {
    /// The settings `DATABASE_URL` and `DATABASE_CA`.
    ///
    /// # Errors
    /// `DATABASE_URL` is missing.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let url = given(&get, "DATABASE_URL").ok_or("DATABASE_URL is missing")?;
        Ok(Self { url, ca: given(&get, "DATABASE_CA"), logins: None })
    }

    /// Whether every server of the URL is on this machine.
    ///
    /// # Errors
    /// As [`connect`].
    pub fn is_on_this_machine(&self) -> Result<bool, String> {
        Ok(tls::is_on_this_machine(&parsed(&self.url)?))
    }
}

/// How a connection that comes back into use is checked.
#[derive(Debug, Clone, Copy)]
pub enum Recycling {
    /// Only whether it is known to be closed: for a process that is never frozen.
    Fast,
    /// By asking Postgres, one round trip: after a freeze a dead connection still looks open.
    Verified,
}

/// No statement of ours takes long; one that does must not hold its locks for ever. And a client that is gone
/// without a word, as an environment of Lambda goes, must not keep its connection for hours. RDS Proxy takes
/// no options.
const OPTIONS: &str = "-c statement_timeout=15s -c idle_in_transaction_session_timeout=15s \
     -c tcp_keepalives_idle=60 -c tcp_keepalives_interval=10 -c tcp_keepalives_count=3";

/// A pool of at most `size` connections; none is opened before it is needed.
///
/// A server on another machine is only spoken to over TLS, and its certificate is verified, unless the URL
/// says `sslmode=disable`.
///
/// # Errors
/// When the URL is not Postgres's or the CA can't be used; the text does not repeat the URL, for it may hold a
/// password.
pub fn connect(target: impl Into<Target>, size: usize, recycling: Recycling) -> Result<Pool, String> {
    let target = target.into();
    let mut config = parsed(&target.url)?;
    config
        .application_name("cronmon")
        .connect_timeout(Duration::from_secs(5))
        .tcp_user_timeout(Duration::from_secs(10))
        .keepalives_idle(Duration::from_secs(30));
    if config.get_options().is_none() && !tls::is_rds_proxy(&config) {
        config.options(OPTIONS);
    }
    let tls = tls::for_server(&mut config, &target.url, target.ca.as_deref())?;
    let method = match recycling {
        Recycling::Fast => RecyclingMethod::Fast,
        Recycling::Verified => RecyclingMethod::Verified,
    };
    let server = Server { tls, logins: target.logins, login: Arc::default() };
    let manager = Manager::from_connect(config, server, ManagerConfig { recycling_method: method });
    Pool::builder(manager)
        .max_size(size)
        // The one that was used last, whose process in Postgres has everything in its caches.
        .queue_mode(QueueMode::Lifo)
        .runtime(Runtime::Tokio1)
        .create_timeout(Some(Duration::from_secs(5)))
        .recycle_timeout(Some(Duration::from_secs(2)))
        .wait_timeout(Some(Duration::from_secs(10)))
        .build()
        .map_err(|e| e.to_string())
}

fn parsed(url: &str) -> Result<Config, String> {
    tls::in_the_drivers_words(url).parse().map_err(|e| format!("DATABASE_URL is not a Postgres URL: {e}"))
}

/// Opens connections for the pool.
#[derive(Clone)]
struct Server {
    tls: Option<MakeRustlsConnect>,
    logins: Option<Logins>,
    /// The login that was fetched last.
    login: Arc<Mutex<Option<Login>>>,
}

type Connected = Result<(Client, JoinHandle<()>), tokio_postgres::Error>;

impl Connect for Server {
    fn connect(&self, config: &Config) -> BoxFuture<'_, Connected> {
        let config = config.clone();
        async move {
            let Some(logins) = &self.logins else { return self.open(&config).await };
            let known = self.login.lock().unwrap_or_else(PoisonError::into_inner).clone();
            if let Some(login) = &known {
                match self.open(&with(&config, login)).await {
                    // The secret was rotated meanwhile.
                    Err(e) if is_refused_login(&e) => {}
                    connected => return connected,
                }
            }
            let login = match logins().await {
                Ok(login) => login,
                Err(why) => {
                    tracing::error!("the database's user and password could not be read: {why}");
                    // The driver has no error of ours. A config without hosts connects to nobody.
                    return self.open(&Config::new()).await;
                }
            };
            let connected = self.open(&with(&config, &login)).await;
            if connected.is_ok() {
                *self.login.lock().unwrap_or_else(PoisonError::into_inner) = Some(login);
            }
            connected
        }
        .boxed()
    }
}

impl Server {
    async fn open(&self, config: &Config) -> Connected {
        match &self.tls {
            Some(tls) => {
                let (client, connection) = config.connect(tls.clone()).await?;
                Ok((client, tokio::spawn(ended(connection))))
            }
            None => {
                let (client, connection) = config.connect(NoTls).await?;
                Ok((client, tokio::spawn(ended(connection))))
            }
        }
    }
}

/// Whoever uses the connection hears of its end from their statement.
async fn ended(connection: impl Future<Output = Result<(), tokio_postgres::Error>>) {
    if let Err(e) = connection.await {
        tracing::debug!("a database connection ended: {e}");
    }
}

fn with(config: &Config, login: &Login) -> Config {
    let mut config = config.clone();
    config.user(&login.user).password(&login.password);
    config
}

fn is_refused_login(e: &tokio_postgres::Error) -> bool {
    matches!(e.code(), Some(&SqlState::INVALID_PASSWORD | &SqlState::INVALID_AUTHORIZATION_SPECIFICATION))
}
