//! Tests of the whole: real files, real processes, a real RabbitMQ. One binary; this is its table
//! of contents.

mod dev;
mod endure;
mod plugins;
mod routing;
mod check;
mod children;
mod docs;
mod endure;
mod lint;
mod process;
mod proxy;
mod reconcile;
mod reconcile_amqp;
mod reload;
mod sandbox;
mod supervise;
mod support;
mod tidy;
mod watch;
