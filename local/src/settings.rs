//! The settings of `docs/design.md`, read from the environment.

use api::PublicUrl;
use database::Target;
use database::settings::given;
use notify::allowed_networks::AllowedNetworks;

pub(crate) struct Settings {
    pub(crate) database: Target,
    pub(crate) port: u16,
    pub(crate) public_url: PublicUrl,
    pub(crate) auth: api::auth::Settings,
    pub(crate) allowed_networks: AllowedNetworks,
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
            allowed_networks: given(&get, "ALLOWED_NETWORKS").unwrap_or_default().parse()?,
            token_command: given(&get, "CRONMON_TOKEN_COMMAND"),
        })
    }
}
