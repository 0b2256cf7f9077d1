//! One binary for all integration tests; this is its table of contents.

mod support;

mod sandbox;
