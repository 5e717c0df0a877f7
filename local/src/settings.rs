//! The settings of `docs/design.md`, read from the environment.

use std::path::PathBuf;
use std::time::Duration;

use api::PublicUrl;
use database::Target;
use database::settings::given;
use http_common::source::TrustedProxies;
use late_check::heartbeat::Heartbeat;

pub(crate) struct Settings {
    pub(crate) database: Target,
    pub(crate) port: u16,
    pub(crate) public_url: PublicUrl,
    pub(crate) auth: api::auth::Settings,
    /// Where alerts may go.
    pub(crate) destinations: destinations::Settings,
    pub(crate) trusted_proxies: TrustedProxies,
    pub(crate) most_pings_per_minute: i32,
    /// Where pings wait while the database is away; without one they are refused then.
    pub(crate) spool_folder: Option<PathBuf>,
    pub(crate) spool_hold: Duration,
    /// What is called while all is well.
    pub(crate) heartbeat: Option<Heartbeat>,
    /// What prints a token, for the commands that are shown at start; only `make run` knows one.
    pub(crate) token_command: Option<String>,
}

pub(crate) fn database(get: impl Fn(&str) -> Option<String>) -> Result<Target, String> {
    Target::from_env(get).map_err(|e| format!("{e}; `make run` brings a database with it"))
}

impl Settings {
    pub(crate) fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let port = match given(&get, "PORT") {
            None => 8000,
            Some(text) => {
                text.parse().map_err(|_| format!("PORT must be a number up to 65535, not '{text}'"))?
            }
        };
        let public_url = match given(&get, "PUBLIC_URL") {
            None => PublicUrl::FromHost,
            Some(url) => PublicUrl::Fixed(url.trim_end_matches('/').to_owned()),
        };
        let auth = api::auth::Settings::from_env(&get)
            .map_err(|e| format!("{e}; `make run` makes a key of its own without it"))?;
        Ok(Self {
            database: database(&get)?,
            port,
            public_url,
            auth,
            destinations: destinations::Settings::from_env(&get)?,
            trusted_proxies: given(&get, "TRUSTED_PROXIES").unwrap_or_default().parse()?,
            most_pings_per_minute: ping::limit_per_minute(given(&get, "PING_LIMIT_PER_MINUTE").as_deref())?,
            spool_folder: given(&get, "SPOOL_DIR").map(PathBuf::from),
            spool_hold: late_check::replay::hold(given(&get, "SPOOL_HOLD_SECONDS").as_deref())?,
            heartbeat: Heartbeat::of(given(&get, "HEARTBEAT_URL").as_deref())?,
            token_command: given(&get, "CRONMON_TOKEN_COMMAND"),
        })
    }
}
