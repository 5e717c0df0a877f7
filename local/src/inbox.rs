//! The inbox: where alerts go on one machine until somebody says where they should go. A default alert
//! config of each tenant leads here, and each alert is one line in the terminal.

use std::collections::HashSet;
use std::io::IsTerminal as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use api::auth::{Tenant, Verifier};
use axum::Router;
use axum::extract::{Request, State};
use axum::http::header::AUTHORIZATION;
use axum::http::{HeaderMap, StatusCode};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::Response;
use axum::routing::post;
use database::{DatabaseError, Pool};
use http_common::{Clock, body};
use ring::digest::{SHA256, digest};
use serde::Deserialize;
use tokio_postgres::types::Type;
use uuid::Uuid;

const LONGEST_MESSAGE: usize = 256 * 1024;

/// The ids of the inboxes' alert configs are made from their tenants' names, so that each tenant has one.
const IDS: Uuid = Uuid::from_u128(0x9a6f_0c1e_5c1b_4f0e_8a53_1d1f_6a7b_3c20);

/// The alert config of a tenant's inbox.
pub(crate) fn id_of(tenant: &str) -> Uuid {
    Uuid::new_v5(&IDS, tenant.as_bytes())
}

#[derive(Clone)]
pub(crate) struct Inbox {
    pool: Pool,
    verifier: Arc<Verifier>,
    clock: Clock,
    key: Arc<str>,
    url: Arc<str>,
    tenants: Arc<Mutex<HashSet<String>>>,
    /// Hashes of the API keys whose tenants have one.
    keys: Arc<Mutex<HashSet<Vec<u8>>>>,
}

impl Inbox {
    pub(crate) fn new(pool: Pool, verifier: Arc<Verifier>, clock: Clock, address: SocketAddr) -> Self {
        // Only who is told the key can write into the terminal, no page in a browser.
        let key: Arc<str> = Uuid::new_v4().to_string().into();
        let url: Arc<str> = format!("http://{address}/inbox/{key}").into();
        Self { pool, verifier, clock, key, url, tenants: Arc::default(), keys: Arc::default() }
    }

    /// Inboxes that exist from an earlier start have today's port and key from now on.
    pub(crate) async fn follow_the_url(&self) {
        if let Err(e) = self.try_to_follow_the_url().await {
            tracing::error!("the inboxes of earlier starts were not found: {e}");
        }
    }

    async fn try_to_follow_the_url(&self) -> Result<(), DatabaseError> {
        self.pool
            .get()
            .await?
            .execute_typed(
                r"update alert_config set url = $1
                  where name = 'inbox' and url <> $1 and url ~ '^http://127\.0\.0\.1:[0-9]+/inbox(/[0-9a-f-]+)?$'",
                &[(&&*self.url, Type::TEXT)],
            )
            .await?;
        Ok(())
    }

    /// Gives each tenant an inbox with its first request.
    pub(crate) fn seeding(&self, api: Router) -> Router {
        api.layer(from_fn_with_state(self.clone(), seed))
    }

    /// Where the alerts arrive.
    pub(crate) fn router(&self) -> Router {
        Router::new().route(&format!("/inbox/{}", self.key), post(receive))
    }

    async fn seed(&self, tenant: &str) -> Result<(), DatabaseError> {
        self.pool
            .get()
            .await?
            .execute_typed(
                "insert into alert_config (
                     alert_config_id, tenant, name, created_at, active, on_late, on_error, on_recovered,
                     is_default, type, url
                 ) values ($1, $2, 'inbox', $3, true, true, true, true, true, 'webhook', $4)
                 on conflict (alert_config_id) do nothing",
                &[
                    (&id_of(tenant), Type::UUID),
                    (&tenant, Type::TEXT),
                    (&(self.clock)(), Type::TIMESTAMPTZ),
                    (&&*self.url, Type::TEXT),
                ],
            )
            .await?;
        Ok(())
    }

    /// Of the caller of management. Of an API key that was seen before nobody need ask again.
    async fn tenant(&self, headers: &HeaderMap) -> Option<Tenant> {
        let now = (self.clock)();
        if let Some(authorization) = headers.get(AUTHORIZATION) {
            return self.verifier.tenant(authorization.to_str().ok(), now).await.ok();
        }
        let key = headers.get("x-api-key")?.to_str().ok()?;
        let hash = digest(&SHA256, key.as_bytes()).as_ref().to_vec();
        let seen = |hash| self.keys.lock().unwrap_or_else(PoisonError::into_inner).contains(hash);
        if seen(&hash) {
            return None;
        }
        let tenant = api::tenant_of_key(&self.pool, key, now).await.ok()??;
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).insert(hash);
        Some(tenant)
    }

    fn is_new(&self, tenant: &str) -> bool {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).insert(tenant.to_owned())
    }

    fn forget(&self, tenant: &str) {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner).remove(tenant);
        self.keys.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

async fn seed(State(inbox): State<Inbox>, request: Request, next: Next) -> Response {
    if let Some(tenant) = inbox.tenant(request.headers()).await
        && inbox.is_new(&tenant.0)
        && let Err(e) = inbox.seed(&tenant.0).await
    {
        inbox.forget(&tenant.0);
        tracing::error!("a tenant got no inbox: {e}");
    }
    next.run(request).await
}

#[derive(Deserialize)]
struct Message {
    r#type: String,
    /// A notice is about none, and so is a test.
    monitor: Option<Monitor>,
    reason: String,
}

#[derive(Deserialize)]
struct Monitor {
    name: String,
}

async fn receive(request: Request) -> StatusCode {
    let Ok(bytes) = body::read(request.into_body(), LONGEST_MESSAGE).await else {
        return StatusCode::PAYLOAD_TOO_LARGE;
    };
    let Ok(message) = serde_json::from_slice::<Message>(&bytes) else { return StatusCode::BAD_REQUEST };
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    crate::say(&line(&message, colours));
    StatusCode::NO_CONTENT
}

/// `late  demo  expected 14:02:05, nothing came by 14:02:07; last success 14:02:00`
fn line(message: &Message, colours: bool) -> String {
    let (begin, end) = match (colours, message.r#type.as_str()) {
        (false, _) => ("", ""),
        (true, "late" | "warning" | "notice") => ("\x1b[1;33m", "\x1b[0m"),
        (true, "recovered") => ("\x1b[1;32m", "\x1b[0m"),
        (true, "test") => ("\x1b[1;36m", "\x1b[0m"),
        (true, _) => ("\x1b[1;31m", "\x1b[0m"),
    };
    let kind = plain(&message.r#type);
    let name = message.monitor.as_ref().map_or("CronMon", |monitor| &monitor.name);
    format!("{begin}{kind}{end}  {}  {}", plain(name), plain(&message.reason))
}

/// A name must not move the cursor or colour the terminal.
fn plain(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    shown.take(500).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alert_is_one_line_that_can_do_nothing_to_the_terminal() {
        let message = Message {
            r#type: "late".into(),
            monitor: Some(Monitor { name: "de\u{1b}[2Jmo\n".into() }),
            reason: "expected 14:02:05".into(),
        };
        assert_eq!(line(&message, false), "late  de\u{fffd}[2Jmo\u{fffd}  expected 14:02:05");
        assert_eq!(line(&message, true), "\x1b[1;33mlate\x1b[0m  de\u{fffd}[2Jmo\u{fffd}  expected 14:02:05");
        let notice = Message { r#type: "notice".into(), monitor: None, reason: "no ping".into() };
        assert_eq!(line(&notice, false), "notice  CronMon  no ping");
        let reason = "Test alert triggered by 'Ann'".to_owned();
        let test = Message { r#type: "test".into(), monitor: None, reason };
        assert_eq!(line(&test, true), "\x1b[1;36mtest\x1b[0m  CronMon  Test alert triggered by 'Ann'");
    }
}
