//! Reads the files of a stack safely and notices when they change.

mod arms;
mod digest;
mod follow;
mod watch;

pub use watch::Watcher;
