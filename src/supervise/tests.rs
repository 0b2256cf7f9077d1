//! Tables and properties of the decisions.

mod breaker;
mod canary;
mod disposition;
mod lifecycle;
mod relocate;
mod republish;
