//! Tests of the whole: real files, real processes, a real RabbitMQ. One binary; this is its table
//! of contents.

mod process;
mod sandbox;
mod support;
mod tidy;
mod watch;
