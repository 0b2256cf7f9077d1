//! A child's output to replies: incremental, size-capped, never panicking.
//!
//! A line is a reply only where it can hardly be anything else: its first word is a verb, at the
//! very beginning of the line, and the rest has the shape that the verb takes; or it is a JSON
//! object with one of the keys of a reply. A line that is a reply by those marks but cannot be
//! carried out is a fault. Everything else is the child's own log, since programs print.

mod decoder;
mod duration;
mod excerpt;
mod line;
mod object;
mod output;
mod words;

#[cfg(test)]
mod tests;

pub use decoder::Decoder;
pub use excerpt::excerpt;
pub use line::{
    Fault, FaultKind, Level, Line, MAX_DELAY, MAX_NESTING, MAX_REASON, Reply, Target, Verb, Verdict,
};
pub use output::{MAX_PUBLICATIONS, MAX_PUBLISHED_HEADERS, OutputFault};
