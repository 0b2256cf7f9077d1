//! Messages to bytes for a child's stdin, and AMQP headers to JSON and back.

mod encoder;
mod headers;
mod json;
mod table;

#[cfg(test)]
mod tests;

pub use encoder::{Encoder, Unencodable};
pub use headers::{Headers, headers_from_json};
pub use table::MAX_HEADER_NESTING;
