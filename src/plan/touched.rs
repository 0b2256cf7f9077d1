//! What a plan touches, so that a look afterwards needs to see no more than that.

use std::collections::BTreeSet;

use super::approved::Plan;
use super::change::{Action, Change, Target};
use super::observed::Observed;
use crate::model::{Destination, ExchangeName, PolicyName, QueueName, Setting, VhostName};

/// What one place takes the broker to look at, in objects of a listing of everything: a request of
/// its own takes it 2 ms at most, an object in a listing about 40 µs (3.10).
const OBJECTS_A_PLACE: usize = 50;

/// Something in a vhost that can be looked at alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// An exchange.
    Exchange(ExchangeName),
    /// The bindings that lead to an exchange.
    To(ExchangeName),
    /// The bindings that lead from an exchange.
    From(ExchangeName),
    /// A queue or stream.
    Queue(QueueName),
    /// The bindings that lead to a queue.
    ToQueue(QueueName),
    /// A policy.
    Policy(PolicyName),
}

impl Place {
    /// The bindings that lead to the same end.
    pub fn to(destination: &Destination) -> Self {
        match destination {
            Destination::Exchange(name) => Self::To(name.clone()),
            Destination::Queue(name) => Self::ToQueue(name.clone()),
        }
    }
}

/// The places that a plan touches: whatever it does or leaves undone, all else stays as it was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Touched {
    /// Where it creates, changes or deletes something.
    pub places: BTreeSet<(VhostName, Place)>,
    /// Whether it sets or deletes vhosts, users, permissions, operator policies or parameters.
    pub settings: bool,
}

impl Touched {
    /// What a plan touches; `None` where only a look at everything would do: where something is made
    /// anew, cannot be seen, or is a vhost that comes or goes with all that is in it.
    pub fn by(plan: &Plan) -> Option<Self> {
        let mut touched = Self::default();
        for change in plan.changes() {
            touched.add(change)?;
        }
        Some(touched)
    }

    /// Whether it takes the broker less to look at this alone than at all that was `seen`, all of which
    /// could be seen.
    pub fn is_little_of(&self, seen: &Observed) -> bool {
        let (Some(bindings), Some(policies), None) = (&seen.bindings, &seen.policies, &seen.gap)
        else {
            return false;
        };
        let objects = seen.exchanges.len() + seen.queues.len() + bindings.len() + policies.len();
        self.places.len() * OBJECTS_A_PLACE <= objects
    }

    fn add(&mut self, change: &Change) -> Option<()> {
        let goes = match change.action {
            Action::Create | Action::Update => false,
            Action::Delete => true,
            Action::Replace | Action::Migrate | Action::Verify | Action::Conflict => return None,
        };
        let (vhost, places) = match &change.target {
            Target::Setting(Setting::Vhost(_)) if change.action != Action::Update => return None,
            Target::Setting(_) => {
                self.settings = true;
                return Some(());
            }
            Target::Exchange(exchange) => {
                let name = &exchange.name;
                let mut places = vec![Place::Exchange(name.clone())];
                if goes {
                    places.extend([Place::To(name.clone()), Place::From(name.clone())]);
                }
                (&exchange.vhost, places)
            }
            Target::Queue(queue) => {
                let mut places = vec![Place::Queue(queue.name.clone())];
                if goes {
                    places.push(Place::ToQueue(queue.name.clone()));
                }
                (&queue.vhost, places)
            }
            Target::Policy(policy) => (&policy.vhost, vec![Place::Policy(policy.name.clone())]),
            Target::Binding(binding) => {
                let mut places = vec![Place::to(&binding.destination)];
                // One that goes with its last binding may be gone.
                if goes {
                    places.push(Place::Exchange(binding.source.clone()));
                }
                (&binding.vhost, places)
            }
        };
        self.places.extend(places.into_iter().map(|place| (vhost.clone(), place)));
        Some(())
    }
}

impl Observed {
    /// Adds what was seen of other places.
    pub fn join(&mut self, other: Self) {
        self.exchanges.extend(other.exchanges);
        self.queues.extend(other.queues);
        if let Some(bindings) = &mut self.bindings {
            bindings.extend(other.bindings.into_iter().flatten());
        }
        if let Some(policies) = &mut self.policies {
            policies.extend(other.policies.into_iter().flatten());
        }
        self.illegible.extend(other.illegible);
    }

    /// Takes what is seen `now` in place of what was seen before where something was touched. A
    /// binding that no file can spell is taken to be there still.
    pub fn renew(&mut self, touched: &Touched, now: Self) {
        let at = |vhost: &VhostName, place| touched.places.contains(&(vhost.clone(), place));
        self.exchanges.retain(|(vhost, name), _| !at(vhost, Place::Exchange(name.clone())));
        self.queues.retain(|(vhost, name), _| !at(vhost, Place::Queue(name.clone())));
        if let Some(bindings) = &mut self.bindings {
            bindings.retain(|key| {
                !at(key.vhost(), Place::to(key.destination()))
                    && !at(key.vhost(), Place::From(key.source().clone()))
            });
        }
        if let Some(policies) = &mut self.policies {
            policies.retain(|(vhost, name), _| !at(vhost, Place::Policy(name.clone())));
        }
        if touched.settings {
            self.settings.clone_from(&now.settings);
            self.unseen.clone_from(&now.unseen);
        }
        // That was at another time.
        self.usage.clear();
        self.join(now);
    }
}
