//! What the functions that answer HTTP share, whatever host they run on.

pub mod answers;
pub mod body;
pub mod source;

use std::net::IpAddr;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use uuid::Uuid;

/// Where `now` comes from: the system's clock in a main, a clock that is set in a test.
pub type Clock = Arc<dyn Fn() -> DateTime<Utc> + Send + Sync>;

/// Who sent a request, as the host knows it. The host puts it into the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct SourceAddress(pub IpAddr);

/// When the gateway received a request. The host puts it into the request's extensions where it knows
/// better than the clock.
#[derive(Debug, Clone, Copy)]
pub struct ReceivedAt(pub DateTime<Utc>);

/// Deliveries that a request made, in the extensions of its response: for the host to hand over.
#[derive(Debug, Clone)]
pub struct NewDeliveries(pub Vec<Uuid>);
