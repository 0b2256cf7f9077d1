//! Whether a new version of a consumer, tried by one worker beside the old ones, takes over.
//!
//! The old workers and the new one take messages from the same queue at the same time, so a
//! difference between them is a difference of the versions, or chance. What is called a difference:
//!
//! - *failures*: the new one fails significantly more often than the old ones (Fisher's exact test),
//!   or, where the file gives a rate, significantly more often than that (binomial test);
//! - *time*: significantly more than half of its messages take longer than the allowed multiple of
//!   the old ones' median (sign test; medians, because times have long tails).
//!
//! It is looked at again and again, and with enough looks at the usual level of 5 % chance alone
//! would call nearly everything a difference. So before the window is over only what is below 0.1 %
//! counts, and 5 % at its end: the boundaries of Haybittle (British Journal of Radiology 44, 1971)
//! and Peto (British Journal of Cancer 34, 1976), made for stopping trials early that do harm.

use std::fmt;
use std::time::Duration;

use super::evidence::{at_least, by_chance};
use crate::model::{CanarySpec, duration_label};
use crate::telemetry::Times;

/// The probability below which something is no chance, at the end of the window.
const LEVEL: f64 = 0.05;

/// The same before its end.
const EARLY_LEVEL: f64 = 0.001;

/// Messages of each side without which nothing is said about times.
const FEWEST_TIMES: u64 = 20;

/// Differences in time that are never held against anybody.
const UNNOTICED: Duration = Duration::from_millis(1);

/// What some workers have done within the window.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sample {
    /// Messages that they were given and that are over with them.
    pub messages: u64,
    /// How many of these failed.
    pub failed: u64,
    /// How long the messages took.
    pub times: Times,
}

impl Sample {
    /// What both have done together.
    #[must_use]
    pub fn with(mut self, other: &Self) -> Self {
        self.messages += other.messages;
        self.failed += other.failed;
        for (count, more) in self.times.0.iter_mut().zip(other.times.0) {
            *count += more;
        }
        self
    }
}

/// What is to be done.
#[derive(Clone, Debug, PartialEq)]
pub enum Judgement {
    /// It is too early to say.
    Wait,
    /// The new version takes over.
    GoOn,
    /// It goes, for this reason.
    RollBack(String),
}

/// Judges the new version after so much of the window.
pub fn judge(spec: &CanarySpec, new: &Sample, old: &Sample, elapsed: Duration) -> Judgement {
    let over = new.messages >= u64::from(spec.messages.get()) || elapsed >= spec.time;
    let level = if over { LEVEL } else { EARLY_LEVEL };
    // Where the old ones had nothing to do, they are taken to have made no mistake meanwhile.
    let compared = old.messages.max(if old.messages == 0 { new.messages } else { 0 });
    if by_chance((new.failed, new.messages), (old.failed, compared)) < level {
        return Judgement::RollBack(format!(
            "it failed {}, the old version {}",
            Share(new.failed, new.messages),
            Share(old.failed, old.messages)
        ));
    }
    if let Some(percent) = spec.max_error_percent
        && at_least(new.failed, new.messages, f64::from(percent) / 100.0) < level
    {
        let share = Share(new.failed, new.messages);
        return Judgement::RollBack(format!("it failed {share}, and {percent} % are allowed"));
    }
    if !over {
        return Judgement::Wait;
    }
    slow(spec, &new.times, &old.times).map_or(Judgement::GoOn, Judgement::RollBack)
}

fn slow(spec: &CanarySpec, new: &Times, old: &Times) -> Option<String> {
    let tries = new.count();
    if tries < FEWEST_TIMES || old.count() < FEWEST_TIMES {
        return None;
    }
    let median = old.median();
    let allowed = (median * spec.max_latency_percent / 100).max(median + UNNOTICED);
    (at_least(new.longer_than(allowed), tries, 0.5) < LEVEL).then(|| {
        format!(
            "half of its messages take over {}, of the old version's {}",
            rounded(new.median()),
            rounded(median)
        )
    })
}

fn rounded(time: Duration) -> String {
    let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    if millis == 0 { "under 1ms".to_owned() } else { duration_label(Duration::from_millis(millis)) }
}

/// `3 of 10 messages`.
struct Share(u64, u64);

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} messages", self.0, self.1)
    }
}
