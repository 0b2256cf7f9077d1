//! The management API over HTTP, with lenient JSON types of our own.
//!
//! Only what Warrener asks for is decoded, and every field may be absent: brokers of different
//! versions and configurations leave different ones out. Every request is limited in time and
//! carries its credentials in a header, never in an address that could end up in a log.

mod client;
mod error;
mod types;

pub use client::{ManagementClient, Timeouts};
pub use error::ManagementError;
pub use types::{
    BindingInfo, Definitions, ExchangeInfo, ExchangeTypeInfo, GlobalParameterInfo, Overview,
    PolicyInfo, QueueInfo,
};
