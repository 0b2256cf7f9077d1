//! Which messages were handled already: a window over what was acked lately.
//!
//! A message is known by a key that its publisher gave it. Only one that was acked counts as handled:
//! one that failed is to come again. While one is under way, another of the same key waits for what
//! becomes of it, for whether it is a duplicate is not known before.

use std::collections::{HashMap, HashSet, VecDeque};
use std::hash::Hash;
use std::time::{Duration, Instant};

/// What becomes of a message that comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// It is under way now, until [`Seen::finish`] or [`Seen::give_up`].
    Ours,
    /// One of that key was acked within the window.
    Duplicate,
    /// One of that key is under way.
    Wait,
}

/// Keys of messages that are under way, and of those that were acked within the window, as many as
/// there may be.
#[derive(Clone, Debug)]
pub struct Seen<Key> {
    window: Duration,
    most: usize,
    under_way: HashSet<Key>,
    acked: HashMap<Key, Instant>,
    /// The same in the order of time.
    order: VecDeque<(Instant, Key)>,
}

impl<Key: Clone + Eq + Hash> Seen<Key> {
    /// Nothing seen yet. At most that many keys are remembered: the latest.
    pub fn new(window: Duration, most: usize) -> Self {
        Self {
            window,
            most,
            under_way: HashSet::new(),
            acked: HashMap::new(),
            order: VecDeque::new(),
        }
    }

    /// Other limits from now on; what is known already stays.
    pub fn set_limits(&mut self, window: Duration, most: usize) {
        (self.window, self.most) = (window, most);
    }

    /// A message of that key has come.
    pub fn claim(&mut self, key: &Key, now: Instant) -> Claim {
        self.forget_old(now);
        if self.acked.contains_key(key) {
            return Claim::Duplicate;
        }
        if self.under_way.insert(key.clone()) { Claim::Ours } else { Claim::Wait }
    }

    /// The message that was under way is acked.
    pub fn finish(&mut self, key: &Key, now: Instant) {
        self.under_way.remove(key);
        self.acked.insert(key.clone(), now);
        self.order.push_back((now, key.clone()));
        self.forget_old(now);
    }

    /// The message that was under way is not: another of that key is welcome.
    pub fn give_up(&mut self, key: &Key) {
        self.under_way.remove(key);
    }

    /// How many keys are remembered as acked.
    pub fn remembered(&self) -> usize {
        self.acked.len()
    }

    fn forget_old(&mut self, now: Instant) {
        while let Some((at, _)) = self.order.front() {
            if now.saturating_duration_since(*at) < self.window && self.order.len() <= self.most {
                break;
            }
            if let Some((_, key)) = self.order.pop_front() {
                self.acked.remove(&key);
            }
        }
    }
}
