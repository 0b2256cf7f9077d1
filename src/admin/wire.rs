//! What goes over the socket.

use std::collections::BTreeMap;
use std::num::NonZeroU16;

use serde::{Deserialize, Serialize};

use super::Rates;
use crate::engine::ReloadOutcome;
use crate::model::ConsumerName;
use crate::telemetry::Status;

/// The version of all this. A supervisor refuses another.
pub const VERSION: u32 = 1;

/// A line to the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Asked {
    pub(super) version: u32,
    pub(super) request: Request,
}

/// A line from the supervisor.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Answered {
    pub(super) version: u32,
    pub(super) answer: Answer,
}

/// What a supervisor can be asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub enum Request {
    /// How it stands.
    Status,
    /// Have a consumer take no messages. What it holds is answered; its processes stay.
    Pause {
        /// Which.
        consumer: ConsumerName,
    },
    /// Have a consumer take messages again.
    Resume {
        /// Which.
        consumer: ConsumerName,
    },
    /// Have a consumer run so many workers.
    Scale {
        /// Which.
        consumer: ConsumerName,
        /// How many; `None` for what the file says.
        workers: Option<NonZeroU16>,
    },
    /// Replace the workers of a consumer, one by one.
    Restart {
        /// Which.
        consumer: ConsumerName,
    },
    /// Read the files again; the answer comes when it is known what has become of it.
    Reload,
    /// Take no more messages, answer what is held, and end.
    Drain,
}

/// What a supervisor says.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "said", rename_all = "snake_case")]
pub enum Answer {
    /// How it stands.
    Status {
        /// All of it.
        report: Box<Report>,
    },
    /// It is being done.
    Done,
    /// What has become of a reload.
    Reloaded {
        /// One of a few.
        outcome: ReloadOutcome,
    },
    /// There is no consumer of that name.
    NoConsumer {
        /// Those that there are.
        known: Vec<ConsumerName>,
    },
    /// It was not understood, or cannot be done now.
    Refused {
        /// Why, for a person.
        why: String,
    },
}

/// A supervisor at one moment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The stack that it runs.
    pub stack: String,
    /// Its process.
    pub pid: u32,
    /// Its version.
    pub version: String,
    /// When it began, RFC 3339 in UTC.
    pub started_at: String,
    /// For how long it has run, seconds.
    pub uptime: u64,
    /// How fast each consumer is, over the last ten seconds.
    pub rates: BTreeMap<ConsumerName, Rates>,
    /// What it has counted and where everything stands.
    pub status: Status,
}
