//! A child's output to replies: incremental, size-capped, never panicking.

mod decoder;
mod line;

pub use decoder::Decoder;
pub use line::{
    Fault, FaultKind, Level, Line, MAX_DELAY, MAX_NESTING, MAX_REASON, Reply, Target, Verdict,
    excerpt,
};
