//! Tables and properties of the decisions.

mod disposition;
mod lifecycle;
mod relocate;
mod republish;
