//! The snapshot that readers get: plain data, serializable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::topology::TopologyStatus;
use super::words::{ConnectionRole, Reason, RestartReason};
use crate::model::{ConsumerName, VhostName};

/// What a consumer as a whole does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ConsumerState {
    /// Its first workers are on their way.
    #[default]
    Starting,
    /// At least one worker takes messages.
    Running,
    /// It takes no messages for now and goes on by itself: a restart pause, an unreachable broker.
    Waiting {
        /// What it waits for, for a person.
        why: String,
    },
    /// It would take messages, but its queue gives them to one consumer at a time, and that is one of
    /// another host.
    Standby,
    /// It takes no messages because somebody has said so; its processes run.
    Paused,
    /// It takes no messages, and something outside must be mended first.
    Down {
        /// What is wrong, for a person.
        why: String,
    },
    /// It takes no new messages and finishes what it holds.
    Draining,
    /// Nothing of it runs.
    Stopped,
}

/// What one worker does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum WorkerState {
    /// Its child or its channel is on its way.
    #[default]
    Starting,
    /// It takes messages.
    Running,
    /// It will start again by itself.
    Waiting {
        /// What it waits for, for a person.
        why: String,
    },
    /// It finishes what it holds.
    Draining,
    /// Its child is told to end.
    Stopping,
}

/// What a connection to the broker does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum ConnectionState {
    /// It is being opened.
    #[default]
    Connecting,
    /// It is open.
    Up,
    /// It is open, and the broker takes no messages for now.
    Blocked {
        /// The broker's words.
        why: String,
    },
    /// It is lost, and will be tried again.
    Down {
        /// What happened, for a person; never with credentials.
        why: String,
    },
}

impl ConnectionState {
    /// How much is amiss, from nothing (0) upwards.
    pub(super) fn severity(&self) -> u8 {
        match self {
            Self::Up => 0,
            Self::Connecting => 1,
            Self::Blocked { .. } => 2,
            Self::Down { .. } => 3,
        }
    }
}

/// One worker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkerStatus {
    /// Its number among the workers of its consumer, from 0.
    pub slot: u16,
    /// What it does.
    #[serde(flatten)]
    pub state: WorkerState,
    /// The process id of its child, while there is one.
    pub pid: Option<u32>,
    /// Messages delivered to it and not settled.
    pub in_flight: u64,
    /// In a stream, the first offset that is not done, where it would go on after a restart; `None`
    /// with other queues, and before it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<u64>,
}

/// Settled messages by what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settled {
    /// Done.
    pub acked: u64,
    /// Sent to a retry queue.
    pub retried: u64,
    /// Given back by the child.
    pub requeued: u64,
    /// Given back by us, for a worker that stopped or died.
    pub released: u64,
    /// Acked unseen, because they were handled before.
    pub duplicates: u64,
    /// Dead-lettered, by reason; reasons that never occurred are left out.
    pub dead_lettered: BTreeMap<Reason, u64>,
    /// Dropped as the file allows, by reason; reasons that never occurred are left out.
    pub discarded: BTreeMap<Reason, u64>,
}

impl Settled {
    /// All of them.
    pub fn total(&self) -> u64 {
        self.acked
            + self.retried
            + self.requeued
            + self.released
            + self.duplicates
            + self.dead_lettered.values().sum::<u64>()
            + self.discarded.values().sum::<u64>()
    }

    fn add(&mut self, other: &Self) {
        self.acked += other.acked;
        self.retried += other.retried;
        self.requeued += other.requeued;
        self.released += other.released;
        self.duplicates += other.duplicates;
        for (reason, count) in &other.dead_lettered {
            *self.dead_lettered.entry(*reason).or_default() += count;
        }
        for (reason, count) in &other.discarded {
            *self.discarded.entry(*reason).or_default() += count;
        }
    }
}

/// What went wrong last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LastError {
    /// When, RFC 3339 in UTC.
    pub at: String,
    /// What, for a person.
    pub what: String,
}

/// One consumer. Counts are since the supervisor started.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConsumerStatus {
    /// What it does.
    #[serde(flatten)]
    pub state: ConsumerState,
    /// Deliveries; a message that comes again counts again.
    pub received: u64,
    /// Deliveries that the broker marked as made before.
    pub redelivered: u64,
    /// Deliveries that were settled.
    pub settled: Settled,
    /// Deliveries that no one has settled yet, over all workers.
    pub in_flight: u64,
    /// Deliveries whose channel went away before they were settled.
    pub lost_to_channel: u64,
    /// Answers that came too late or twice; they reached no broker.
    pub stale_replies: u64,
    /// Lines and answers that the protocol does not have.
    pub protocol_errors: u64,
    /// Restarts of children, by reason; reasons that never occurred are left out.
    pub restarts: BTreeMap<RestartReason, u64>,
    /// Log lines of children that were not written, because there were too many.
    pub log_lines_dropped: u64,
    /// How many workers somebody wants of it, where that is not what the file says.
    pub scaled: Option<u16>,
    /// What went wrong last, with a message or with a process.
    pub last_error: Option<LastError>,
    /// Its workers, in the order they came.
    pub workers: Vec<WorkerStatus>,
}

impl ConsumerStatus {
    /// `received − (settled + in flight + lost to a channel)`.
    ///
    /// Zero whenever nothing moves. Above zero, deliveries are unaccounted for; below, something
    /// was counted twice. A snapshot taken under load may be off by what moved while it was taken.
    pub fn imbalance(&self) -> i128 {
        i128::from(self.received)
            - i128::from(self.settled.total())
            - i128::from(self.in_flight)
            - i128::from(self.lost_to_channel)
    }
}

/// The version of the files that is in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InForce {
    /// The stack they describe.
    pub stack: String,
    /// A hash over all texts that were read, hexadecimal.
    pub digest: String,
    /// Since when, RFC 3339 in UTC.
    pub since: String,
}

/// How the files stand.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigStatus {
    /// Whether the last attempt to load them succeeded; `None` before the first.
    pub last_reload_ok: Option<bool>,
    /// What the last attempt said: what changed, or what is wrong. Empty before the first.
    pub message: String,
    /// When the last attempt was, RFC 3339 in UTC.
    pub last_reload_at: Option<String>,
    /// When the last successful attempt was, RFC 3339 in UTC.
    pub last_success_at: Option<String>,
    /// What is in force; `None` before the first time.
    pub in_force: Option<InForce>,
}

/// Everything a reader may know at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Consumers by name.
    pub consumers: BTreeMap<ConsumerName, ConsumerStatus>,
    /// Connections to the broker by vhost and by what they are for; where there are several of a
    /// kind, the one that is worst off.
    pub connections: BTreeMap<VhostName, BTreeMap<ConnectionRole, ConnectionState>>,
    /// The files.
    pub config: ConfigStatus,
    /// The broker against the files.
    pub topology: TopologyStatus,
    /// The folder below which each worker has a control group; `None` where they have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub control_groups: Option<String>,
    /// Whether memory is accounted for by those groups, so that `limits.memory` holds for all
    /// processes of a worker together.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub memory_by_group: bool,
}

impl Status {
    /// The sum of every consumer's [`ConsumerStatus::imbalance`], each taken without its sign, so
    /// that two mistakes never cancel out.
    pub fn imbalance(&self) -> u128 {
        self.consumers.values().map(|consumer| consumer.imbalance().unsigned_abs()).sum()
    }

    /// Settled messages over all consumers.
    pub fn settled(&self) -> Settled {
        let mut sum = Settled::default();
        for consumer in self.consumers.values() {
            sum.add(&consumer.settled);
        }
        sum
    }
}
