//! What others ask of a running engine, and who waits for what becomes of a reload.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::crew::CrewRequest;
use super::keeper::FleetOutcome;
use crate::model::ConsumerName;

/// What an engine can be asked.
#[derive(Debug)]
pub enum EngineRequest {
    /// Something of one consumer.
    Crew(CrewRequest),
    /// Read the files again, and tell what became of it. Without an answer, the engine ends.
    Reload(oneshot::Sender<ReloadOutcome>),
}

/// What became of a reload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ReloadOutcome {
    /// The files say the same as before.
    Unchanged,
    /// All is as the files say.
    Applied {
        /// What has changed.
        summary: String,
    },
    /// Some consumers still run as they did, because their new version did not come up or was rolled
    /// back.
    Partly {
        /// What has changed.
        summary: String,
        /// Those, and why.
        refused: Vec<(ConsumerName, String)>,
    },
    /// The files cannot be used; everything goes on as it is.
    Rejected {
        /// Every problem, for a person.
        problems: String,
    },
    /// The broker is in a state that a person has to decide about; everything goes on as it is.
    Refused {
        /// Why.
        why: String,
    },
    /// The files are in order. All else is tried until the broker can be reached.
    Waiting {
        /// Why it cannot.
        why: String,
    },
    /// Before it was all done, the files had changed again.
    Superseded,
}

/// Those who wait for what becomes of a reload.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    /// For which nothing is begun yet.
    asked: Vec<oneshot::Sender<ReloadOutcome>>,
    /// By the number of the change that came of it.
    changing: BTreeMap<u64, Vec<oneshot::Sender<ReloadOutcome>>>,
}

impl Waiting {
    /// One more waits.
    pub(super) fn join(&mut self, answer: oneshot::Sender<ReloadOutcome>) {
        self.asked.push(answer);
    }

    /// It came to nothing that takes time, and this is it.
    pub(super) fn tell(&mut self, outcome: &ReloadOutcome) {
        answer(std::mem::take(&mut self.asked), outcome);
    }

    /// It has come to a change of that number.
    pub(super) fn changing(&mut self, change: u64) {
        let asked = std::mem::take(&mut self.asked);
        if !asked.is_empty() {
            self.changing.entry(change).or_default().extend(asked);
        }
    }

    /// All is known of a change.
    pub(super) fn concluded(&mut self, change: u64, summary: &str, outcome: &FleetOutcome) {
        let Some(waiting) = self.changing.remove(&change) else { return };
        let summary = summary.to_owned();
        let stayed: Vec<_> = outcome.refused.iter().chain(&outcome.rolled_back).cloned().collect();
        let outcome = if !stayed.is_empty() {
            ReloadOutcome::Partly { summary, refused: stayed }
        } else if outcome.is_superseded() {
            ReloadOutcome::Superseded
        } else {
            ReloadOutcome::Applied { summary }
        };
        answer(waiting, &outcome);
    }
}

fn answer(waiting: Vec<oneshot::Sender<ReloadOutcome>>, outcome: &ReloadOutcome) {
    for one in waiting {
        // Whoever has gone need not know.
        let _ = one.send(outcome.clone());
    }
}
