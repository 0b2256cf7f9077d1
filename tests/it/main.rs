//! Tests of the whole: real files, real processes, a real RabbitMQ. One binary; this is its table
//! of contents.

mod dev;
mod endure;
mod plugins;
mod routing;
mod sandbox;
mod supervise;
mod support;
mod tidy;
mod watch;
