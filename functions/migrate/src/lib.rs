//! Brings the schema up while a stack is deployed, before the new code is live: CloudFormation calls it as a
//! custom resource and waits for its answer at a URL. By hand an event `{"new_key": ...}` makes an API key, for a database
//! that nobody else can reach; any other, such as `{}`, brings the schema up too. Both are answered by the function's
//! own answer.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use database::keys::{Scope, check_tenant, create_api_key, has_key};
use database::{Recycling, Target, connect, explain, migrations};
use rustls::{ClientConfig, RootCertStore};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What CloudFormation asks. <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-requests.html>
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    request_type: RequestType,
    #[serde(rename = "ResponseURL")]
    response_url: String,
    stack_id: String,
    request_id: String,
    logical_resource_id: String,
    physical_resource_id: Option<String>,
    resource_properties: Option<Properties>,
    old_resource_properties: Option<Properties>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Properties {
    /// The newest migration of a version of the template.
    newest: Option<String>,
}

impl Request {
    /// The stack goes back to a version with less migrations. Nothing is undone, so nothing is needed that may
    /// be what just failed.
    fn is_rollback(&self) -> bool {
        let newest = |properties: &Option<Properties>| properties.as_ref()?.newest.clone();
        match (newest(&self.old_resource_properties), newest(&self.resource_properties)) {
            (Some(old), Some(new)) => old > new,
            _ => false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
enum RequestType {
    Create,
    Update,
    Delete,
}

/// What it is answered. <https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/crpg-ref-responses.html>
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Answer<'a> {
    status: &'static str,
    reason: &'a str,
    physical_resource_id: &'a str,
    stack_id: &'a str,
    request_id: &'a str,
    logical_resource_id: &'a str,
}

/// Asked by hand.
#[derive(Deserialize)]
struct NewKeyRequest {
    new_key: NewKey,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewKey {
    tenant: String,
    scope: String,
    #[serde(default)]
    name: String,
    /// Only while there is no key of this scope, whoever's: then the answer is empty.
    #[serde(default)]
    first: bool,
}

const AS_IT_IS: &str = "the schema stays as it is";

/// Characters of a reason. CloudFormation takes 4,096 bytes for the whole answer.
const LONGEST_REASON: usize = 800;

/// How often the answer is tried: without it CloudFormation waits for an hour.
const ATTEMPTS: u32 = 4;

/// Brings the schema up, within `time`, and answers whoever asked. Deleting the stack leaves the schema alone.
///
/// # Errors
/// CloudFormation could not be answered; or, asked by hand, the schema could not be brought up, or the key not be made.
pub async fn respond(
    event: Value,
    target: Result<Target, String>,
    time: Duration,
    now: DateTime<Utc>,
) -> Result<String, String> {
    if event.get("new_key").is_some() {
        let asked: NewKeyRequest = serde_json::from_value(event).map_err(|e| format!("new_key: {e}"))?;
        return make_key(asked.new_key, target?, now).await;
    }
    let Ok(request) = serde_json::from_value::<Request>(event) else {
        return bring_up(target, time).await;
    };
    let done = match request.request_type {
        RequestType::Delete => Ok(AS_IT_IS.to_owned()),
        RequestType::Update if request.is_rollback() => Ok(AS_IT_IS.to_owned()),
        RequestType::Create | RequestType::Update => bring_up(target, time).await,
    };
    let (status, reason) = match &done {
        Ok(what) => ("SUCCESS", what),
        Err(why) => ("FAILED", why),
    };
    let reason: String = reason.chars().take(LONGEST_REASON).collect();
    let answer = Answer {
        status,
        reason: &reason,
        physical_resource_id: request.physical_resource_id.as_deref().unwrap_or("cronmon-schema"),
        stack_id: &request.stack_id,
        request_id: &request.request_id,
        logical_resource_id: &request.logical_resource_id,
    };
    let body = serde_json::to_vec(&answer).map_err(|e| e.to_string())?;
    send(&request.response_url, body).await?;
    Ok(reason)
}

async fn bring_up(target: Result<Target, String>, time: Duration) -> Result<String, String> {
    let done = try_to_bring_up(target, time).await;
    match &done {
        Ok(what) => tracing::info!("{what}"),
        Err(why) => tracing::error!("the schema could not be brought up: {why}"),
    }
    done
}

async fn try_to_bring_up(target: Result<Target, String>, time: Duration) -> Result<String, String> {
    let pool = connect(target?, 1, Recycling::Fast)?;
    let work = async {
        let mut client =
            pool.get().await.map_err(|e| format!("the database can't be reached: {}", explain(&e)))?;
        migrations::up_within(&mut client, Some(time)).await
    };
    // Postgres stops by itself what takes too long; this is for when it does not answer.
    let applied = tokio::time::timeout(time + Duration::from_secs(5), work)
        .await
        .map_err(|_| format!("the database did not answer for {} s", time.as_secs()))??;
    Ok(match applied.as_slice() {
        [] => "nothing was missing".to_owned(),
        applied => format!("applied {}", applied.join(", ")),
    })
}

/// The key itself, which stands nowhere else.
async fn make_key(asked: NewKey, target: Target, now: DateTime<Utc>) -> Result<String, String> {
    let scope = Scope::from_name(&asked.scope).ok_or("new_key: the scope must be ping, read or manage")?;
    check_tenant(&asked.tenant).map_err(|why| format!("new_key: {why}"))?;
    let pool = connect(target, 1, Recycling::Fast)?;
    let client = pool.get().await.map_err(|e| format!("the database can't be reached: {}", explain(&e)))?;
    if asked.first && has_key(&**client, scope).await.map_err(|e| e.to_string())? {
        return Ok(String::new());
    }
    let new = create_api_key(&**client, &asked.tenant, &asked.name, scope, None, now);
    Ok(new.await.map_err(|e| e.to_string())?.key)
}

/// The URL is a right to answer, so it is in no error.
async fn send(url: &str, body: Vec<u8>) -> Result<(), String> {
    let client = client()?;
    let mut last = String::new();
    for attempt in 0..ATTEMPTS {
        if attempt > 0 {
            tokio::time::sleep(Duration::from_secs(1 << attempt)).await;
        }
        match client.put(url).body(body.clone()).send().await {
            Ok(response) if response.status().is_success() => return Ok(()),
            Ok(response) => last = format!("status {}", response.status()),
            Err(e) => last = e.without_url().to_string(),
        }
    }
    Err(format!("CloudFormation could not be answered: {last}"))
}

fn client() -> Result<reqwest::Client, String> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let tls = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|e| e.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .timeout(Duration::from_secs(5))
        .build()
        .map_err(|e| e.to_string())
}
