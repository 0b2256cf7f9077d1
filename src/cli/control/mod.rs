//! Commands that speak to a running supervisor over its socket.
//!
//! Exit codes: 0 done; 1 refused, or the supervisor does not answer; 3 a reload of which some is
//! not done (yet); 4 no supervisor is running.

mod orders;
mod status;
mod table;
mod top;
mod whom;

#[cfg(test)]
mod tests;

pub(super) use orders::{
    ConsumerArgs, ScaleArgs, WhomArgs, drain, pause, reload, restart, resume, scale,
};
pub(super) use status::{StatusArgs, run as status};
pub(super) use top::{TopArgs, run as top};
