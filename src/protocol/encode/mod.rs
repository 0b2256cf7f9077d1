//! Messages to bytes for a child's stdin, and AMQP headers to JSON and back.

mod encoder;
mod headers;

pub use encoder::{Encoder, Unencodable};
pub use headers::{Headers, MAX_HEADER_NESTING, headers_from_json};
