//! When a worker has done its share and another takes its place.

use std::fmt;
use std::time::Duration;

use crate::model::{RecycleSpec, duration_label};

/// How much earlier a worker may go for its age, so that those that began together do not all go
/// together.
const SPREAD: f64 = 0.1;

/// A process that is younger is not replaced for its memory: one that needs more than the limit from
/// the beginning is followed by another such, which must not become a hot loop.
const YOUNG: Duration = Duration::from_secs(10);

/// What one process has done, and what it costs.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Messages that are over with it.
    pub messages: u64,
    /// How long it has lived.
    pub age: Duration,
    /// For how long it has had nothing to do.
    pub idle: Duration,
    /// Bytes of memory, where they are known.
    pub memory: Option<u64>,
    /// A number between 0 and 1 that is its own for life.
    pub chance: f64,
}

/// Why a worker is replaced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wear {
    /// It has handled so many messages.
    Messages(u64),
    /// It has lived for so long.
    Age(Duration),
    /// It has had nothing to do for so long.
    Idle(Duration),
    /// It has so many bytes of memory.
    Memory(u64),
}

impl fmt::Display for Wear {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |time: &Duration| duration_label(Duration::from_secs(time.as_secs()));
        match self {
            Self::Messages(count) => write!(f, "it has handled {count} messages"),
            Self::Age(time) => write!(f, "it has lived for {}", seconds(time)),
            Self::Idle(time) => write!(f, "it has had nothing to do for {}", seconds(time)),
            Self::Memory(bytes) => write!(f, "it has {} KiB of memory", bytes / 1024),
        }
    }
}

/// Whether a worker is to be replaced. One that has handled nothing is worn by nothing but age.
pub fn worn(spec: &RecycleSpec, usage: &Usage) -> Option<Wear> {
    let early = 1.0 - SPREAD * usage.chance.clamp(0.0, 1.0);
    if spec.age.is_some_and(|age| usage.age >= age.mul_f64(early)) {
        return Some(Wear::Age(usage.age));
    }
    if usage.messages == 0 {
        return None;
    }
    if spec.messages.is_some_and(|most| usage.messages >= u64::from(most.get())) {
        return Some(Wear::Messages(usage.messages));
    }
    if spec.idle.is_some_and(|idle| usage.idle >= idle) {
        return Some(Wear::Idle(usage.idle));
    }
    let (Some(most), Some(memory)) = (spec.memory, usage.memory) else { return None };
    (memory >= most && usage.age >= YOUNG).then_some(Wear::Memory(memory))
}
