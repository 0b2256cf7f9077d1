//! Tables and properties of the decisions.

mod lifecycle;
