//! The record of what one worker holds, and of what the broker is yet to be told about it.
//!
//! Each delivery goes one way only: held → taken → decided → told. `held` is the child's, `taken`
//! is the caller's (it publishes the message elsewhere first), `decided` waits for the next flush,
//! and what is told is gone. An ack or a requeue by the child goes from held to decided directly.
//! A child that ends without an answer leaves what it held *parked*, from where it is held again by
//! the next one: giving it back to the broker would count against innocent messages there.
//! A channel that is lost takes all of it along, since the broker delivers again whatever was not
//! settled; only the memory that the child still owes an answer stays, as a ghost.

mod book;
mod flush;
mod terms;

#[cfg(test)]
mod tests;

pub use book::Ledger;
pub use terms::{Answer, BadTag, Held, Lost, SettleOp, Settlement};
