//! The step that deletes something.

use super::change::{Action, Change, Target};
use super::ledger::ResourceId;
use super::observed::{Observed, ObservedExchange, ObservedPolicy, ObservedQueue, Seen};
use super::{compare, diff, settings};
use crate::model::{
    ApplyTo, Exchange, ExchangeType, OnConflict, OnRemove, Origin, Policy, Queue, QueueType,
};

/// The step that deletes something; `None` where it is of a kind that no file could have declared.
pub(super) fn deletion(id: &ResourceId, observed: &Observed) -> Option<Change> {
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
