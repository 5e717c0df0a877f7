//! Connections, migrations, and the statements that several functions use.

pub mod alerts;
pub mod connections;
pub mod due;
pub mod jobs;
pub mod keys;
pub mod migrations;
pub mod outages;
pub mod schedules;
pub mod settings;
pub mod signals;
pub mod snoozes;
pub mod spool;
mod tls;
pub mod wakes;
pub mod windows;

pub use connections::{Login, Logins, Pool, Recycling, Target, connect};
pub use deadpool_postgres::PoolError;

use tokio_postgres::error::DbError;

/// Why a statement could not be carried out. The text is for the log; callers are told less.
#[derive(Debug)]
pub enum DatabaseError {
    /// No connection could be had in time.
    Pool(PoolError),
    Statement(tokio_postgres::Error),
    /// What the database holds is not what the code knows.
    Data(String),
}

impl std::fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pool(e) => write!(f, "no database connection: {}", explain(e)),
            Self::Statement(e) => write!(f, "the database: {}", explain(e)),
            Self::Data(what) => f.write_str(what),
        }
    }
}

impl DatabaseError {
    /// Whether the database refused what it was given, as it would do again: values that no column takes.
    /// Everything else (no connection, no answer, no room, a schema that is not there yet) may be over later.
    #[must_use]
    pub fn is_refusal(&self) -> bool {
        match self {
            Self::Pool(_) => false,
            Self::Data(_) => true,
            Self::Statement(e) => e.code().is_some_and(|code| {
                // "Data Exception" and "Integrity Constraint Violation"; appendix A of PostgreSQL's manual.
                code.code().starts_with("22") || code.code().starts_with("23")
            }),
        }
    }
}

impl DatabaseError {
    /// Whether what went wrong is the database's state and not the statement: no connection, no room, a lock that
    /// somebody holds, a schema that is not there yet. That may be over later; anything else would happen again.
    #[must_use]
    pub fn may_be_over_later(&self) -> bool {
        match self {
            Self::Pool(_) => true,
            Self::Data(_) => false,
            // Classes of appendix A of PostgreSQL's manual: connections, states of transactions, rollbacks, undefined
            // objects, resources, objects in use, interventions, the system.
            Self::Statement(e) => e.code().is_none_or(|code| {
                ["08", "25", "40", "42", "53", "55", "57", "58"]
                    .iter()
                    .any(|class| code.code().starts_with(class))
            }),
        }
    }
}

/// Whether no connection can be had for a reason that may be over later. A server that does not know the user or
/// the database will not do so then.
#[must_use]
pub fn may_come(e: &PoolError) -> bool {
    match e {
        PoolError::Backend(e) => {
            e.code().is_none_or(|code| code.code().starts_with("57P") || code.code().starts_with("53"))
        }
        _ => true,
    }
}

/// What went wrong, for the log, with its causes. Of what the server said its code and message, which the
/// driver keeps to itself, and nothing else: the details may hold what rows hold.
pub fn explain(e: &(dyn std::error::Error + 'static)) -> String {
    let mut text = String::new();
    let mut next = Some(e);
    while let Some(e) = next {
        let said = e.downcast_ref::<DbError>();
        let this = match said {
            Some(said) => format!("{} {}", said.code().code(), said.message()),
            None => e.to_string(),
        };
        // Some repeat their cause.
        if !text.contains(&this) {
            text.push_str(if text.is_empty() { "" } else { ": " });
            text.push_str(&this);
        }
        next = if said.is_some() { None } else { e.source() };
    }
    text
}

impl std::error::Error for DatabaseError {}

impl From<PoolError> for DatabaseError {
    fn from(e: PoolError) -> Self {
        Self::Pool(e)
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(e: tokio_postgres::Error) -> Self {
        Self::Statement(e)
    }
}
