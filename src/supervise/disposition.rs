//! What becomes of a message whose try has failed.

use std::time::Duration;

use crate::model::{ConsumerSpec, DeadLetterTarget};

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
pub fn dispose(spec: &ConsumerSpec, route: &DeadLetterRoute, failure: Failure) -> Disposition {
    let delays = spec.retry.as_ref().map_or(&[][..], |retry| &retry.delays);
    let tier = (failure.attempt as usize).saturating_sub(1);
    let next = match failure.wish {
        Wish::Never => None,
        Wish::Later => delays.get(tier),
        Wish::After(wanted) => delays.get(tier).and_then(|_| {
            delays.iter().filter(|delay| **delay >= wanted).min().or(delays.iter().max())
        }),
    };
    if let Some(delay) = next {
        return Disposition::Retry { delay: *delay };
    }
    let exhausted = failure.wish != Wish::Never;
    match route {
        DeadLetterRoute::Publish(target) => {
            Disposition::DeadLetter { target: target.clone(), exhausted }
        }
        DeadLetterRoute::ByBroker => Disposition::RejectByBroker { exhausted },
        DeadLetterRoute::Nowhere if spec.discard && (!exhausted || !delays.is_empty()) => {
            Disposition::Discard { exhausted }
        }
        DeadLetterRoute::Nowhere => Disposition::Requeue,
    }
}
