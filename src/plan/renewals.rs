//! Queues that one topology has otherwise than the one before, where that is all that is between them.
//!
//! On a broker that was found as the one before says, a plan to make them anew needs to see only these
//! queues and what leads to them.

use std::collections::{BTreeMap, BTreeSet};

use super::change::{Action, Change};
use super::diff;
use super::ledger::{Owner, ResourceId};
use super::migration::{Scaffold, is_temporary};
use super::observed::Observed;
use super::owned::Consent;
use super::replace::resolve_one;
use super::touched::Place;
use crate::model::{OnConflict, Queue, Topology, VhostName};

/// More than these are better looked at together.
const MOST: usize = 16;

/// Queues as they are to be, all of them managed and to be made anew if that is what it takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewals(Vec<Queue>);

impl Renewals {
    /// The queues that `after` has otherwise than `before`; `None` where that is not all of the
    /// difference, is much, or where the files do not agree to their being made anew.
    pub fn between(before: &Topology, after: &Topology) -> Option<Self> {
        let same = before.settings().eq(after.settings())
            && before.exchanges().eq(after.exchanges())
            && before.bindings().eq(after.bindings())
            && before.policies().eq(after.policies())
            && before.queues().len() == after.queues().len();
        if !same {
            return None;
        }
        let mut queues = Vec::new();
        for (was, is) in before.queues().zip(after.queues()) {
            if was == is {
                continue;
            }
            let agreed = (&was.vhost, &was.name) == (&is.vhost, &is.name)
                && was.managed
                && is.managed
                && !is.name.is_reserved()
                && was.on_remove == is.on_remove
                && is.on_conflict != OnConflict::Refuse;
            if !agreed || queues.len() == MOST {
                return None;
            }
            queues.push(is.clone());
        }
        (!queues.is_empty()).then_some(Self(queues))
    }

    /// What [`Renewals::steps`] needs to see: the queues, what leads to them, and what would stand
    /// around them if somebody had begun already to make them anew.
    pub fn places(&self) -> BTreeSet<(VhostName, Place)> {
        let of = |queue: &Queue| {
            let scaffold = Scaffold::of(&queue.name);
            let exchanges = scaffold.exchanges().map(|name| Place::Exchange(name.clone()));
            let queues = scaffold.queues().map(|name| Place::Queue(name.clone()));
            let own = [Place::Queue(queue.name.clone()), Place::ToQueue(queue.name.clone())];
            let all = own.into_iter().chain(exchanges).chain(queues);
            all.map(|place| (queue.vhost.clone(), place)).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(of).collect()
    }

    /// The steps that make them as declared, as a plan would have them; `None` where a plan would
    /// do anything but make them anew, or nothing, for whatever reason.
    ///
    /// `observed` must have what is at [`Renewals::places`], and how the queues are used; `others` is what
    /// other stacks own.
    pub fn steps(
        &self,
        observed: &Observed,
        others: &BTreeMap<ResourceId, Owner>,
    ) -> Option<Vec<Change>> {
        let id = |queue: &Queue| ResourceId::Queue(queue.vhost.clone(), queue.name.clone());
        let exchanges = observed.exchanges.keys().map(|(_, name)| name.as_str());
        let queues = observed.queues.keys().map(|(_, name)| name.as_str());
        if exchanges.chain(queues).any(is_temporary)
            || self.0.iter().any(|queue| others.contains_key(&id(queue)))
        {
            return None;
        }
        let mut changes: Vec<Change> =
            self.0.iter().filter_map(|queue| diff::queue(queue, observed)).collect();
        for change in &mut changes {
            resolve_one(change, observed, Consent::default());
        }
        let anew = |change: &Change| matches!(change.action, Action::Replace | Action::Migrate);
        changes.iter().all(anew).then_some(changes)
    }
}
