//! Everything said to RabbitMQ: AMQP connections, the management API, observing and applying.

pub mod amqp;
pub mod management;
