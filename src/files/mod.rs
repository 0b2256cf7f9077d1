//! Reads the files of a stack safely and notices when they change.

mod environment;
mod load;
mod open;

#[cfg(test)]
mod tests;

pub use environment::HostEnvironment;
pub use load::{LoadError, Loaded, load, load_with};
