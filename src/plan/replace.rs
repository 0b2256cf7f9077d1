//! What becomes of a conflict that may be resolved by making the resource anew.

use super::change::{Action, Change, Target};
use super::diff;
use super::interrupted::Interrupted;
use super::ledger::ResourceId;
use super::observed::{Observed, ObservedQueue, Seen};
use super::owned::Consent;
use crate::model::{Exchange, OnConflict, Queue, QueueType, Topology};

#[cfg(test)]
mod tests;

/// Turns conflicts into replacements and migrations where that was agreed to and is possible, says
/// of the others why it is not, and has what was interrupted be finished.
pub(super) fn resolve(
    changes: &mut Vec<Change>,
    topology: &Topology,
    observed: &Observed,
    interrupted: &Interrupted,
    consent: Consent,
) {
    for change in changes.iter_mut() {
        resolve_one(change, observed, consent);
    }
    for queue in topology.queues().filter(|queue| queue.managed) {
        let id = ResourceId::Queue(queue.vhost.clone(), queue.name.clone());
        if interrupted.contains(&id) {
            finish(changes, Target::Queue(queue.clone()), Action::Migrate);
        }
    }
    for exchange in topology.exchanges().filter(|exchange| exchange.managed) {
        let id = ResourceId::Exchange(exchange.vhost.clone(), exchange.name.clone());
        if interrupted.contains(&id) {
            finish(changes, Target::Exchange(exchange.clone()), Action::Replace);
        }
    }
}

/// The same for one step, where nothing was interrupted.
pub(super) fn resolve_one(change: &mut Change, observed: &Observed, consent: Consent) {
    // What another stack owns, or is missing, differs in nothing.
    if change.action != Action::Conflict || change.differences.is_empty() {
        return;
    }
    let way = match &change.target {
        Target::Queue(queue) => of_queue(queue, observed, consent),
        Target::Exchange(exchange) => of_exchange(exchange, observed, consent),
        _ => return,
    };
    match way {
        Way::Anew(action) => {
            change.action = action;
            change.hint = None;
        }
        Way::Barred(why) => change.hint = Some(why),
        Way::NotAsked => {}
    }
}

enum Way {
    /// It is made anew.
    Anew(Action),
    /// Somebody agreed to that, and it cannot be: what to do.
    Barred(String),
    NotAsked,
}

fn of_queue(queue: &Queue, observed: &Observed, consent: Consent) -> Way {
    let id = (queue.vhost.clone(), queue.name.clone());
    let Some(Seen::Whole(have)) = observed.queues.get(&id) else { return Way::NotAsked };
    let migrate = queue.on_conflict == OnConflict::Migrate;
    let replace = consent.replace || queue.on_conflict == OnConflict::Replace;
    if !migrate && !replace {
        return Way::NotAsked;
    }
    if let Some(why) = bindings_lost(&ResourceId::Queue(id.0.clone(), id.1.clone()), observed) {
        return Way::Barred(why);
    }
    if migrate && can_migrate(queue, have) {
        return Way::Anew(Action::Migrate);
    }
    match observed.usage.get(&id) {
        Some(usage) if usage.is_none() => Way::Anew(Action::Replace),
        Some(usage) if migrate => Way::Barred(format!("{usage}, and {}", barred(queue, have))),
        Some(usage) if can_migrate(queue, have) => Way::Barred(format!(
            "{usage}, and only what is empty and unused is replaced: `on_conflict: migrate` takes its messages along"
        )),
        Some(usage) => {
            Way::Barred(format!("{usage}, and only what is empty and unused is replaced"))
        }
        None => Way::NotAsked,
    }
}

/// Why a queue is not migrated, and what to do instead.
fn barred(queue: &Queue, have: &ObservedQueue) -> String {
    let stream = QueueType::Stream.as_str();
    if have.kind == stream {
        "nothing can be taken out of a stream, and the offsets of its readers would mean nothing in another: declare the new one under another name, have publishers change over, then readers, and delete the old one".into()
    } else if queue.kind.as_str() == stream {
        "what is consumed from a stream stays in it, so nothing is moved into one: let consumers empty the queue, or declare the stream under another name".into()
    } else if have.auto_delete {
        "an `auto_delete` queue goes, with what it holds, when its consumers end, as they have to for a migration: let them empty it, or let the file say what the broker has".into()
    } else {
        format!("queues of the type `{}` cannot be migrated: empty it", have.kind)
    }
}

/// Whether a queue can be migrated to what is declared. A stream cannot be emptied, and an
/// `auto_delete` queue goes when whoever empties it is done.
pub fn can_migrate(queue: &Queue, have: &ObservedQueue) -> bool {
    let moves = |kind: &str| {
        [QueueType::Classic, QueueType::Quorum].iter().any(|known| known.as_str() == kind)
    };
    moves(&have.kind) && moves(queue.kind.as_str()) && !have.auto_delete
}

fn of_exchange(exchange: &Exchange, observed: &Observed, consent: Consent) -> Way {
    if !consent.replace && exchange.on_conflict != OnConflict::Replace {
        return Way::NotAsked;
    }
    let id = ResourceId::Exchange(exchange.vhost.clone(), exchange.name.clone());
    match bindings_lost(&id, observed) {
        Some(why) => Way::Barred(why),
        None => Way::Anew(Action::Replace),
    }
}

/// Why its bindings could not all be put back.
fn bindings_lost(id: &ResourceId, observed: &Observed) -> Option<String> {
    if observed.bindings.is_none() {
        return Some("to make it anew with its bindings takes the management API: give its address as `broker.management`".into());
    }
    observed.illegible.contains(id).then(|| {
        "it has a binding whose arguments could not be put back: remove that one first".into()
    })
}

/// Has the same done to it, whatever else there is to say about it.
fn finish(changes: &mut Vec<Change>, target: Target, action: Action) {
    let id = ResourceId::from(&target);
    let own = |change: &Change| ResourceId::from(&change.target) == id;
    if changes.iter().any(|change| {
        own(change) && change.action == Action::Conflict && change.differences.is_empty()
    }) {
        return;
    }
    let at = changes.iter().position(own);
    changes.retain(|change| !own(change));
    let reason = "it was being made anew, and that was interrupted".to_owned();
    let step = diff::step(action, target, reason);
    changes.insert(at.unwrap_or(0), step);
}
