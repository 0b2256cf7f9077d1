//! A private throw-away RabbitMQ, for `warrener dev` and for the tests.
//!
//! The node shares nothing with any other on the machine: it has its own name, cookie, ports,
//! epmd and folder, listens on 127.0.0.1 only, and reads no configuration but its own. Whatever
//! ends this process, a `kill -9` too, also ends the node and removes its folder; see the module
//! `guardian` for how.

mod error;
mod guardian;
mod install;
mod layout;
mod node;
mod ports;
mod ready;

#[cfg(test)]
mod tests;

pub use error::SandboxError;
pub use node::{Halt, Sandbox, SandboxOptions};
