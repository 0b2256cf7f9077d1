//! What a thread that spawns does with its orders.
//!
//! Besides starting it waits for children that were dropped while they ran, ends what a child has
//! left behind, and removes the control groups of workers that are gone.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CString;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Pid;
use tokio::sync::{mpsc, oneshot};

use super::child::reap;
use super::control_groups::{end_all, open_folder, remove};
use super::cradle::{Cradle, Started};
use super::family::{Family, Look, Mark};
use super::spawner::{SpawnError, SpawnRequest};

/// How soon a killed process that nobody waits for is looked at again, first and at last. Most are
/// gone within a moment; one that is stuck in the kernel may be for ever.
const REAP_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// How often this process looks for dead ones that have fallen to it from elsewhere.
const LOOK_PAUSE: Duration = Duration::from_secs(1);

/// How long what a child has left behind is looked for. What is stuck in the kernel for longer
/// dies when the kernel lets go of it.
const CLEAR_PATIENCE: Duration = Duration::from_secs(10);

/// The mend for a program that leaves others behind.
const STAY: &str =
    "a program that is to live on must stay in the foreground, and wait for what it starts";

/// What the thread is asked for.
#[derive(Debug)]
pub(super) enum Order {
    /// Start something.
    Spawn(Box<Start>),
    /// Find out whether something can be started.
    Rehearse(Box<SpawnRequest>, oneshot::Sender<Result<(), SpawnError>>),
    /// Wait for this one, which was killed.
    Reap(Pid, Option<Mark>),
    /// A child has ended, and not before then: end what it has left behind. What it was, and of which
    /// consumer, where somebody is to be told.
    Clear(Mark, Instant, Option<(Pid, Arc<str>)>),
    /// Remove the control group of that name from the home: its worker is gone.
    Remove(CString),
}

/// What to start, and whom to tell how it went.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) request: SpawnRequest,
    pub(super) answer: oneshot::Sender<Result<Started, SpawnError>>,
    /// Keeps the thread alive until then.
    pub(super) _awake: mpsc::UnboundedSender<Order>,
}

/// A child that has ended, and may have left others behind.
struct Ended {
    /// It had not ended before.
    since: Instant,
    /// How long they are looked for.
    until: Instant,
    /// What it was, and of which consumer, where somebody is to be told if it has.
    whose: Option<(Pid, Arc<str>)>,
}

/// What a thread has.
pub(super) struct Nursery {
    family: &'static Family,
    alone: bool,
    /// Whether it looks for the dead from time to time, which one does for all.
    looks: bool,
    pub(super) busy: Arc<AtomicUsize>,
    /// Killed, and to be reaped.
    dropped: Vec<(Pid, Option<Mark>)>,
    /// Ended, and to be cleared up after.
    ended: BTreeMap<Mark, Ended>,
    /// Control groups of workers that are gone, to be removed until that time.
    left: Vec<(CString, Instant)>,
    /// When it last looked for who is dead or should be.
    looked: Instant,
    /// Until it looks again whether somebody is gone by now.
    pause: Duration,
}

impl Nursery {
    pub(super) fn new(family: &'static Family, alone: bool, looks: bool) -> Self {
        let (dropped, ended, left) = (Vec::new(), BTreeMap::new(), Vec::new());
        let looked = Instant::now();
        let (busy, pause) = (Arc::default(), REAP_PAUSE.0);
        Self { family, alone, looks, busy, dropped, ended, left, looked, pause }
    }

    /// Carries out orders until nobody is left to give any.
    pub(super) async fn serve(&mut self, mut inbox: mpsc::UnboundedReceiver<Order>) {
        let mut wanted = true;
        loop {
            let idle = self.dropped.is_empty() && self.ended.is_empty() && self.left.is_empty();
            if idle && !wanted {
                return;
            }
            let pause = match (idle, self.looks) {
                (true, false) => None,
                (true, true) => Some(LOOK_PAUSE),
                (false, _) => Some(self.pause),
            };
            let timer = async {
                match pause {
                    Some(pause) => tokio::time::sleep(pause).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                order = inbox.recv(), if wanted => match order {
                    Some(order) => self.carry_out(order),
                    None => wanted = false,
                },
                () = timer => self.wait_longer(),
            }
            self.clear();
        }
    }

    fn wait_longer(&mut self) {
        self.pause = (self.pause * 2).min(REAP_PAUSE.1);
    }

    fn carry_out(&mut self, order: Order) {
        match order {
            Order::Spawn(start) => {
                let Start { request, answer, _awake } = *start;
                let started = Cradle::start_here(&request);
                self.busy.fetch_sub(1, Ordering::Relaxed);
                // What nobody waits for any more is killed by being dropped here.
                let _ = answer.send(started.unwrap_or_else(|| Err(SpawnError::Gone)));
            }
            Order::Rehearse(request, answer) => {
                let _ = answer.send(Cradle::rehearse_here(&request));
            }
            Order::Reap(pid, mark) => {
                self.dropped.push((pid, mark));
                self.pause = REAP_PAUSE.0;
            }
            Order::Clear(mark, since, whose) => self.expect_end(mark, since, whose),
            Order::Remove(name) => {
                self.left.push((name, Instant::now() + CLEAR_PATIENCE));
                self.pause = REAP_PAUSE.0;
            }
        }
    }

    fn expect_end(&mut self, mark: Mark, since: Instant, whose: Option<(Pid, Arc<str>)>) {
        self.ended.insert(mark, Ended { since, until: Instant::now() + CLEAR_PATIENCE, whose });
        self.pause = REAP_PAUSE.0;
    }

    /// Removes the control groups that nobody is in any more.
    fn remove_left(&mut self) {
        let Ok(home) = self.family.home() else { return };
        let now = Instant::now();
        // What stays, the guardian removes in the end.
        self.left.retain(|(name, until)| {
            let stays = remove(home.folder(), name).is_err();
            if stays {
                // Whoever is in it has been killed already, as far as that could be.
                let _ = open_folder(home.folder(), name).and_then(end_all);
            }
            stays && *until > now
        });
    }

    /// Reaps who is dead, and ends who should be.
    fn clear(&mut self) {
        self.remove_left();
        let (mut gone, family) = (Vec::new(), self.family);
        self.dropped.retain(|&(pid, mark)| {
            let ended = reap(pid).is_some();
            if ended {
                gone.extend(mark);
            }
            !ended
        });
        for mark in gone {
            self.expect_end(mark, Instant::now(), None);
        }
        // Not after each start: whoever starts one process a message would pay for it.
        if self.ended.is_empty() && (!self.looks || self.looked.elapsed() < LOOK_PAUSE) {
            return;
        }
        self.looked = Instant::now();
        let marks: BTreeMap<Mark, Instant> =
            self.ended.iter().map(|(mark, ended)| (*mark, ended.since)).collect();
        let mut killed = BTreeSet::new();
        let look = family.look(&marks, self.alone, &mut killed);
        for mark in killed {
            self.tell_of(mark);
        }
        match look {
            Look::Nobody => self.ended.clear(),
            // A list with gaps may have hidden one, so they are looked for once more.
            Look::Others => {
                let now = Instant::now();
                for Ended { until, .. } in self.ended.values_mut() {
                    *until = (*until).min(now + REAP_PAUSE.0);
                }
                self.ended.retain(|_, ended| ended.until > now);
            }
            Look::Some => {
                let now = Instant::now();
                self.ended.retain(|_, ended| ended.until > now);
            }
        }
    }

    /// Says that a child has left processes behind, once of each.
    fn tell_of(&mut self, mark: Mark) {
        let whose = self.ended.get_mut(&mark).and_then(|ended| ended.whose.take());
        if let Some((pid, consumer)) = whose
            && self.family.may_tell_of(&consumer)
        {
            let (hint, pid) = (STAY, pid.as_raw_nonzero());
            tracing::warn!(%consumer, pid, hint, "its process left others behind when it ended: they are killed");
        }
    }
}
