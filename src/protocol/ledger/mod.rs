//! The record of what one worker holds, and of what the broker is yet to be told about it.

mod book;

pub use book::{Answer, BadTag, Held, Ledger, Lost, SettleOp, Settlement};
