//! Tests of the whole: real files, real processes, a real RabbitMQ. One binary; this is its table
//! of contents.

mod carry;
mod check;
mod children;
mod confined;
mod convergence;
mod dev;
mod docs;
mod endure;
mod exec;
mod faults;
mod lint;
mod migration;
mod misbehave;
mod orders;
mod output;
mod ownership;
mod plugins;
mod process;
mod proxy;
mod reconcile;
mod reconcile_amqp;
mod reload;
mod restart;
mod routing;
mod sandbox;
mod several;
mod supervise;
mod support;
mod tidy;
mod vhosts;
mod watch;
mod wire;
