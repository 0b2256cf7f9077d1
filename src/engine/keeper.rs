//! Keeps the crews in step with a fleet: starts, resizes, replaces, drains; and tells what became of
//! each change once all of it is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::context::Hands;
use super::crew::{Crew, CrewOrder, RolloutOutcome};
use crate::model::{ConsumerName, ConsumerSpec, Fleet, QueueName, VhostName};
use crate::plan::{FleetChange, fleet_changes};
use crate::telemetry::{ConsumerState, Registry};

/// What became of a change of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FleetOutcome {
    started: usize,
    stopped: usize,
    resized: usize,
    replaced: usize,
    kept: usize,
    superseded: usize,
    /// Consumers that still run as they did, because the new ones did not come up.
    pub(super) refused: Vec<(ConsumerName, String)>,
    /// The same, because the new one was not as good.
    pub(super) rolled_back: Vec<(ConsumerName, String)>,
}

impl FleetOutcome {
    /// Whether some of it was given up for a later change.
    pub(super) fn is_superseded(&self) -> bool {
        self.superseded > 0
    }
}

impl fmt::Display for FleetOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.started, "started"),
            (self.replaced, "replaced"),
            (self.resized, "resized"),
            (self.stopped, "stopped"),
            (self.kept, "kept"),
            (self.superseded, "changed again meanwhile"),
            (self.refused.len(), "refused"),
            (self.rolled_back.len(), "rolled back"),
        ];
        let words: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        write!(f, "consumers: {}", if words.is_empty() { "none".into() } else { words.join(", ") })
    }
}

/// A change of the fleet whose end is awaited.
struct Change {
    /// What the caller calls it.
    name: String,
    /// Consumers of which it is not known yet what becomes of them.
    open: usize,
    outcome: FleetOutcome,
}

/// A crew, and what it is to run.
struct Kept {
    crew: Crew,
    /// What it was told last.
    wanted: ConsumerSpec,
    /// What it runs if that is refused.
    proven: ConsumerSpec,
    /// The change in which it was told.
    change: u64,
}

/// Whose part in which change has come to what.
type Concluded = (u64, ConsumerName, RolloutOutcome);

/// All crews of this supervisor.
pub(super) struct Keeper {
    crews: BTreeMap<ConsumerName, Kept>,
    /// Crews on their way out.
    leaving: JoinSet<()>,
    /// By their numbers, rising.
    changes: BTreeMap<u64, Change>,
    last_change: u64,
    rollouts: FuturesUnordered<Pin<Box<dyn Future<Output = Concluded> + Send>>>,
    registry: Registry,
    kill: CancellationToken,
}

impl Keeper {
    /// No crews. Cancelling `kill` ends every worker at once.
    pub(super) fn new(registry: Registry, kill: CancellationToken) -> Self {
        Self {
            crews: BTreeMap::new(),
            leaving: JoinSet::new(),
            changes: BTreeMap::new(),
            last_change: 0,
            rollouts: FuturesUnordered::new(),
            registry,
            kill,
        }
    }

    /// Brings the crews to a fleet, and returns when they know what to do: what becomes of it comes
    /// from [`Keeper::concluded`], under that name and the number that this gives. Where the links in `hands` are others than
    /// before, even those that are equal are replaced.
    pub(super) async fn follow(
        &mut self,
        new: &Fleet,
        hands: &Arc<Hands>,
        name: String,
        links: bool,
    ) -> u64 {
        while self.leaving.try_join_next().is_some() {}
        self.last_change += 1;
        let change = self.last_change;
        let mut outcome = FleetOutcome::default();
        let mut open = 0;
        let running: BTreeMap<ConsumerName, ConsumerSpec> =
            self.crews.iter().map(|(name, kept)| (name.clone(), kept.wanted.clone())).collect();
        for step in fleet_changes(&running, new) {
            match step {
                FleetChange::Replace(spec) => {
                    open += 1;
                    self.replace(spec, hands, change).await;
                }
                FleetChange::Keep(spec) | FleetChange::Resize(spec) if links => {
                    open += 1;
                    self.replace(spec, hands, change).await;
                }
                FleetChange::Keep(_) => outcome.kept += 1,
                FleetChange::Start(spec) => {
                    outcome.started += 1;
                    let crew = Crew::start(
                        spec.clone(),
                        hands.clone(),
                        self.registry.consumer(&spec.name),
                        self.kill.clone(),
                    );
                    let (wanted, proven) = (spec.clone(), spec.clone());
                    self.crews.insert(spec.name.clone(), Kept { crew, wanted, proven, change });
                }
                FleetChange::Resize(spec) => {
                    outcome.resized += 1;
                    if let Some(kept) = self.crews.get_mut(&spec.name) {
                        kept.crew.retune(spec.clone()).await;
                        if kept.proven == kept.wanted {
                            kept.proven = spec.clone();
                        }
                        kept.wanted = spec.clone();
                    }
                }
                FleetChange::Stop(name) => {
                    outcome.stopped += 1;
                    if let Some(kept) = self.crews.remove(&name) {
                        self.retire(name, kept.crew);
                    }
                }
            }
        }
        self.changes.insert(change, Change { name, open, outcome });
        change
    }

    async fn replace(&mut self, spec: &ConsumerSpec, hands: &Arc<Hands>, change: u64) {
        let Some(kept) = self.crews.get_mut(&spec.name) else { return };
        kept.wanted = spec.clone();
        kept.change = change;
        let outcome = kept.crew.follow(spec.clone(), hands.clone()).await;
        let name = spec.name.clone();
        self.rollouts.push(Box::pin(async move {
            // A crew that is stopped meanwhile says nothing more.
            let outcome = outcome.await.unwrap_or(RolloutOutcome::Superseded);
            (change, name, outcome)
        }));
    }

    /// Waits until everything about a change is known: its number, its name, and what became of it.
    /// Cancel-safe.
    pub(super) async fn concluded(&mut self) -> (u64, String, FleetOutcome) {
        loop {
            let over = self.changes.iter().find(|(_, change)| change.open == 0);
            if let Some(number) = over.map(|(number, _)| *number)
                && let Some(change) = self.changes.remove(&number)
            {
                return (number, change.name, change.outcome);
            }
            match self.rollouts.next().await {
                Some(concluded) => self.conclude(concluded),
                None => std::future::pending().await,
            }
        }
    }

    fn conclude(&mut self, (number, name, outcome): Concluded) {
        if let Some(kept) = self.crews.get_mut(&name).filter(|kept| kept.change == number) {
            match &outcome {
                RolloutOutcome::Replaced | RolloutOutcome::Kept => {
                    kept.proven = kept.wanted.clone();
                }
                RolloutOutcome::Refused(_) | RolloutOutcome::RolledBack(_) => {
                    kept.wanted = kept.proven.clone();
                }
                RolloutOutcome::Superseded => {}
            }
        }
        let Some(change) = self.changes.get_mut(&number) else { return };
        change.open = change.open.saturating_sub(1);
        match outcome {
            RolloutOutcome::Replaced => change.outcome.replaced += 1,
            RolloutOutcome::Kept => change.outcome.kept += 1,
            RolloutOutcome::Superseded => change.outcome.superseded += 1,
            RolloutOutcome::Refused(why) => change.outcome.refused.push((name, why)),
            RolloutOutcome::RolledBack(why) => change.outcome.rolled_back.push((name, why)),
        }
    }

    /// Does with one consumer what a person says; false where there is none of that name.
    pub(super) async fn order(&mut self, name: &ConsumerName, order: CrewOrder) -> bool {
        let Some(kept) = self.crews.get_mut(name) else { return false };
        kept.crew.order(order).await;
        true
    }

    fn retire(&mut self, name: ConsumerName, crew: Crew) {
        crew.drain();
        let registry = self.registry.clone();
        let last = !self.crews.contains_key(&name);
        self.leaving.spawn(async move {
            crew.ended().await;
            if last {
                registry.consumer(&name).set_state(ConsumerState::Stopped);
            }
        });
    }

    /// Drains the crews of these queues and waits for the end of that; gives how many they were. The
    /// next [`Keeper::follow`] starts them again.
    pub(super) async fn pause(&mut self, queues: &BTreeSet<(VhostName, QueueName)>) -> usize {
        let waits = |kept: &Kept| {
            let spec = &kept.wanted;
            queues.contains(&(spec.vhost.clone(), spec.queue.clone()))
        };
        let crews = self.crews.iter();
        let names: Vec<_> =
            crews.filter(|(_, kept)| waits(kept)).map(|(name, _)| name.clone()).collect();
        let mut ending = Vec::new();
        for name in &names {
            let Some(kept) = self.crews.remove(name) else { continue };
            tracing::info!(consumer = %name, "waiting while its queue is made anew");
            let why = "its queue is made anew".to_owned();
            self.registry.consumer(name).set_state(ConsumerState::Waiting { why });
            kept.crew.drain();
            ending.push(kept.crew.ended());
        }
        futures_util::future::join_all(ending).await;
        names.len()
    }

    /// Drains everything and waits for the end of it.
    pub(super) async fn stop(&mut self) {
        for (name, kept) in std::mem::take(&mut self.crews) {
            self.retire(name, kept.crew);
        }
        while self.leaving.join_next().await.is_some() {}
    }
}
