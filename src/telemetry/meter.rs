//! Counting: atomics that the one who works adds to and the one who reads copies.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use super::status::{ConsumerState, ConsumerStatus, LastError, Settled, WorkerState, WorkerStatus};
use super::times::{RANGES, Times};
use super::words::{Outcome, Reason, RestartReason};
use crate::model::ConsumerName;

/// Counts for one consumer. A clone counts into the same numbers.
///
/// No method blocks for longer than a reader takes to copy a few words, and counting itself takes
/// no lock at all, so every method may be called from an async task.
#[derive(Clone, Debug)]
pub struct ConsumerMeter(Arc<Counters>);

#[derive(Debug)]
struct Counters {
    name: ConsumerName,
    received: AtomicU64,
    redelivered: AtomicU64,
    acked: AtomicU64,
    retried: AtomicU64,
    requeued: AtomicU64,
    released: AtomicU64,
    duplicates: AtomicU64,
    dead_lettered: [AtomicU64; Reason::ALL.len()],
    discarded: [AtomicU64; Reason::ALL.len()],
    lost_to_channel: AtomicU64,
    stale_replies: AtomicU64,
    protocol_errors: AtomicU64,
    restarts: [AtomicU64; RestartReason::ALL.len()],
    log_lines_dropped: AtomicU64,
    scaled: Mutex<Option<u16>>,
    last_error: Mutex<Option<LastError>>,
    state: Mutex<ConsumerState>,
    workers: Mutex<Vec<Weak<WorkerCells>>>,
}

/// A state is replaced whole under its lock, so one left by a panic elsewhere is still good.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn one(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// The counts that are not zero, by their words.
fn nonzero<K: Copy + Ord>(
    words: &[K],
    counters: &[AtomicU64],
) -> std::collections::BTreeMap<K, u64> {
    words
        .iter()
        .zip(counters)
        .map(|(word, counter)| (*word, counter.load(Relaxed)))
        .filter(|(_, count)| *count > 0)
        .collect()
}

impl ConsumerMeter {
    pub(super) fn new(name: ConsumerName) -> Self {
        Self(Arc::new(Counters {
            name,
            received: AtomicU64::default(),
            redelivered: AtomicU64::default(),
            acked: AtomicU64::default(),
            retried: AtomicU64::default(),
            requeued: AtomicU64::default(),
            released: AtomicU64::default(),
            duplicates: AtomicU64::default(),
            dead_lettered: Default::default(),
            discarded: Default::default(),
            lost_to_channel: AtomicU64::default(),
            stale_replies: AtomicU64::default(),
            protocol_errors: AtomicU64::default(),
            restarts: Default::default(),
            log_lines_dropped: AtomicU64::default(),
            scaled: Mutex::default(),
            last_error: Mutex::default(),
            state: Mutex::new(ConsumerState::Starting),
            workers: Mutex::default(),
        }))
    }

    /// The consumer counted here.
    pub fn name(&self) -> &ConsumerName {
        &self.0.name
    }

    /// The broker delivered a message.
    pub fn received(&self, redelivered: bool) {
        one(&self.0.received);
        if redelivered {
            one(&self.0.redelivered);
        }
    }

    /// A message was settled: said to the broker, on the channel that delivered it.
    pub fn settled(&self, outcome: Outcome) {
        one(match outcome {
            Outcome::Acked => &self.0.acked,
            Outcome::Retried => &self.0.retried,
            Outcome::Requeued => &self.0.requeued,
            Outcome::Released => &self.0.released,
            Outcome::Duplicate => &self.0.duplicates,
            Outcome::DeadLettered(reason) => &self.0.dead_lettered[reason as usize],
            Outcome::Discarded(reason) => &self.0.discarded[reason as usize],
        });
    }

    /// That many messages were in flight on a channel that is gone: the broker has them back, and
    /// whatever the child says of them now is stale.
    pub fn lost_to_channel(&self, messages: u64) {
        self.0.lost_to_channel.fetch_add(messages, Relaxed);
    }

    /// The child answered for a message of an earlier channel, or one already answered.
    pub fn stale_reply(&self) {
        one(&self.0.stale_replies);
    }

    /// The child said something that the protocol does not have.
    pub fn protocol_error(&self) {
        one(&self.0.protocol_errors);
    }

    /// A child is started in the place of one that ended.
    pub fn restarted(&self, reason: RestartReason) {
        one(&self.0.restarts[reason as usize]);
    }

    /// That many of the child's log lines were not written, because there were too many.
    pub fn log_lines_dropped(&self, lines: u64) {
        self.0.log_lines_dropped.fetch_add(lines, Relaxed);
    }

    /// Somebody wants so many workers, whatever the file says; `None` for what the file says.
    pub fn set_scaled(&self, workers: Option<u16>) {
        *lock(&self.0.scaled) = workers;
    }

    /// Something went wrong, with a message or with a process.
    pub fn failed(&self, what: impl Into<String>) {
        let at = jiff::Timestamp::now().to_string();
        *lock(&self.0.last_error) = Some(LastError { at, what: what.into() });
    }

    /// The consumer is now in this state. Being down is a failure as well.
    pub fn set_state(&self, state: ConsumerState) {
        if let ConsumerState::Down { why } = &state {
            self.failed(why.clone());
        }
        *lock(&self.0.state) = state;
    }

    /// A worker of this consumer, shown in the status for as long as the returned meter lives.
    /// `slot` is its number among the workers, from 0. A reload may have two of one number at
    /// once: the old one that drains and the new one that takes over.
    pub fn worker(&self, slot: u16) -> WorkerMeter {
        let cells = Arc::new(WorkerCells {
            slot,
            in_flight: AtomicU64::default(),
            messages: AtomicU64::default(),
            before: AtomicU64::default(),
            failed: AtomicU64::default(),
            position: AtomicU64::new(NOWHERE),
            times: std::array::from_fn(|_| AtomicU64::default()),
            shown: Mutex::new((WorkerState::Starting, None)),
        });
        let mut workers = lock(&self.0.workers);
        workers.retain(|worker| worker.strong_count() > 0);
        workers.push(Arc::downgrade(&cells));
        WorkerMeter(cells)
    }

    /// A number that changes when a message is over with a child of any worker, and when a worker
    /// comes or goes.
    pub fn handled(&self) -> u64 {
        let workers = lock(&self.0.workers);
        workers.iter().filter_map(Weak::upgrade).map(|cells| cells.messages.load(Relaxed)).sum()
    }

    /// Deliveries so far.
    pub fn received_so_far(&self) -> u64 {
        self.0.received.load(Relaxed)
    }

    /// A copy of every number. What is received and settled while it is made may be counted on one
    /// side only.
    pub(super) fn status(&self) -> ConsumerStatus {
        let counters = &*self.0;
        let workers: Vec<WorkerStatus> = lock(&counters.workers)
            .iter()
            .filter_map(Weak::upgrade)
            .map(|cells| cells.status())
            .collect();
        ConsumerStatus {
            state: lock(&counters.state).clone(),
            received: counters.received.load(Relaxed),
            redelivered: counters.redelivered.load(Relaxed),
            settled: Settled {
                acked: counters.acked.load(Relaxed),
                retried: counters.retried.load(Relaxed),
                requeued: counters.requeued.load(Relaxed),
                released: counters.released.load(Relaxed),
                duplicates: counters.duplicates.load(Relaxed),
                dead_lettered: nonzero(Reason::ALL, &counters.dead_lettered),
                discarded: nonzero(Reason::ALL, &counters.discarded),
            },
            in_flight: workers.iter().map(|worker| worker.in_flight).sum(),
            lost_to_channel: counters.lost_to_channel.load(Relaxed),
            stale_replies: counters.stale_replies.load(Relaxed),
            protocol_errors: counters.protocol_errors.load(Relaxed),
            restarts: nonzero(RestartReason::ALL, &counters.restarts),
            log_lines_dropped: counters.log_lines_dropped.load(Relaxed),
            scaled: *lock(&counters.scaled),
            last_error: lock(&counters.last_error).clone(),
            workers,
        }
    }
}

/// Shows one worker. Dropping it takes the worker out of the status.
///
/// The gauge of what is in flight is set from the worker's own ledger, never derived from the
/// counters: only so can the balance of the counters show a mistake.
#[derive(Clone, Debug)]
pub struct WorkerMeter(Arc<WorkerCells>);

/// What one worker has done since it was started.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Messages that it was given and that are over with it.
    pub messages: u64,
    /// How many of these failed.
    pub failed: u64,
    /// How long the messages took.
    pub times: Times,
}

/// No offset of a stream: the broker counts in 63 bits.
const NOWHERE: u64 = u64::MAX;

#[derive(Debug)]
struct WorkerCells {
    slot: u16,
    in_flight: AtomicU64,
    messages: AtomicU64,
    /// How many of them there were before its child was started.
    before: AtomicU64,
    failed: AtomicU64,
    /// In a stream, the first offset that is not done; [`NOWHERE`] where that is not known.
    position: AtomicU64,
    times: [AtomicU64; RANGES],
    shown: Mutex<(WorkerState, Option<u32>)>,
}

impl WorkerMeter {
    /// So many messages are in the worker's ledger now.
    pub fn set_in_flight(&self, messages: usize) {
        self.0.in_flight.store(messages as u64, Relaxed);
    }

    /// So many messages are over with its child, each of which took that long.
    pub fn worked(&self, messages: u64, time: Duration) {
        self.0.messages.fetch_add(messages, Relaxed);
        self.0.times[Times::range(time)].fetch_add(messages, Relaxed);
    }

    /// A message has failed with it.
    pub fn failed(&self) {
        one(&self.0.failed);
    }

    /// In a stream, every message before that offset is done.
    pub fn set_position(&self, offset: u64) {
        self.0.position.store(offset, Relaxed);
    }

    /// Messages in the worker's ledger.
    pub fn in_flight(&self) -> u64 {
        self.0.in_flight.load(Relaxed)
    }

    /// The process id of its child, while there is one.
    pub fn pid(&self) -> Option<u32> {
        lock(&self.0.shown).1
    }

    /// How many messages are over with its child.
    pub fn messages(&self) -> u64 {
        self.0.messages.load(Relaxed).saturating_sub(self.0.before.load(Relaxed))
    }

    /// What it has done so far.
    pub fn tally(&self) -> Tally {
        let cells = &*self.0;
        Tally {
            // The whole is read last, or a part could be more.
            failed: cells.failed.load(Relaxed),
            times: Times(std::array::from_fn(|range| cells.times[range].load(Relaxed))),
            messages: cells.messages.load(Relaxed),
        }
    }

    /// The worker is now in this state.
    pub fn set_state(&self, state: WorkerState) {
        lock(&self.0.shown).0 = state;
    }

    /// Its child is this process, or there is none.
    pub fn set_pid(&self, pid: Option<u32>) {
        if pid.is_some() {
            self.0.before.store(self.0.messages.load(Relaxed), Relaxed);
        }
        lock(&self.0.shown).1 = pid;
    }
}

impl WorkerCells {
    fn status(&self) -> WorkerStatus {
        let (state, pid) = lock(&self.shown).clone();
        let (in_flight, position) = (self.in_flight.load(Relaxed), self.position.load(Relaxed));
        let position = Some(position).filter(|position| *position != NOWHERE);
        WorkerStatus { slot: self.slot, state, pid, in_flight, position }
    }
}
