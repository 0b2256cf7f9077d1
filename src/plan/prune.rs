//! What a stack owns and its files no longer declare: what of it goes, and what stays and why.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::change::{Change, Target};
use super::deletion::deletion;
use super::interrupted::Interrupted;
use super::ledger::{Ledger, Ownership, ResourceId};
use super::observed::{BindingKey, Observed, Unseen};
use super::owned::{Consent, Kept, Veto};
use super::{hold_vhosts, settings};
use crate::model::{Destination, OnRemove, SettingId, Topology, VhostName};

/// A stack that owns fewer than this may lose all of it at once.
const FEW: usize = 10;

/// The mend where something is no longer declared, and that is all there is to say about it.
pub(super) const ASK: &str = "`--prune` deletes it";

/// Why something is not as it was, nor as it was to be.
const INTERRUPTED: &str = "making it anew was interrupted";

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
    /// What is deleted as a part of something that was being made anew, and of what.
    pub(super) parts: BTreeMap<ResourceId, ResourceId>,
    pub(super) veto: Option<Veto>,
}

/// What is looked at to decide what goes.
#[derive(Clone, Copy)]
pub(super) struct View<'a> {
    pub(super) topology: &'a Topology,
    /// The broker as if nothing that was being made anew had been interrupted.
    pub(super) observed: &'a Observed,
    pub(super) ownership: &'a Ownership,
    pub(super) consent: Consent,
}

/// Decides what goes. `actual` is the broker as it is.
pub(super) fn prune(
    view: &View<'_>,
    changes: &[Change],
    actual: &Observed,
    interrupted: &Interrupted,
) -> Pruned {
    let View { topology, observed, ownership, consent } = *view;
    let undeclared = undeclared(topology, &ownership.own);
    let mut pruned = Pruned { kept: unfinished(view, interrupted), ..Pruned::default() };
    pruned.surviving.extend(pruned.kept.iter().map(|kept| (kept.id.clone(), false)));
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
            let (reason, hint) = if interrupted.contains(&id) {
                let hint = "declare it again to have that finished; `--prune` deletes it, with all its parts, if it holds nothing";
                (format!("no file declares it any more, and {INTERRUPTED}"), hint)
            } else {
                ("no file declares it any more".into(), ASK)
            };
            pruned.kept.push(Kept { id, reason, hint: Some(hint.into()) });
        }
        return pruned;
    }
    let kept = std::mem::take(&mut pruned.kept);
    let mut round = Round { view, interrupted, changes, going: present, kept };
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
    for id in &going {
        for piece in interrupted.remains(id, actual, topology) {
            pruned.deletions.extend(deletion(&piece, actual));
            if piece != *id {
                pruned.parts.insert(piece, id.clone());
            }
        }
    }
    pruned.deletions.sort_by_key(|change| Reverse(change.target.phase()));
    pruned
}

/// What was to stay when no file declares it any more, and is in no state to be let go of.
fn unfinished(view: &View<'_>, interrupted: &Interrupted) -> Vec<Kept> {
    let own = view.ownership.own.iter();
    let retained = own.filter(|(id, on_remove)| {
        *on_remove == OnRemove::Retain && interrupted.contains(id) && !is_named(id, view.topology)
    });
    let kept = |(id, _): (&ResourceId, OnRemove)| Kept {
        id: id.clone(),
        reason: format!("it is to stay, and {INTERRUPTED}"),
        hint: Some(
            "declare it again to have that finished, and remove it from the file then".into(),
        ),
    };
    retained.map(kept).collect()
}

/// Whether the files say anything about it; a binding is looked up otherwise.
fn is_named(id: &ResourceId, topology: &Topology) -> bool {
    match id {
        ResourceId::Exchange(vhost, name) => topology.exchange(vhost, name).is_some(),
        ResourceId::Queue(vhost, name) => topology.queue(vhost, name).is_some(),
        ResourceId::Policy(vhost, name) => topology.policy(vhost, name).is_some(),
        ResourceId::Binding(_) => false,
        ResourceId::Setting(id) => topology.setting(id).is_some(),
    }
}

/// What the ledger has and the files do not even name, but for what was to be retained. A binding
/// to something retained stays with it: it would be an empty shell otherwise.
fn undeclared(topology: &Topology, own: &Ledger) -> BTreeSet<ResourceId> {
    let bindings: BTreeSet<BindingKey> = topology.bindings().map(BindingKey::from).collect();
    let named = |id: &ResourceId| match id {
        ResourceId::Binding(key) => bindings.contains(key),
        _ => is_named(id, topology),
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
            observed.bindings.as_ref().is_some_and(|bindings| bindings.contains(key))
        }
    }
}

struct Round<'a> {
    view: &'a View<'a>,
    interrupted: &'a Interrupted,
    /// What else the plan does.
    changes: &'a [Change],
    /// What is to go, less and less.
    going: BTreeSet<ResourceId>,
    kept: Vec<Kept>,
}

impl Round<'_> {
    fn bindings(&self) -> impl Iterator<Item = &BindingKey> {
        self.view.observed.bindings.iter().flatten()
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
        if let Some(owner) = self.view.ownership.others.get(id) {
            return Some((format!("stack `{}` owns it as well", owner.stack), None));
        }
        if deletion(id, self.view.observed).is_none() {
            return Some((
                "it is of another type now than any that files can declare".into(),
                None,
            ));
        }
        match id {
            ResourceId::Setting(id) => {
                return settings::indispensable(id, self.view.observed)
                    .map(|reason| (reason, None));
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
            if let Some(owner) = self.view.ownership.others.get(&binding) {
                let reason = format!("stack `{}` owns the {binding}, which would go", owner.stack);
                return Some((reason, None));
            }
            unowned.get_or_insert(key);
        }
        if self.view.consent.force {
            return None;
        }
        if let ResourceId::Queue(vhost, name) = id
            && let Some(usage) = self.view.observed.usage.get(&(vhost.clone(), name.clone()))
            && !usage.is_none()
        {
            return Some(self.unless_forced(id, &usage, "`--force` deletes it nevertheless"));
        }
        if let Some(key) = unowned {
            let binding = ResourceId::Binding(key.clone());
            let reason = format!("the {binding}, which nobody declares, would go with it");
            return Some(self.unless_forced(id, &reason, "`--force` deletes both"));
        }
        self.view.observed.illegible.contains(id).then(|| {
            let reason = "a binding that nobody declares would go with it";
            self.unless_forced(id, &reason, "`--force` deletes both")
        })
    }

    /// Why a queue or an exchange stays, and the mend; what was being made anew has a better one.
    fn unless_forced(
        &self,
        id: &ResourceId,
        reason: &dyn std::fmt::Display,
        hint: &'static str,
    ) -> (String, Option<&'static str>) {
        if !self.interrupted.contains(id) {
            return (reason.to_string(), Some(hint));
        }
        let hint =
            "declare it again to have that finished; `--force` deletes it with all its parts";
        (format!("{reason}, and {INTERRUPTED}"), Some(hint))
    }

    /// Holds the vhosts in which something is to stay.
    fn hold_vhosts(&mut self) {
        let View { topology, observed, ownership, consent } = *self.view;
        for id in self.going.clone() {
            let ResourceId::Setting(SettingId::Vhost(vhost)) = &id else { continue };
            let going = &self.going;
            let held =
                hold_vhosts::hold(vhost, topology, observed, ownership, going, consent.force);
            if let Some((reason, hint)) = held {
                self.keep(&id, reason, hint);
            }
        }
    }

    /// Holds what takes the last binding from an auto-delete exchange that is to stay: the broker
    /// would delete that exchange, with whatever leads to it.
    fn hold_what_would_cascade(&mut self) {
        let fragile: Vec<(VhostName, _)> = self
            .view
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
