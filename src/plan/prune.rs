//! What a stack owns and its files no longer declare: what of it goes, and what stays and why.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::change::{Action, Change, Target};
use super::ledger::{Ledger, Ownership, ResourceId};
use super::observed::{
    BindingKey, Observed, ObservedExchange, ObservedPolicy, ObservedQueue, Seen, Unseen,
};
use super::owned::{Consent, Kept, Veto};
use super::replace::on_a_detour;
use super::{compare, diff, hold_vhosts, settings};
use crate::model::{
    ApplyTo, Destination, Exchange, ExchangeType, OnConflict, OnRemove, Origin, Policy, Queue,
    QueueType, SettingId, Topology, VhostName,
};

/// A stack that owns fewer than this may lose all of it at once.
const FEW: usize = 10;

/// Of more, so many percent.
const MOST_PERCENT: usize = 30;

/// What pruning comes to.
#[derive(Default)]
pub(super) struct Pruned {
    /// The steps, in the reverse of the order in which things are created.
    pub(super) deletions: Vec<Change>,
    /// What stays.
    pub(super) kept: Vec<Kept>,
    /// What is owned, undeclared and still there, and whether it is deleted.
    pub(super) surviving: Vec<(ResourceId, bool)>,
    pub(super) veto: Option<Veto>,
}

pub(super) fn prune(
    topology: &Topology,
    changes: &[Change],
    observed: &Observed,
    ownership: &Ownership,
    consent: Consent,
) -> Pruned {
    let undeclared = undeclared(topology, &ownership.own);
    let mut pruned = Pruned::default();
    // Over AMQP alone nobody can tell what else hangs on a queue or an exchange.
    if observed.bindings.is_none() {
        for id in undeclared {
            let reason = "without the management API nobody can see what else needs it".to_owned();
            let hint = Some("give its address as `broker.management`".to_owned());
            pruned.surviving.push((id.clone(), false));
            pruned.kept.push(Kept { id, reason, hint });
        }
        return pruned;
    }
    let mut present: BTreeSet<ResourceId> = BTreeSet::new();
    for id in undeclared {
        match unseen(&id, observed) {
            Some(Unseen { reason, hint }) => {
                pruned.surviving.push((id.clone(), false));
                pruned.kept.push(Kept { id, reason: reason.clone(), hint: Some(hint.clone()) });
            }
            None if exists(&id, observed) => drop(present.insert(id)),
            None => {}
        }
    }
    if !consent.prune {
        for id in present {
            pruned.surviving.push((id.clone(), false));
            pruned.kept.push(Kept {
                id,
                reason: "no file declares it any more".into(),
                hint: Some("`--prune` deletes it".into()),
            });
        }
        return pruned;
    }
    let kept = std::mem::take(&mut pruned.kept);
    let mut round = Round { topology, observed, ownership, consent, changes, going: present, kept };
    round.hold_what_is_needed();
    round.hold_what_would_cascade();
    round.hold_vhosts();
    let Round { going, kept, .. } = round;
    pruned.surviving.extend(kept.iter().map(|kept| (kept.id.clone(), false)));
    pruned.surviving.extend(going.iter().map(|id| (id.clone(), true)));
    pruned.kept = kept;
    let (owned, lost) = (ownership.own.len(), going.len());
    if owned >= FEW && lost * 100 > owned * MOST_PERCENT && !consent.force {
        pruned.veto = Some(Veto {
            reason: format!(
                "{lost} of {owned} owned objects would be deleted, more than {MOST_PERCENT} %"
            ),
            hint: "are these all the files? if so, `--force` deletes them".into(),
        });
    }
    pruned.deletions = going.iter().filter_map(|id| deletion(id, observed)).collect();
    pruned.deletions.sort_by_key(|change| Reverse(change.target.phase()));
    pruned
}

/// What the ledger has and the files do not even name, but for what was to be retained. A binding
/// to something retained stays with it: it would be an empty shell otherwise.
fn undeclared(topology: &Topology, own: &Ledger) -> BTreeSet<ResourceId> {
    let bindings: BTreeSet<BindingKey> = topology.bindings().map(BindingKey::from).collect();
    let named = |id: &ResourceId| match id {
        ResourceId::Exchange(vhost, name) => topology.exchange(vhost, name).is_some(),
        ResourceId::Queue(vhost, name) => topology.queue(vhost, name).is_some(),
        ResourceId::Policy(vhost, name) => topology.policy(vhost, name).is_some(),
        ResourceId::Binding(key) => bindings.contains(key),
        ResourceId::Setting(id) => topology.setting(id).is_some(),
    };
    let gone: BTreeSet<(&ResourceId, OnRemove)> =
        own.iter().filter(|(id, _)| !named(id) && !id.is_reserved()).collect();
    let retained = |id: &ResourceId| match id {
        ResourceId::Binding(key) => {
            let end = ResourceId::end(key.vhost(), key.destination());
            [id, &end].into_iter().any(|id| gone.contains(&(id, OnRemove::Retain)))
        }
        _ => gone.contains(&(id, OnRemove::Retain)),
    };
    gone.iter().filter(|(id, _)| !retained(id)).map(|(id, _)| (*id).clone()).collect()
}

/// Why nobody can tell whether a setting exists.
fn unseen<'a>(id: &ResourceId, observed: &'a Observed) -> Option<&'a Unseen> {
    match id {
        ResourceId::Setting(id) => observed.unseen.get(&id.kind()),
        _ => None,
    }
}

fn exists(id: &ResourceId, observed: &Observed) -> bool {
    match id {
        ResourceId::Setting(id) => observed.settings.contains_key(id),
        ResourceId::Exchange(vhost, name) => {
            observed.exchanges.contains_key(&(vhost.clone(), name.clone()))
        }
        ResourceId::Queue(vhost, name) => {
            observed.queues.contains_key(&(vhost.clone(), name.clone()))
        }
        ResourceId::Policy(vhost, name) => observed
            .policies
            .as_ref()
            .is_some_and(|policies| policies.contains_key(&(vhost.clone(), name.clone()))),
        ResourceId::Binding(key) => {
            // What is on a detour comes back when its queue or exchange has been made anew.
            observed.bindings.as_ref().is_some_and(|bindings| bindings.contains(key))
                || on_a_detour(key, observed)
        }
    }
}

struct Round<'a> {
    topology: &'a Topology,
    observed: &'a Observed,
    ownership: &'a Ownership,
    consent: Consent,
    /// What else the plan does.
    changes: &'a [Change],
    /// What is to go, less and less.
    going: BTreeSet<ResourceId>,
    kept: Vec<Kept>,
}

impl Round<'_> {
    fn bindings(&self) -> impl Iterator<Item = &BindingKey> {
        self.observed.bindings.iter().flatten()
    }

    fn keep(&mut self, id: &ResourceId, reason: String, hint: Option<&str>) {
        self.going.remove(id);
        self.kept.push(Kept { id: id.clone(), reason, hint: hint.map(str::to_owned) });
    }

    /// Holds what is in use, and what something depends on that is to stay.
    fn hold_what_is_needed(&mut self) {
        let all = self.going.clone();
        for id in &all {
            if let Some((reason, hint)) = self.needed(id, &all) {
                self.keep(id, reason, hint);
            }
        }
    }

    /// Why something stays; `all` is what would go.
    fn needed(
        &self,
        id: &ResourceId,
        all: &BTreeSet<ResourceId>,
    ) -> Option<(String, Option<&'static str>)> {
        if let Some(owner) = self.ownership.others.get(id) {
            return Some((format!("stack `{}` owns it as well", owner.stack), None));
        }
        if deletion(id, self.observed).is_none() {
            return Some((
                "it is of another type now than any that files can declare".into(),
                None,
            ));
        }
        match id {
            ResourceId::Setting(id) => {
                return settings::indispensable(id, self.observed).map(|reason| (reason, None));
            }
            ResourceId::Policy(..) | ResourceId::Binding(_) => return None,
            ResourceId::Exchange(..) | ResourceId::Queue(..) => {}
        }
        let foreign = self
            .bindings()
            .filter(|key| touches(key, id))
            .map(|key| (key, ResourceId::Binding(key.clone())))
            .filter(|(_, binding)| !all.contains(binding));
        let mut unowned = None;
        for (key, binding) in foreign {
            if let Some(owner) = self.ownership.others.get(&binding) {
                let reason = format!("stack `{}` owns the {binding}, which would go", owner.stack);
                return Some((reason, None));
            }
            unowned.get_or_insert(key);
        }
        if self.consent.force {
            return None;
        }
        if let ResourceId::Queue(vhost, name) = id
            && let Some(usage) = self.observed.usage.get(&(vhost.clone(), name.clone()))
            && !usage.is_none()
        {
            return Some((usage.to_string(), Some("`--force` deletes it nevertheless")));
        }
        if let Some(key) = unowned {
            let binding = ResourceId::Binding(key.clone());
            let reason = format!("the {binding}, which nobody declares, would go with it");
            return Some((reason, Some("`--force` deletes both")));
        }
        self.observed.illegible.contains(id).then(|| {
            let reason = "a binding that nobody declares would go with it".to_owned();
            (reason, Some("`--force` deletes both"))
        })
    }

    /// Holds the vhosts in which something is to stay.
    fn hold_vhosts(&mut self) {
        let force = self.consent.force;
        for id in self.going.clone() {
            let ResourceId::Setting(SettingId::Vhost(vhost)) = &id else { continue };
            let Self { topology, observed, ownership, going, .. } = &*self;
            let held = hold_vhosts::hold(vhost, topology, observed, ownership, going, force);
            if let Some((reason, hint)) = held {
                self.keep(&id, reason, hint);
            }
        }
    }

    /// Holds what takes the last binding from an auto-delete exchange that is to stay: the broker
    /// would delete that exchange, with whatever leads to it.
    fn hold_what_would_cascade(&mut self) {
        let fragile: Vec<(VhostName, _)> = self
            .observed
            .exchanges
            .iter()
            .filter(|(_, seen)| seen.is_auto_delete())
            .map(|(name, _)| name.clone())
            .collect();
        loop {
            let mut culprits = Vec::new();
            for (vhost, name) in &fragile {
                if self.going.contains(&ResourceId::Exchange(vhost.clone(), name.clone()))
                    || self.changes.iter().any(|change| {
                        matches!(&change.target, Target::Binding(binding)
                            if binding.vhost == *vhost && binding.source == *name)
                    })
                {
                    continue;
                }
                let takers: Vec<Option<ResourceId>> = self
                    .bindings()
                    .filter(|key| key.vhost() == vhost && key.source() == name)
                    .map(|key| {
                        let end = ResourceId::end(key.vhost(), key.destination());
                        [ResourceId::Binding(key.clone()), end]
                            .into_iter()
                            .find(|id| self.going.contains(id))
                    })
                    .collect();
                if takers.iter().all(Option::is_some) {
                    let reason =
                        format!("the auto-delete exchange {name} would go with its last binding");
                    culprits.extend(takers.into_iter().flatten().map(|id| (id, reason.clone())));
                }
            }
            if culprits.is_empty() {
                return;
            }
            for (id, reason) in culprits {
                if self.going.contains(&id) {
                    let hint = "declare that exchange without `auto_delete`, or remove it as well";
                    self.keep(&id, reason, Some(hint));
                }
            }
        }
    }
}

/// Whether a binding starts or ends there.
fn touches(key: &BindingKey, id: &ResourceId) -> bool {
    let (vhost, source, destination) = (key.vhost(), key.source(), key.destination());
    match id {
        ResourceId::Exchange(of, name) => {
            vhost == of
                && (source == name
                    || matches!(destination, Destination::Exchange(to) if to == name))
        }
        ResourceId::Queue(of, name) => {
            vhost == of && matches!(destination, Destination::Queue(to) if to == name)
        }
        ResourceId::Policy(..) | ResourceId::Binding(_) | ResourceId::Setting(_) => false,
    }
}

/// The step that deletes something; `None` where it is of a kind that no file could have declared.
fn deletion(id: &ResourceId, observed: &Observed) -> Option<Change> {
    let (target, before) = match id {
        ResourceId::Exchange(vhost, name) => {
            let Seen::Whole(seen) = observed.exchanges.get(&(vhost.clone(), name.clone()))? else {
                return None;
            };
            let ObservedExchange { kind, durable, auto_delete, internal, arguments } = seen.clone();
            let exchange = Exchange {
                vhost: vhost.clone(),
                name: name.clone(),
                kind: ExchangeType(kind),
                durable,
                auto_delete,
                internal,
                arguments,
                managed: true,
                on_remove: OnRemove::Delete,
                on_conflict: OnConflict::Refuse,
                origin: Origin::default(),
            };
            (Target::Exchange(exchange), Some(compare::exchange_json(seen)))
        }
        ResourceId::Queue(vhost, name) => {
            let Seen::Whole(seen) = observed.queues.get(&(vhost.clone(), name.clone()))? else {
                return None;
            };
            let ObservedQueue { kind, durable, auto_delete, arguments } = seen.clone();
            let queue = Queue {
                vhost: vhost.clone(),
                name: name.clone(),
                kind: [QueueType::Classic, QueueType::Quorum, QueueType::Stream]
                    .into_iter()
                    .find(|known| known.as_str() == kind)?,
                durable,
                auto_delete,
                arguments,
                managed: true,
                on_remove: OnRemove::Delete,
                on_conflict: OnConflict::Refuse,
                origin: Origin::default(),
            };
            (Target::Queue(queue), Some(compare::queue_json(seen)))
        }
        ResourceId::Policy(vhost, name) => {
            let seen = observed.policies.as_ref()?.get(&(vhost.clone(), name.clone()))?;
            let ObservedPolicy { pattern, apply_to, priority, definition } = seen.clone();
            let policy = Policy {
                vhost: vhost.clone(),
                name: name.clone(),
                pattern,
                apply_to: ApplyTo::ALL.into_iter().find(|known| known.as_str() == apply_to)?,
                priority,
                definition,
                managed: true,
                on_remove: OnRemove::Delete,
                origin: Origin::default(),
            };
            (Target::Policy(policy), Some(compare::policy_json(seen)))
        }
        ResourceId::Binding(key) => {
            let target = Target::Binding(key.binding());
            let before = compare::wanted(&target);
            (target, before)
        }
        ResourceId::Setting(id) => {
            let (target, before) = settings::deletion(id, observed)?;
            (target, Some(before))
        }
    };
    let reason = "the stack owns it and no file declares it any more".to_owned();
    let step = diff::step(Action::Delete, target, reason);
    Some(Change { before, after: None, ..step })
}
