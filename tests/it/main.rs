//! Tests of the whole: real files, real processes, a real RabbitMQ.

mod tidy;
mod watch;
