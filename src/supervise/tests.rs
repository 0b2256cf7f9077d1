//! Tables and properties of the decisions.

mod breaker;
mod disposition;
mod lifecycle;
mod relocate;
mod republish;
