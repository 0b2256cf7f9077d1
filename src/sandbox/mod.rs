//! A private throw-away RabbitMQ, for `warrener dev` and for the tests.
