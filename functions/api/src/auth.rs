//! Who asks: verifies the bearer tokens (JWT) of the management API.
//!
//! Every refusal is the same 401 to the caller. The reason is for the log only.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chrono::{DateTime, Utc};
use database::keys::check_tenant;
use database::settings::given;
use serde_json::{Map, Value};

use self::keys::{Algorithm, Keys};

mod keys;
mod source;
#[cfg(test)]
mod tests;

/// What `aud` must contain.
const AUDIENCE: &str = "cron-mon";

/// How far, in seconds, the issuer's clock may be from ours.
const LEEWAY: f64 = 60.0;

/// How much of a bearer's name is looked at, in characters.
const MAX_NAME: usize = 255;

/// The owner of everything the caller may see: 1 to 255 characters, none of them NUL.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Tenant(pub String);

/// Who bears a valid token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    pub tenant: Tenant,
    /// The claim `name`, for people; empty when there is none.
    pub name: String,
}

/// How tokens are verified.
#[derive(Debug, Clone)]
pub struct Settings {
    /// `KEYCLOAK_CERTS_URL`: the issuer's JWKS, as `https://`, `http://` or, for development, `file:///`. Without it no
    /// token is valid, and only API keys open anything.
    pub certs_url: Option<String>,
    /// `JWT_REQUIRE_AUDIENCE`: without it a token may come without `aud`. One for another audience is refused all the same.
    pub require_audience: bool,
    /// `JWT_ISSUER`: what `iss` must be, where it is set.
    pub issuer: Option<String>,
}

impl Settings {
    /// From the environment.
    ///
    /// # Errors
    /// `JWT_REQUIRE_AUDIENCE` is neither true nor false.
    pub fn from_env(get: impl Fn(&str) -> Option<String>) -> Result<Self, String> {
        let require_audience = match given(&get, "JWT_REQUIRE_AUDIENCE").as_deref() {
            None | Some("true") => true,
            Some("false") => false,
            Some(other) => return Err(format!("JWT_REQUIRE_AUDIENCE must be true or false, not '{other}'")),
        };
        Ok(Self {
            certs_url: given(&get, "KEYCLOAK_CERTS_URL"),
            require_audience,
            issuer: given(&get, "JWT_ISSUER"),
        })
    }
}

/// Why a token was refused, for the log. Never contains the token.
///
/// Shown as `AuthenticationError("InvalidAudience"): ` and what exactly is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused(String);

impl Refused {
    fn new(kind: &str, why: impl fmt::Display) -> Self {
        Self(format!("AuthenticationError(\"{kind}\"): {why}"))
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// Verifies tokens, and keeps the issuer's keys in memory. Clones share the keys.
#[derive(Clone)]
pub struct Verifier {
    keys: Option<Arc<Keys>>,
    require_audience: bool,
    issuer: Option<String>,
}

impl Verifier {
    /// Does not ask the issuer yet: the first token does.
    ///
    /// # Errors
    /// `certs_url` is not a URL of a known kind, or this machine has no root certificates for `https://`.
    pub fn new(settings: Settings) -> Result<Self, String> {
        Ok(Self {
            keys: settings.certs_url.map(|url| Keys::new(&url)).transpose()?.map(Arc::new),
            require_audience: settings.require_audience,
            issuer: settings.issuer,
        })
    }

    /// Whose the token is in an `Authorization` header, `Bearer <token>`.
    ///
    /// May wait up to five seconds for the issuer when its keys are not known yet. Must run inside a Tokio runtime.
    ///
    /// # Errors
    /// [`Refused`] for every header that does not hold a valid token, and when the keys could not be loaded.
    pub async fn verify(&self, authorization: Option<&str>, now: DateTime<Utc>) -> Result<Bearer, Refused> {
        let token = bearer(authorization)?;
        let keys =
            self.keys.as_ref().ok_or_else(|| Refused::new("NoIssuer", "KEYCLOAK_CERTS_URL is not set"))?;
        let malformed = || Refused::new("InvalidToken", "not three parts with dots between");
        let (message, signature) = token.rsplit_once('.').ok_or_else(malformed)?;
        let (header, claims) = message.split_once('.').ok_or_else(malformed)?;

        let header = object("header", header)?;
        let algorithm = algorithm(&header)?;
        let kid = header
            .get("kid")
            .and_then(Value::as_str)
            .ok_or_else(|| Refused::new("InvalidToken", "the header has no kid"))?;
        let signature = decode("signature", signature)?;

        keys.find(algorithm, kid, now)
            .await
            .map_err(|why| Refused::new("UnknownKey", why))?
            .verify(message.as_bytes(), &signature)
            .map_err(|_| Refused::new("InvalidSignature", "not signed with the issuer's key"))?;

        // Signed by the issuer. From here on, what the token says is true.
        let claims = object("claims", claims)?;
        is_no_id_token(&claims)?;
        check_times(&claims, now)?;
        self.check_issuer(&claims)?;
        self.check_audience(&claims)?;
        let name = claims.get("name").and_then(Value::as_str).unwrap_or_default();
        Ok(Bearer { tenant: tenant(&claims)?, name: name.chars().take(MAX_NAME).collect() })
    }

    /// The same, where only the tenant counts.
    ///
    /// # Errors
    /// As [`Self::verify`].
    pub async fn tenant(&self, authorization: Option<&str>, now: DateTime<Utc>) -> Result<Tenant, Refused> {
        Ok(self.verify(authorization, now).await?.tenant)
    }

    fn check_issuer(&self, claims: &Map<String, Value>) -> Result<(), Refused> {
        match &self.issuer {
            Some(issuer) if claims.get("iss").and_then(Value::as_str) != Some(issuer) => {
                Err(Refused::new("InvalidIssuer", "iss is not JWT_ISSUER"))
            }
            _ => Ok(()),
        }
    }

    fn check_audience(&self, claims: &Map<String, Value>) -> Result<(), Refused> {
        let ours = match claims.get("aud") {
            None | Some(Value::Null) => !self.require_audience,
            Some(Value::Array(all)) => all.iter().any(|one| one == AUDIENCE),
            Some(one) => one == AUDIENCE,
        };
        if ours {
            Ok(())
        } else {
            Err(Refused::new("InvalidAudience", format_args!("aud does not contain {AUDIENCE}")))
        }
    }
}

/// The token of `Bearer <token>`: the word in any case, then exactly one space.
fn bearer(authorization: Option<&str>) -> Result<&str, Refused> {
    const PREFIX: &str = "bearer ";
    let header = authorization.ok_or_else(|| Refused::new("MissingToken", "no Authorization header"))?;
    match header.split_at_checked(PREFIX.len()) {
        Some((prefix, token)) if prefix.eq_ignore_ascii_case(PREFIX) && !token.starts_with(' ') => Ok(token),
        _ => Err(Refused::new(
            "MissingToken",
            "the Authorization header is not `Bearer`, one space, and a token",
        )),
    }
}

fn decode(part: &str, text: &str) -> Result<Vec<u8>, Refused> {
    URL_SAFE_NO_PAD
        .decode(text)
        .map_err(|_| Refused::new("InvalidToken", format_args!("the {part} is not base64url")))
}

fn object(part: &str, text: &str) -> Result<Map<String, Value>, Refused> {
    serde_json::from_slice(&decode(part, text)?)
        .map_err(|_| Refused::new("InvalidToken", format_args!("the {part} is not a JSON object")))
}

/// Only these two: anything else, `none` and the ones with a shared secret among them, is refused before any key is looked at.
fn algorithm(header: &Map<String, Value>) -> Result<Algorithm, Refused> {
    // Whoever puts `crit` there demands that what it lists be understood (RFC 7515, 4.1.11). We understand no extension.
    if header.contains_key("crit") {
        return Err(Refused::new("InvalidToken", "the header has crit"));
    }
    header
        .get("alg")
        .and_then(Value::as_str)
        .and_then(Algorithm::from_name)
        .ok_or_else(|| Refused::new("InvalidAlgorithm", "alg is neither RS256 nor ES256"))
}

/// Keycloak says in the claims which of its tokens one is. One about who somebody is stands in places where none should
/// that opens anything, such as the URL of a logout.
fn is_no_id_token(claims: &Map<String, Value>) -> Result<(), Refused> {
    match claims.get("typ").and_then(Value::as_str) {
        Some("ID") => Err(Refused::new("InvalidToken", "it is an ID token")),
        _ => Ok(()),
    }
}

/// `exp` is required, `nbf` is not; both in seconds since 1970, possibly with a fraction.
fn check_times(claims: &Map<String, Value>, now: DateTime<Utc>) -> Result<(), Refused> {
    let seconds = |claim: &str| match claims.get(claim) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(seconds) => Ok(Some(seconds)),
            None => Err(Refused::new("InvalidToken", format_args!("{claim} is not a number"))),
        },
    };
    // Exact: milliseconds of any year that chrono knows are below 2^53.
    #[allow(clippy::cast_precision_loss)]
    let now = now.timestamp_millis() as f64 / 1000.0;

    let expires = seconds("exp")?.ok_or_else(|| Refused::new("MissingRequiredClaim", "no exp"))?;
    if now >= expires + LEEWAY {
        return Err(Refused::new("ExpiredSignature", "exp is past"));
    }
    match seconds("nbf")? {
        Some(begins) if now < begins - LEEWAY => Err(Refused::new("ImmatureSignature", "nbf is not reached")),
        _ => Ok(()),
    }
}

fn tenant(claims: &Map<String, Value>) -> Result<Tenant, Refused> {
    match claims.get("tenant") {
        None | Some(Value::Null) => Err(Refused::new("MissingRequiredClaim", "no tenant")),
        Some(Value::String(name)) => match check_tenant(name) {
            Ok(()) => Ok(Tenant(name.clone())),
            Err(why) => Err(Refused::new("InvalidTenant", why)),
        },
        Some(_) => Err(Refused::new("InvalidTenant", "tenant is not a text")),
    }
}
