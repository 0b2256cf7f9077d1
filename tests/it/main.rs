//! What only the whole can show, one file a topic.

mod check;
mod lint;
