//! What the tests stand on: a database of their own each, the real routers on a real listener with a
//! clock that the test sets, a webhook that remembers, tokens.

pub mod answers;
pub mod chaos;
pub mod contents;
pub mod cronmon;
pub mod databases;
pub mod lambda;
pub mod original;
pub mod person;
pub mod ping_keys;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod raw;
pub mod recorded;
pub mod slack;
pub mod story;
pub mod tokens;
pub mod webhook;

pub use cronmon::CronMon;
pub use webhook::Receiver;
