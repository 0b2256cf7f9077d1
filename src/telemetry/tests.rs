//! Tests of the counters and of the log formats.

mod counting;
mod logging;
