//! The settings of `docs/design.md`, read from the environment.

use api::PublicUrl;
use notify::allowed_networks::AllowedNetworks;

pub(crate) struct Settings {
    pub(crate) database_url: String,
    pub(crate) port: u16,
    pub(crate) public_url: PublicUrl,
    pub(crate) auth: api::auth::Settings,
    pub(crate) allowed_networks: AllowedNetworks,
    /// What prints a token, for the commands that are shown at start; only `make run` knows one.
    pub(crate) token_command: Option<String>,
}

pub(crate) fn database_url(get: impl Fn(&str) -> Option<String>) -> Result<String, String> {
    given(&get, "DATABASE_URL")
        .ok_or_else(|| "DATABASE_URL is missing; `make run` brings a database with it".to_owned())
}

/// An empty setting is one that is not given.
fn given(get: &impl Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    get(name).filter(|value| !value.trim().is_empty())
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
        let require_audience = match given(&get, "JWT_REQUIRE_AUDIENCE").as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => return Err(format!("JWT_REQUIRE_AUDIENCE must be true or false, not '{other}'")),
        };
        let auth = api::auth::Settings {
            certs_url: given(&get, "KEYCLOAK_CERTS_URL").ok_or_else(|| {
                "KEYCLOAK_CERTS_URL is missing; `make run` makes a key of its own without it".to_owned()
            })?,
            require_audience,
            issuer: given(&get, "JWT_ISSUER"),
        };
        Ok(Self {
            database_url: database_url(&get)?,
            port,
            public_url,
            auth,
            allowed_networks: given(&get, "ALLOWED_NETWORKS").unwrap_or_default().parse()?,
            token_command: given(&get, "CRONMON_TOKEN_COMMAND"),
        })
    }
}
