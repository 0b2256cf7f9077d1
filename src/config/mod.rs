//! From YAML texts to what should be, or to every problem at once. Pure.
//!
//! `text → Node → interpolated Node → model`. The `Node` tree is YAML with a place
//! for every value; readers take typed values out of it and collect what they cannot read, so that
//! one run shows all that is wrong. What comes out is proven by [`crate::model::Topology`] and
//! [`crate::model::Fleet`], whose problems point into the same files.
//!
//! Nothing here opens a file: texts are given to a [`Loader`], and what is outside them is asked of
//! an [`Environment`].

mod access;
mod arguments;
mod broker;
mod confinement;
mod consumers;
mod crews;
mod guarantees;
mod interpolate;
mod loader;
mod node;
mod parameters;
mod queues;
mod read;
mod render;
mod resources;
mod retry;
mod secrets;
mod source;
mod tls;
mod vhosts;
mod wire;
mod yaml;

#[cfg(test)]
mod tests;

pub use consumers::DEFAULT_TIMEOUT;
pub use interpolate::Environment;
pub use loader::{Include, Loader, Resolved, Unresolved};
pub use source::{Place, Source, SourceMap};
