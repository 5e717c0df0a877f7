//! Connections, migrations, and the statements that several functions use.

pub mod alerts;
pub mod connections;
pub mod due;
pub mod jobs;
pub mod migrations;
pub mod schedules;
pub mod settings;
pub mod signals;
mod tls;

pub use connections::{Login, Logins, Pool, Recycling, Target, connect};

/// Why a statement could not be carried out. The text is for the log; callers are told less.
#[derive(Debug)]
pub enum DatabaseError {
    /// No connection could be had in time.
    Pool(deadpool_postgres::PoolError),
    Statement(tokio_postgres::Error),
    /// What the database holds is not what the code knows.
    Data(String),
}

impl std::fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Pool(e) => write!(f, "no database connection: {e}"),
            // The message of the server says more than the driver's `db error`.
            Self::Statement(e) => match e.as_db_error() {
                Some(db) => write!(f, "the database said {}: {}", db.code().code(), db.message()),
                None => write!(f, "the database did not answer: {e}"),
            },
            Self::Data(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for DatabaseError {}

impl From<deadpool_postgres::PoolError> for DatabaseError {
    fn from(e: deadpool_postgres::PoolError) -> Self {
        Self::Pool(e)
    }
}

impl From<tokio_postgres::Error> for DatabaseError {
    fn from(e: tokio_postgres::Error) -> Self {
        Self::Statement(e)
    }
}
