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

/// The same where each message is a process of its own. An ack and what the broker sends in its place
/// wake up half a dozen threads, which takes a tenth of the time of a short process. What
/// takes longer than this is told of at once.
const PROCESSES: Duration = Duration::from_millis(4);

/// Decisions that are told to the broker however soon after the last: as many as make a call
/// cheap.
const MANY: usize = 64;

/// Messages with which a child is busy for so long that it does not matter whether somebody looks
/// after it a [`PAUSE`] later. A child that is through with as many in less handles over 100,000
/// a second, which no queue delivers.
const PLENTY: usize = 256;

/// Answers in one [`PAUSE`] from which on messages pass so fast that nobody can tell whether one
/// of them waited for a pause. Once it is so, half as many will do.
const FAST: u32 = 8;

/// How long it is counted what passes, before it is said how fast that is.
const SPELL: Duration = Duration::from_millis(4);

/// When a worker tells the broker what was decided, and when it lets a child alone.
#[derive(Clone, Debug)]
pub struct Pace {
    /// The shortest time between two settlements while answers keep coming.
    between: Duration,
    most: usize,
    told: Option<Instant>,
    /// Most answers in a pause with which the broker is never kept waiting for room.
    roomy: u32,
    /// Since when answers are counted, and how many there were.
    spell: Option<(Instant, u32)>,
    /// When there was an answer last.
    passed: Option<Instant>,
    /// Answers in a pause, while they come fast.
    fast: Option<u32>,
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
        Self {
            between: PAUSE,
            most: (usize::from(prefetch) / 4).clamp(1, MANY),
            told: None,
            roomy: u32::from(prefetch) / 8,
            spell: None,
            passed: None,
            fast: None,
        }
    }

    /// The same for a worker that starts a process for each message.
    pub fn of_processes(prefetch: u16) -> Self {
        Self { between: PROCESSES, ..Self::new(prefetch) }
    }

    /// The child has answered so many messages.
    pub fn passed(&mut self, messages: u32, now: Instant) {
        let before = self.passed.replace(now);
        let lately = before.is_some_and(|at| now.saturating_duration_since(at) < SPELL);
        let Some((since, count)) = self.spell.as_mut().filter(|_| lately) else {
            // What comes from now on is counted.
            (self.spell, self.fast) = (Some((now, 0)), None);
            return;
        };
        *count = count.saturating_add(messages);
        let elapsed = now.saturating_duration_since(*since);
        if elapsed >= SPELL {
            let rate = u128::from(*count) * PAUSE.as_nanos() / elapsed.as_nanos();
            let rate = u32::try_from(rate).unwrap_or(u32::MAX);
            let enough = if self.fast.is_some() { FAST / 2 } else { FAST };
            self.fast = Some(rate).filter(|rate| (enough..=self.roomy).contains(rate));
            self.spell = Some((now, 0));
        }
    }

    /// When to tell `decided` decisions, while the child has `unanswered` messages still to answer.
    /// The caller does tell them where the answer is [`Telling::Now`].
    pub fn tell(&mut self, decided: usize, unanswered: usize, now: Instant) -> Telling {
        if decided == 0 {
            return Telling::Nothing;
        }
        let due = self.told.map_or(now, |told| told + self.between);
        if unanswered > 0 && decided < self.most && due > now {
            return Telling::At(due);
        }
        self.told = Some(now);
        Telling::Now
    }

    /// Whether the child can be left alone for a [`PAUSE`], so that its answers and new messages
    /// gather meanwhile: `before_it` lie before it whole, and `unwritten` do not yet. Either it has
    /// so many that it is busy for longer, or messages pass fast, and what there is for it lasts.
    pub fn may_rest(&self, before_it: usize, unwritten: usize, now: Instant) -> bool {
        // A timer of the runtime may take twice as long.
        let lasts = |rate: u32| unwritten == 0 || before_it >= 2 * rate as usize;
        let still = self.passed.is_some_and(|at| now.saturating_duration_since(at) < SPELL);
        before_it >= PLENTY || (still && self.fast.is_some_and(lasts))
    }
}
