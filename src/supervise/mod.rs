//! When to start, wait and stop a worker, and what becomes of a message that failed.
//!
//! Pure: time and chance come in as arguments. The engine waits and performs; every decision is
//! taken here, where a table of cases can show that none is missing.

mod backoff;
mod breaker;
mod canary;
mod dedupe;
mod disposition;
mod evidence;
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

#[cfg(test)]
mod tests;

pub use backoff::Backoff;
pub use breaker::{Breaker, BreakerEffect, BreakerEvent, BreakerState};
pub use canary::{Judgement, Sample, judge};
pub use dedupe::{Claim, Seen};
pub use disposition::{DeadLetterRoute, Disposition, Failure, Wish, dispose};
pub use gate::{Gate, Leave, Miss};
pub use gulps::Gulps;
pub use lifecycle::{Effect, Event, Lifecycle, State};
pub use pace::{PAUSE, Pace, Telling};
pub use pool::{Load, Pool};
pub use position::Position;
pub use relocate::{bare, is_packed, packed, unpacked};
pub use republish::{
    Epitaph, failed_tries, first_address, recorded_crashes, republished, republished_bare,
    suspicious,
};
pub use suspects::{Blame, Suspects};
pub use turnstile::Turnstile;
pub use wear::{Usage, Wear, worn};
