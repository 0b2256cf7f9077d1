//! Tables and properties of the decisions.

mod breaker;
mod canary;
mod disposition;
mod lifecycle;
mod pool;
mod republish;
mod suspects;
mod wear;
