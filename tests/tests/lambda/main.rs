//! The built Lambda binaries, each in AWS's emulator of the runtime interface.

mod blind;
mod crashes;
mod cuts;
mod database_access;
mod events;
mod frozen;
mod migrate;
mod spool;
mod story;
mod wakes;
