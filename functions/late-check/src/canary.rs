//! The canary: a ping of our own that goes the whole way of everybody's pings, through `PUBLIC_URL`. That it comes
//! through proves that pings come in.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cronmon_late_check::get::Get;
use database::outages::{CANARY, Ingest};

/// Lateness waits for it.
const TIME_LIMIT: Duration = Duration::from_secs(2);

pub(crate) struct Canary {
    get: Option<Get>,
    fails: AtomicBool,
    /// Whether it was said that none ever came through.
    is_lament_said: AtomicBool,
}

impl Canary {
    /// The setting `PUBLIC_URL`. Without it there is no canary, and nobody knows whether pings come in.
    pub(crate) fn through(public_url: Option<&str>) -> Result<Self, String> {
        let get = match public_url {
            Some(url) => {
                let ping = format!("{}/ping/{CANARY}/log", url.trim_end_matches('/'));
                Some(Get::to(&ping).map_err(|why| format!("PUBLIC_URL {why}"))?)
            }
            None => {
                tracing::warn!("without PUBLIC_URL it goes unnoticed when pings can't come in");
                None
            }
        };
        Ok(Self { fails: AtomicBool::new(get.is_none()), get, is_lament_said: AtomicBool::default() })
    }

    pub(crate) fn is_sent(&self) -> bool {
        self.get.is_some()
    }

    /// Whether the last one did not come through.
    pub(crate) fn fails(&self) -> bool {
        self.fails.load(Ordering::Relaxed)
    }

    /// Answers with whether it came through. One that was turned away for its number proves nothing: a gateway that
    /// does so may turn away everybody.
    pub(crate) async fn send(&self) -> bool {
        let Some(get) = &self.get else { return false };
        let why = match get.send(TIME_LIMIT).await {
            Ok(status) if status.is_success() => None,
            Ok(status) => Some(format!("it was answered {}", status.as_u16())),
            Err(why) => Some(why),
        };
        let failed_before = self.fails.swap(why.is_some(), Ordering::Relaxed);
        match &why {
            Some(why) if !failed_before => tracing::error!("the canary ping did not come through: {why}"),
            None if failed_before => tracing::info!("the canary ping comes through again"),
            _ => {}
        }
        why.is_none()
    }

    pub(crate) fn was_seen(&self, ingest: Ingest) {
        let never = self.is_sent() && ingest.canary_seen_at.is_none();
        if never && !self.is_lament_said.swap(true, Ordering::Relaxed) {
            tracing::error!(
                "no canary ping has ever come through PUBLIC_URL, so it goes unnoticed when pings can't come in"
            );
        }
        if let Some(since) = ingest.blind_since {
            tracing::error!(%since, "pings can't come in: what falls due is not judged");
        }
    }
}
