//! Definitions documents of RabbitMQ: read with patience and carried over into a file, and written
//! from one. Pure.
//!
//! `JSON → Document → carry → Topology + notes → Sheet → YAML`. Documents come from every version
//! since 3.2 and from people's hands, so nothing in them is taken for granted; a [`Topology`] is
//! proven. What does not come along as it is becomes a [`Note`] with one of a closed list of
//! [`Reason`]s, never silence.
//!
//! [`Topology`]: crate::model::Topology

mod carry;
mod document;
mod entries;
mod fields;
mod fit;
mod json;
mod load;
mod mend;
mod note;
mod secrets;
mod settings;
mod yaml;

#[cfg(test)]
mod tests;

pub use carry::{Carried, Purpose, Wish, carry};
pub use document::{BadDocument, Document};
pub use json::definitions;
pub use note::{Note, Reason, Weight};
pub use secrets::Secrets;
pub use yaml::Sheet;
