//! How a queue is made anew with its messages and bindings: from what is seen of it to the next
//! step. Pure.
//!
//! A queue cannot be changed while it exists, and its name cannot be had twice. So a *fork* is put
//! in front of it, whose two exits are switched by one binding each, which the broker does as a
//! whole: between two publishes, with no message in both or in none.
//!
//! ```text
//!   before    S ──▶ Q                          S: an exchange with a binding to Q
//!   divert    S ──▶ fork ──▶ Q                 every binding is copied to the fork, then removed
//!   set aside S ──▶ fork ─╌▶ aside ──▶ new     the fork's binding to Q is removed: what it cannot
//!                                              route goes to its alternate exchange
//!   empty     Q ──(out)──▶ old                 messages are moved in order
//!   recreate  Q deleted and declared
//!   return    old ──(back)──▶ Q
//!   rejoin    new ──(back)──▶ Q                until it is empty, then: S ──▶ fork ──▶ Q
//!   restore   S ──▶ Q                          the bindings, from those of the fork
//!   clear     all of the above is deleted
//! ```
//!
//! Where a message reaches Q on two ways, past the fork and through it, the broker delivers it once.
//! Everything is on the broker and has a name that follows from the queue's, so whoever looks sees
//! how far it has come, and goes on from there; a step that was done in part is done again.

use std::collections::BTreeSet;

use super::observed::BindingKey;
use crate::model::{Destination, ExchangeName, QueueName, RoutingKey, VhostName};

#[cfg(test)]
mod tests;

/// What the names of everything temporary begin with.
const PREFIX: &str = "warrener.migrate.";

/// The same for an exchange.
const SHADOW_PREFIX: &str = "warrener.replace.";

/// The longest of the endings below, bytes.
const LONGEST_ENDING: usize = 6;

/// Whether something has the name of what stands on the broker only while a queue or an exchange is
/// made anew.
pub(super) fn is_temporary(name: &str) -> bool {
    name.starts_with(PREFIX) || name.starts_with(SHADOW_PREFIX)
}

/// What stands on the broker while a queue is made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scaffold {
    /// The exchange in front of the queue.
    pub fork: ExchangeName,
    /// Its alternate exchange.
    pub aside: ExchangeName,
    /// Leads to `old`, for moving.
    pub out: ExchangeName,
    /// Leads to the queue, for moving.
    pub back: ExchangeName,
    /// What the queue held.
    pub old: QueueName,
    /// What has come since the fork was switched.
    pub new: QueueName,
}

impl Scaffold {
    /// The names for a queue. They begin with its own, or with a digest of it where it is long.
    ///
    /// # Panics
    /// Never: the names are short enough, and made of a valid one.
    pub fn of(queue: &QueueName) -> Self {
        let stem = stem(PREFIX, queue.as_str());
        let exchange =
            |end: &str| ExchangeName::new(format!("{stem}{end}")).expect("made of a valid name");
        let queue =
            |end: &str| QueueName::new(format!("{stem}{end}")).expect("made of a valid name");
        Self {
            fork: exchange(""),
            aside: exchange(".aside"),
            out: exchange(".out"),
            back: exchange(".back"),
            old: queue(".old"),
            new: queue(".new"),
        }
    }

    /// Its exchanges.
    pub fn exchanges(&self) -> [&ExchangeName; 4] {
        [&self.fork, &self.aside, &self.out, &self.back]
    }

    /// Its queues.
    pub fn queues(&self) -> [&QueueName; 2] {
        [&self.old, &self.new]
    }

    /// The binding of the fork that stands for one of the queue.
    pub fn diverted(&self, direct: &BindingKey) -> BindingKey {
        redirect(direct, Destination::Exchange(self.fork.clone()))
    }
}

fn stem(prefix: &str, name: &str) -> String {
    if prefix.len() + name.len() + LONGEST_ENDING <= 255 {
        format!("{prefix}{name}")
    } else {
        format!("{prefix}{:016x}", digest(name))
    }
}

/// What keeps the bindings of an exchange while it is made anew.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShadowNames {
    /// The exchange that has copies of the bindings that lead to it.
    pub to: ExchangeName,
    /// The exchange that has copies of those that lead from it.
    pub from: ExchangeName,
}

impl ShadowNames {
    /// The names for an exchange.
    ///
    /// # Panics
    /// Never: the names are short enough, and made of a valid one.
    pub fn of(exchange: &ExchangeName) -> Self {
        let stem = stem(SHADOW_PREFIX, exchange.as_str());
        let name =
            |end: &str| ExchangeName::new(format!("{stem}{end}")).expect("made of a valid name");
        Self { to: name(".to"), from: name(".from") }
    }
}

/// FNV-1a: stable for ever, and no crate.
fn digest(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// The same binding to something else.
pub fn redirect(key: &BindingKey, destination: Destination) -> BindingKey {
    BindingKey::new(
        key.vhost().clone(),
        key.source().clone(),
        destination,
        key.routing_key().clone(),
        key.arguments().to_owned(),
    )
}

/// The same binding from something else.
pub fn from_another(key: &BindingKey, source: &ExchangeName) -> BindingKey {
    BindingKey::new(
        key.vhost().clone(),
        source.clone(),
        key.destination().clone(),
        key.routing_key().clone(),
        key.arguments().to_owned(),
    )
}

/// A binding without key and arguments.
///
/// # Panics
/// Never: a routing key may be empty.
pub fn plain_binding(vhost: &VhostName, from: &ExchangeName, to: Destination) -> BindingKey {
    let key = RoutingKey::new("").expect("a routing key may be empty");
    BindingKey::new(vhost.clone(), from.clone(), to, key, "{}".into())
}

/// What is seen of a queue and of what stands around it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MigrationSight {
    /// The queue: whether it is as wanted; `None` where there is none.
    pub queue: Option<bool>,
    /// Messages in it.
    pub messages: u64,
    /// Bindings that lead to the queue, but for those of the scaffold.
    pub direct: BTreeSet<BindingKey>,
    /// Bindings that lead to the fork, as they were of the queue.
    pub diverted: BTreeSet<BindingKey>,
    /// The fork is there, and what it cannot route goes to `new`.
    pub fork: bool,
    /// The fork leads to the queue.
    pub joined: bool,
    /// `out` leads to `old`.
    pub out: bool,
    /// `back` leads to the queue, which was made anew then.
    pub back: bool,
    /// Messages in `old`; none where it is not there.
    pub old: u64,
    /// Messages in `new`; none where it is not there.
    pub new: u64,
    /// Anything of the scaffold is there.
    pub remains: bool,
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MigrationStep {
    /// Put up the fork, leading to the queue.
    Scaffold,
    /// Have every binding lead to the fork instead of the queue.
    Divert,
    /// Put up what messages are moved to.
    OpenOut,
    /// Have what comes be collected.
    SetAside,
    /// Move what the queue holds.
    Empty,
    /// Delete the queue, which is empty, and declare it as wanted.
    Recreate,
    /// Put up what messages are moved back through.
    OpenBack,
    /// Move back what the queue held.
    Return,
    /// Move what has come, and have the fork lead to the queue again.
    Rejoin,
    /// Have every binding lead to the queue.
    Restore,
    /// Delete the scaffold.
    Clear,
    /// Nothing: the queue is as wanted, and nothing temporary is left.
    Done,
}

impl MigrationStep {
    /// What is being done, for a log line.
    pub fn words(self) -> &'static str {
        match self {
            Self::Scaffold | Self::OpenOut | Self::OpenBack => "making temporary queues",
            Self::Divert => "diverting its bindings",
            Self::SetAside => "collecting what comes in",
            Self::Empty => "moving its messages aside",
            Self::Recreate => "making it anew",
            Self::Return => "moving its messages back",
            Self::Rejoin => "moving back what has come in",
            Self::Restore => "restoring its bindings",
            Self::Clear => "removing what was temporary",
            Self::Done => "done",
        }
    }
}

/// The next step.
pub fn next_step(seen: &MigrationSight) -> MigrationStep {
    use MigrationStep as Step;
    let renewed = seen.back || seen.queue == Some(true);
    if !renewed {
        // Once bindings lead to it or messages are being moved, an open fork is meant to be open.
        let begun = seen.joined || seen.out || !seen.diverted.is_empty();
        return match seen {
            MigrationSight { queue: None, .. } => Step::Recreate,
            MigrationSight { fork: false, .. } => Step::Scaffold,
            _ if !begun => Step::Scaffold,
            _ if !seen.direct.is_empty() => Step::Divert,
            MigrationSight { out: false, .. } => Step::OpenOut,
            MigrationSight { joined: true, .. } => Step::SetAside,
            _ if seen.messages > 0 => Step::Empty,
            _ => Step::Recreate,
        };
    }
    let waiting = seen.old > 0 || seen.new > 0;
    let apart = seen.fork && !seen.joined && !seen.diverted.is_empty();
    match seen {
        MigrationSight { queue: None, .. } => Step::Recreate,
        MigrationSight { remains: false, .. } => Step::Done,
        MigrationSight { back: false, .. } if waiting || apart => Step::OpenBack,
        _ if seen.old > 0 => Step::Return,
        _ if seen.new > 0 || apart => Step::Rejoin,
        _ if !seen.diverted.is_empty() => Step::Restore,
        _ => Step::Clear,
    }
}
