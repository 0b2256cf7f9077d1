//! Tests of the whole: real files, real processes, a real RabbitMQ. One binary; this is its table
//! of contents.

mod support;

mod sandbox;
mod watch;
