//! What becomes of a message whose try has failed.

use std::time::Duration;

use crate::model::{ConsumerSpec, DeadLetterTarget, FailureClass, QueueType};

/// Where the messages go that a queue gives up on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeadLetterRoute {
    /// The queue's arguments say where: we publish there ourselves, with the reason in headers.
    Publish(DeadLetterTarget),
    /// A policy says where: only the broker knows what is in force, so it does the moving.
    ByBroker,
    /// Nowhere: a rejected message would vanish.
    Nowhere,
}

/// What the child, or we in its name, wish for a message that was not acked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Try later, when the policy says.
    Later,
    /// Try again after about this long.
    After(Duration),
    /// Never again.
    Never,
}

/// One failed try.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Which try it was, from 1.
    pub attempt: u32,
    /// How it failed.
    pub class: FailureClass,
    /// How many children have died over the message.
    pub crashes: u32,
    /// What is wished for.
    pub wish: Wish,
}

/// What to do with the message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Disposition {
    /// Publish it to the retry queue of this delay, then ack.
    Retry {
        /// One of the delays of the policy.
        delay: Duration,
    },
    /// Publish it to the end of its own queue, then ack.
    Again,
    /// Try it again where it stands, before all that follow.
    Rest {
        /// After so long; `None` for a pause that grows.
        delay: Option<Duration>,
    },
    /// Publish it to this target with the reason, then ack.
    DeadLetter {
        /// Where to.
        target: DeadLetterTarget,
        /// Whether tries were used up, as against a wish for none.
        exhausted: bool,
    },
    /// `basic.reject` without requeue; the broker moves it.
    RejectByBroker {
        /// Whether tries were used up.
        exhausted: bool,
    },
    /// Ack it away: the file says `discard: true`.
    Discard {
        /// Whether tries were used up.
        exhausted: bool,
    },
    /// Give it back to the queue after a pause that grows: there is no policy and no target.
    Requeue,
}

/// Decides.
///
/// An asked-for delay takes the shortest tier that is not shorter, or the longest there is; it
/// counts as a try like any other, so a child that always asks for more is not obeyed for ever.
///
/// A message over which children die is tried again even without a policy, for the fault may be
/// elsewhere; but whatever the policy, `max_crashes` of them are enough.
///
/// Where messages keep their places, whatever would be tried again elsewhere rests instead. A
/// stream keeps what nobody tries any more, so that need not go anywhere.
pub fn dispose(spec: &ConsumerSpec, route: &DeadLetterRoute, failure: Failure) -> Disposition {
    let disposition = move_on(spec, route, failure);
    if !spec.in_place() {
        return disposition;
    }
    match disposition {
        Disposition::Retry { delay } => Disposition::Rest { delay: Some(delay) },
        Disposition::Again => Disposition::Rest { delay: Some(Duration::ZERO) },
        Disposition::Requeue => Disposition::Rest { delay: None },
        other => other,
    }
}

fn move_on(spec: &ConsumerSpec, route: &DeadLetterRoute, failure: Failure) -> Disposition {
    let crash = failure.class == FailureClass::Crash;
    let steps = spec.retry.as_ref().map(|retry| retry.steps(failure.class));
    let next = match (failure.wish, steps) {
        (Wish::Never, _) => None,
        _ if crash && failure.crashes >= spec.max_crashes.get() => None,
        (_, None) => crash.then_some(Disposition::Again),
        (wish, Some(steps)) => next_step(steps, wish, failure.attempt.saturating_sub(1)),
    };
    if let Some(next) = next {
        return next;
    }
    let exhausted = failure.wish != Wish::Never;
    let may_vanish = spec.discard || spec.queue_type == QueueType::Stream;
    match route {
        DeadLetterRoute::Publish(target) => {
            Disposition::DeadLetter { target: target.clone(), exhausted }
        }
        DeadLetterRoute::ByBroker => Disposition::RejectByBroker { exhausted },
        DeadLetterRoute::Nowhere if may_vanish && (!exhausted || steps.is_some() || crash) => {
            Disposition::Discard { exhausted }
        }
        DeadLetterRoute::Nowhere => Disposition::Requeue,
    }
}

/// What the policy has for a message that has failed so often before.
fn next_step(
    (immediate, delays): (u32, &[Duration]),
    wish: Wish,
    failed: u32,
) -> Option<Disposition> {
    let tier = failed.checked_sub(immediate).map(|tier| tier as usize);
    let wanted = match wish {
        Wish::After(wanted) if !delays.is_empty() => wanted,
        _ => {
            return match tier {
                None => Some(Disposition::Again),
                Some(tier) => delays.get(tier).map(|delay| Disposition::Retry { delay: *delay }),
            };
        }
    };
    if tier.is_some_and(|tier| tier >= delays.len()) {
        return None;
    }
    let fits = delays.iter().filter(|delay| **delay >= wanted).min().or(delays.iter().max());
    fits.map(|delay| Disposition::Retry { delay: *delay })
}
