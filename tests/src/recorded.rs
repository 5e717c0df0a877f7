//! What was recorded of pings.

use database::Pool;
use uuid::Uuid;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub slug: String,
    pub kind: String,
    pub rid: Option<Uuid>,
    pub exit_status: Option<i16>,
    pub user_agent: String,
    /// As text, whatever it holds; empty when there is none.
    pub body: String,
}

impl Recorded {
    /// `start`, `fail 7`
    #[must_use]
    pub fn said(&self) -> String {
        match self.exit_status {
            Some(status) => format!("{} {status}", self.kind),
            None => self.kind.clone(),
        }
    }
}

/// All signals of all monitors, in the order in which they were received.
pub async fn recorded(pool: &Pool) -> Vec<Recorded> {
    // The ids of pings without an Idempotency-Key are in that order.
    let statement = "select slug, kind, rid, exit_status, coalesce(user_agent, ''), coalesce(body, '') \
         from signal join monitor using (monitor_id) order by signal_id";
    let rows = pool.get().await.unwrap().query(statement, &[]).await.unwrap();
    let recorded = rows.iter().map(|row| Recorded {
        slug: row.get(0),
        kind: row.get(1),
        rid: row.get(2),
        exit_status: row.get(3),
        user_agent: row.get(4),
        body: String::from_utf8_lossy(row.get(5)).into_owned(),
    });
    recorded.collect()
}

/// Only what each of them said.
pub async fn said(pool: &Pool) -> Vec<String> {
    recorded(pool).await.iter().map(Recorded::said).collect()
}
