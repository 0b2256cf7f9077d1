//! Talks to a running supervisor: its socket, what can be asked of it, and the asking.
//!
//! A supervisor listens on a Unix socket that only its own user and root may use. Whoever connects
//! writes requests, one JSON object a line, and reads an answer to each:
//!
//! ```text
//! {"version":1,"request":{"do":"pause","consumer":"billing"}}
//! {"version":1,"answer":{"said":"done"}}
//! ```
//!
//! Everything about a client has a limit: how many there are, how long a line is, how long each may
//! wait and be waited for. The engine never waits for one: it is asked over its bounded channel, and
//! what it shows is a copy.

mod client;
mod rates;
mod server;
mod socket;
mod wire;

#[cfg(test)]
mod tests;

pub use client::{AskError, Client};
pub use rates::Rates;
pub use server::{Control, Server};
pub use socket::{Found, SocketError, find};
pub use wire::{Answer, Report, Request, VERSION};
