//! Publishes messages from JSON lines, each confirmed or known to be unroutable.

mod line;
mod pump;

#[cfg(test)]
mod tests;

pub use line::{BadLine, FeedLine};
pub use pump::{FeedError, FeedReport, pump};
