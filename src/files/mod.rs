//! Reads the files of a stack safely and notices when they change.

mod arms;
mod digest;
mod environment;
mod follow;
mod load;
mod open;
mod watch;
mod watched;

#[cfg(test)]
mod tests;

pub use environment::HostEnvironment;
pub use load::{LoadError, Loaded, load, load_with};
pub use watch::Watcher;
pub use watched::Watched;
