//! How far a busy worker lets things gather, so that one call does the work of many.
//!
//! Telling the broker of each answer alone, or waking up for each line of a child that flushes
//! every one, costs more than the message itself. But gathering must cost no time that anybody
//! waits for: where the child has nothing left to do, or answers come seldom, everything happens
//! at once.

use std::time::{Duration, Instant};

/// The shortest time between two settlements while answers keep coming; timers of the runtime are
/// no finer. With less than that between them nobody could tell them apart but the broker.
pub const PAUSE: Duration = Duration::from_millis(1);

/// Decisions that are told to the broker however soon after the last: as many as make a call
/// cheap.
const MANY: usize = 64;

/// Messages with which a child is busy for so long that it does not matter whether somebody looks
/// after it a [`PAUSE`] later. A child that is through with as many in less handles over 100,000
/// a second, which no queue delivers.
const PLENTY: usize = 256;

/// When a worker tells the broker what was decided.
#[derive(Clone, Debug)]
pub struct Pace {
    most: usize,
    told: Option<Instant>,
}

/// What to do about what was decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Nothing: there is nothing to tell.
    Nothing,
    /// Tell it.
    Now,
    /// More may gather until then.
    At(Instant),
}

impl Pace {
    /// The pace of a worker with that prefetch. No more gathers than a quarter of it, since the
    /// broker sends nothing in place of what it does not know to be done.
    pub fn new(prefetch: u16) -> Self {
        Self { most: (usize::from(prefetch) / 4).clamp(1, MANY), told: None }
    }

    /// When to tell `decided` decisions, while the child has `unanswered` messages still to answer.
    /// The caller does tell them where the answer is [`Telling::Now`].
    pub fn tell(&mut self, decided: usize, unanswered: usize, now: Instant) -> Telling {
        if decided == 0 {
            return Telling::Nothing;
        }
        let due = self.told.map_or(now, |told| told + PAUSE);
        if unanswered > 0 && decided < self.most && due > now {
            return Telling::At(due);
        }
        self.told = Some(now);
        Telling::Now
    }

    /// Whether a child that has not answered so many messages, each of which lies before it whole,
    /// can be left alone for a [`PAUSE`]: its answers and new messages gather meanwhile.
    pub fn may_rest(unanswered: usize) -> bool {
        unanswered >= PLENTY
    }
}
