//! One message to the bytes that a child reads.

use crate::model::{Delimiter, WireProtocol};
use crate::protocol::Envelope;

/// Why a message cannot be handed to the child in the protocol of its consumer. Trying again would
/// end the same way: such a message is dead-lettered with this as the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unencodable {
    /// In `lines`, a body that holds the delimiter would arrive as two messages.
    #[error("the body contains the delimiter of protocol `lines` ({})", delimiter_name(*.0))]
    ContainsDelimiter(Delimiter),
    /// Tables and arrays nested deeper than common JSON parsers follow.
    #[error("the headers are nested deeper than {} levels", super::MAX_HEADER_NESTING)]
    HeadersTooDeep,
}

impl Unencodable {
    /// A short closed word for the reason header and for metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::ContainsDelimiter(_) => "contains_delimiter",
            Self::HeadersTooDeep => "headers_too_deep",
        }
    }
}

fn delimiter_name(delimiter: Delimiter) -> &'static str {
    match delimiter {
        Delimiter::Newline => "a newline",
        Delimiter::Nul => "a NUL",
    }
}

/// Writes messages in the protocol of one consumer.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    protocol: WireProtocol,
}

impl Encoder {
    /// An encoder for that protocol.
    pub fn new(protocol: WireProtocol) -> Self {
        Self { protocol }
    }

    /// Appends what the child reads for one message: a JSON line, the body and a delimiter, or for
    /// `exec` the body alone.
    ///
    /// # Errors
    /// [`Unencodable`]; `out` is then as it was.
    pub fn encode(&self, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> Result<(), Unencodable> {
        let _ = (envelope, out, self.protocol);
        unimplemented!()
    }
}
