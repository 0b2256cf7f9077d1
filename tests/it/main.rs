//! Tests of the whole: real files, real processes, a real RabbitMQ. One binary; this is its table
//! of contents.

mod children;
mod docs;
mod endure;
mod proxy;
mod sandbox;
mod supervise;
mod support;
mod tidy;
mod watch;
