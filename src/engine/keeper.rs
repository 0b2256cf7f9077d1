//! Keeps the crews in step with a fleet: starts, resizes, replaces, drains.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use super::Context;
use super::crew::Crew;
use crate::model::{ConsumerName, ConsumerSpec, Fleet, QueueName, VhostName};
use crate::plan::{FleetChange, fleet_changes};
use crate::telemetry::{ConsumerState, Registry};

/// How long the new workers of a changed consumer may take to be ready, on top of what they may
/// take to say so.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// What became of a change of the fleet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FleetOutcome {
    started: usize,
    stopped: usize,
    resized: usize,
    replaced: usize,
    kept: usize,
    /// Consumers that still run as they did, because the new ones did not come up.
    pub(super) refused: Vec<(ConsumerName, String)>,
}

impl fmt::Display for FleetOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.started, "started"),
            (self.replaced, "replaced"),
            (self.resized, "resized"),
            (self.stopped, "stopped"),
            (self.kept, "kept"),
            (self.refused.len(), "refused"),
        ];
        let words: Vec<String> = counts
            .into_iter()
            .filter(|(count, _)| *count > 0)
            .map(|(count, word)| format!("{count} {word}"))
            .collect();
        write!(f, "consumers: {}", if words.is_empty() { "none".into() } else { words.join(", ") })
    }
}

/// All crews of this supervisor.
pub(super) struct Keeper {
    crews: BTreeMap<ConsumerName, Crew>,
    /// Crews on their way out.
    leaving: JoinSet<()>,
    registry: Registry,
    kill: CancellationToken,
}

impl Keeper {
    /// No crews. Cancelling `kill` ends every worker at once.
    pub(super) fn new(registry: Registry, kill: CancellationToken) -> Self {
        Self { crews: BTreeMap::new(), leaving: JoinSet::new(), registry, kill }
    }

    /// Brings the crews to a fleet. `everything` replaces even the equal ones, for
    /// when what they share has changed. Given up with the future: what was started stays.
    pub(super) async fn follow(
        &mut self,
        new: &Fleet,
        everything: bool,
        context: impl Fn() -> Context,
    ) -> FleetOutcome {
        while self.leaving.try_join_next().is_some() {}
        let mut outcome = FleetOutcome::default();
        let mut coming: Vec<(ConsumerName, Crew)> = Vec::new();
        let mut going = Vec::new();
        let running: BTreeMap<ConsumerName, ConsumerSpec> =
            self.crews.iter().map(|(name, crew)| (name.clone(), crew.spec().clone())).collect();
        for change in fleet_changes(&running, new) {
            match change {
                FleetChange::Keep(spec) if everything => coming.push(Self::recruit(spec, &context)),
                FleetChange::Replace(spec) => coming.push(Self::recruit(spec, &context)),
                FleetChange::Keep(_) => outcome.kept += 1,
                FleetChange::Start(spec) => {
                    outcome.started += 1;
                    let (name, crew) = Self::recruit(spec, &context);
                    self.crews.insert(name, crew);
                }
                FleetChange::Resize(spec) => {
                    outcome.resized += 1;
                    if let Some(crew) = self.crews.get_mut(&spec.name) {
                        going.push(crew.resize(spec.clone(), &context));
                    }
                }
                FleetChange::Stop(name) => {
                    outcome.stopped += 1;
                    going.extend(self.crews.remove(&name));
                    self.registry.consumer(&name).set_state(ConsumerState::Draining);
                }
            }
        }
        // All new crews come up side by side; each old one stays until its successor is there.
        for (name, crew) in &mut coming {
            let limit = READY_LIMIT + crew.spec().ready.unwrap_or_default();
            let ready = tokio::time::timeout(limit, crew.ready()).await;
            match ready {
                Ok(Ok(())) => outcome.replaced += 1,
                Ok(Err(why)) => outcome.refused.push((name.clone(), why)),
                Err(_) => {
                    let limit = limit.as_secs();
                    outcome.refused.push((name.clone(), format!("not ready within {limit} s")));
                }
            }
        }
        for (name, crew) in coming {
            let refused = outcome.refused.iter().any(|(refused, _)| *refused == name);
            if refused && self.crews.contains_key(&name) {
                going.push(crew);
                self.registry.consumer(&name).set_state(ConsumerState::Running);
            } else {
                going.extend(self.crews.insert(name, crew));
            }
        }
        for crew in going {
            self.retire(crew);
        }
        outcome
    }

    fn recruit(spec: &ConsumerSpec, context: &impl Fn() -> Context) -> (ConsumerName, Crew) {
        let mut crew = Crew::new(spec.clone());
        let nobody = crew.resize(spec.clone(), context);
        debug_assert!(nobody.is_empty(), "a new crew has nobody to spare");
        (spec.name.clone(), crew)
    }

    fn retire(&mut self, crew: Crew) {
        crew.drain();
        let kill = self.kill.clone();
        let (registry, name) = (self.registry.clone(), crew.spec().name.clone());
        let last = !self.crews.contains_key(&name);
        self.leaving.spawn(async move {
            crew.ended(&kill).await;
            if last {
                registry.consumer(&name).set_state(ConsumerState::Stopped);
            }
        });
    }

    /// Drains the crews of these queues and waits for the end of that; gives how many they were. The
    /// next [`Keeper::follow`] starts them again.
    pub(super) async fn pause(&mut self, queues: &BTreeSet<(VhostName, QueueName)>) -> usize {
        let of = |crew: &Crew| {
            let spec = crew.spec();
            queues.contains(&(spec.vhost.clone(), spec.queue.clone()))
        };
        let names: Vec<_> =
            self.crews.iter().filter(|(_, crew)| of(crew)).map(|(name, _)| name.clone()).collect();
        let mut ending = Vec::new();
        for name in &names {
            let Some(crew) = self.crews.remove(name) else { continue };
            tracing::info!(consumer = %name, "waiting while its queue is made anew");
            let why = "its queue is made anew".to_owned();
            self.registry.consumer(name).set_state(ConsumerState::Waiting { why });
            crew.drain();
            ending.push(crew.ended(&self.kill));
        }
        futures_util::future::join_all(ending).await;
        names.len()
    }

    /// Drains everything and waits for the end of it.
    pub(super) async fn stop(&mut self) {
        for crew in std::mem::take(&mut self.crews).into_values() {
            self.registry.consumer(&crew.spec().name).set_state(ConsumerState::Draining);
            self.retire(crew);
        }
        while self.leaving.join_next().await.is_some() {}
    }
}
