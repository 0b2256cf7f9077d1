//! One binary for all integration tests; this is its table of contents.

mod support;

mod reconcile;
mod reconcile_amqp;
mod sandbox;
