//! Who of a host tries to connect, where and when.
//!
//! While the broker is away, one connection tries for all of the host and the others wait for what
//! comes of it. So a broker that comes back meets as many attempts as there are hosts, however many
//! connections each of them wants. All of a host go to the endpoint that answered last.

use std::time::{Duration, Instant};

use super::Backoff;

/// Pauses between attempts while nobody answers: short, because a broker that has come back must
/// be consumed from within seconds; with jitter, because every host of a cluster retries at once.
const UNREACHABLE: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(3));

/// Pauses after a refusal: more attempts will not mend a password.
const REFUSED: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(30));

/// The pause before the next endpoint, as long as not all have been tried.
const ANOTHER: Duration = Duration::from_millis(550);

/// How long a connection must have held for the pauses to begin anew.
const HELD: Duration = Duration::from_secs(3);

/// Whether one that wants to connect may.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Now, to the endpoint of that number; the outcome is to be told.
    Now(usize),
    /// Not before that time. Ask again then.
    At(Instant),
    /// Another one is trying. Ask again when that is over.
    Later,
}

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Miss {
    /// Nobody answers, or not in time.
    Unreachable,
    /// The broker is there, and refuses.
    Refused,
}

/// What one host knows of one broker.
#[derive(Clone, Debug)]
pub struct Gate {
    endpoints: usize,
    current: usize,
    /// Whether the last that is known of the broker is that it answers.
    open: bool,
    trying: bool,
    not_before: Option<Instant>,
    /// Failures since the last success. What counts for the pauses is a round of all endpoints.
    failures: usize,
    soon: Backoff,
    late: Backoff,
}

impl Gate {
    /// For a broker of so many endpoints, of which nothing is known.
    pub fn new(endpoints: usize) -> Self {
        Self {
            endpoints: endpoints.max(1),
            current: 0,
            open: false,
            trying: false,
            not_before: None,
            failures: 0,
            soon: Backoff::new(UNREACHABLE.0, UNREACHABLE.1),
            late: Backoff::new(REFUSED.0, REFUSED.1),
        }
    }

    /// Somebody wants to connect.
    pub fn ask(&mut self, now: Instant) -> Leave {
        if self.open {
            return Leave::Now(self.current);
        }
        if self.trying {
            return Leave::Later;
        }
        match self.not_before {
            Some(at) if now < at => Leave::At(at),
            _ => {
                self.trying = true;
                Leave::Now(self.current)
            }
        }
    }

    /// An attempt at that endpoint has succeeded.
    pub fn connected(&mut self, endpoint: usize) {
        self.current = endpoint;
        self.open = true;
        self.trying = false;
        self.not_before = None;
        self.failures = 0;
    }

    /// An attempt at that endpoint has failed; `chance` between 0 and 1 spreads the next.
    pub fn failed(&mut self, endpoint: usize, failure: Miss, now: Instant, chance: f64) {
        self.failures = self.failures.wrapping_add(1);
        let pause = match failure {
            _ if !self.failures.is_multiple_of(self.endpoints) => {
                ANOTHER.mul_f64(1.0 + 0.2 * chance)
            }
            Miss::Unreachable => self.soon.next(chance),
            Miss::Refused => self.late.next(chance),
        };
        self.shut(endpoint, true, now + pause);
    }

    /// Whether all endpoints have failed since the last success.
    pub fn is_away(&self) -> bool {
        self.failures >= self.endpoints
    }

    /// An attempt was given up before anything came of it.
    pub fn abandoned(&mut self) {
        self.trying = false;
    }

    /// A connection to that endpoint was lost that had held for so long. `elsewhere` says that this
    /// endpoint is to blame, and that the next attempt goes to another.
    pub fn lost(
        &mut self,
        endpoint: usize,
        held: Duration,
        elsewhere: bool,
        now: Instant,
        chance: f64,
    ) {
        // Whoever notices later than another adds nothing.
        if !self.open {
            return;
        }
        if held > HELD {
            self.soon.reset();
            self.late.reset();
        }
        let pause = self.soon.next(chance);
        self.shut(endpoint, elsewhere, now + pause);
    }

    fn shut(&mut self, endpoint: usize, elsewhere: bool, until: Instant) {
        self.open = false;
        self.trying = false;
        self.not_before = Some(until);
        if elsewhere && self.current == endpoint {
            self.current = (endpoint + 1) % self.endpoints;
        }
    }
}
