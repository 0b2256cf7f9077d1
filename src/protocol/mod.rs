//! The wire with a child: deliveries to bytes, bytes to replies, and the ledger of what is in
//! flight. Pure.
//!
//! Three promises. What is written to a child can be cut into messages again by any line reader,
//! whatever the message holds. What a child writes never panics the decoder, and gives the same
//! lines however it arrives in pieces. And the ledger settles each delivery at most once, on the
//! channel that delivered it, and only as the child answered it.
//!
//! For people who write consumers the contract stands in `docs/protocol.md`.

mod decode;
mod delivery_id;
mod encode;
mod envelope;
mod ledger;
mod output;

pub use decode::{
    Decoder, Fault, FaultKind, Level, Line, MAX_DELAY, MAX_NESTING, MAX_PUBLICATIONS,
    MAX_PUBLISHED_HEADERS, MAX_REASON, OutputFault, Reply, Target, Verb, Verdict, excerpt,
};
pub use delivery_id::{BadDeliveryId, DeliveryId};
pub use encode::{Encoder, Headers, MAX_HEADER_NESTING, Unencodable, headers_from_json};
pub use envelope::{Envelope, exec_environment};
pub use ledger::{Answer, BadTag, Held, Ledger, Lost, SettleOp, Settlement};
pub use output::{Content, Output, Publication};
