//! Tables and properties of the decisions.

mod breaker;
mod canary;
mod dedupe;
mod disposition;
mod gate;
mod gulps;
mod lifecycle;
mod pace;
mod pool;
mod position;
mod relocate;
mod republish;
mod suspects;
mod turnstile;
mod wear;
