//! What a thread that spawns has for it, and where that lies: with the thread itself.

use std::cell::RefCell;
use std::os::fd::OwnedFd;

use tokio::sync::mpsc::WeakUnboundedSender;

use super::child::{Leader, Pipes};
use super::family::Family;
use super::identity::Accounts;
use super::launch::Stack;
use super::nursery::Order;
use super::spawner::{SpawnError, SpawnRequest};
use super::start::{rehearse_child, start_child};

thread_local! {
    /// The one of this thread, where it is one that spawns.
    static HERE: RefCell<Option<Cradle>> = const { RefCell::new(None) };
}

/// See the module's text.
pub(super) struct Cradle {
    family: &'static Family,
    accounts: Accounts,
    stack: Stack,
    orders: WeakUnboundedSender<Order>,
}

/// A child that was started. Dropping it kills it.
#[derive(Debug)]
pub(super) struct Started {
    pub(super) leader: Leader,
    /// Readable from its end on.
    pub(super) ended: OwnedFd,
    pub(super) pipes: Pipes,
}

impl Cradle {
    /// One whose thread takes those orders.
    pub(super) fn new(family: &'static Family, orders: WeakUnboundedSender<Order>) -> Self {
        Self { family, accounts: Accounts::default(), stack: Stack::new(), orders }
    }

    /// Has it be the one of this thread.
    pub(super) fn stand_here(self) {
        HERE.set(Some(self));
    }

    /// Starts a child, which keeps this thread alive by what gives it orders; nothing where this
    /// thread is none that spawns.
    pub(super) fn start_here(request: &SpawnRequest) -> Option<Result<Started, SpawnError>> {
        HERE.with_borrow_mut(|here| {
            let cradle = here.as_mut()?;
            let orders = cradle.orders.upgrade()?;
            let mark = cradle.family.mark();
            let started = start_child(request, mark, &mut cradle.accounts, &mut cradle.stack);
            Some(started.map(|(launched, pipes)| {
                let (group, consumer) = (request.group.clone(), request.consumer.clone());
                let leader = Leader::new(launched.pid, mark, group, consumer, orders);
                Started { leader, ended: launched.ended, pipes }
            }))
        })
    }

    /// Finds out whether a child can be started.
    pub(super) fn rehearse_here(request: &SpawnRequest) -> Result<(), SpawnError> {
        HERE.with_borrow_mut(|here| {
            let cradle = here.as_mut().ok_or(SpawnError::Gone)?;
            rehearse_child(request, &mut cradle.accounts, &mut cradle.stack)
        })
    }
}
