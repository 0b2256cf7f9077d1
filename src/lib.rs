//! Warrener keeps a RabbitMQ broker and its consumers the way a YAML file says they should be.
//!
//! The rooms, in reading order. What each may use is a rule that a test holds
//! (`tests/it/tidy.rs`); `docs/architecture.md` is the map with the reasons.
//!
//! Pure rooms: no IO, no clock, no environment, no async.

pub mod model;

pub mod config;
pub mod definitions;
pub mod lint;
pub mod plan;
pub mod protocol;
pub mod supervise;

// Edges: each talks to one part of the outside world.
pub mod broker;
pub mod files;
pub mod process;
pub mod sandbox;
pub mod telemetry;

// Wiring.
pub mod admin;
pub mod cli;
pub mod engine;
