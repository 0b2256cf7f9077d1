//! The engine's side towards the broker's topology: whether it may apply, what it found, and the
//! consumers that wait meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::{AGAIN, ASKED, ELSEWHERE, Engine};
use crate::broker::amqp::ConnectErrorKind;
use crate::broker::{extend, renew, retire};
use crate::engine::reconcile::{Power, Reconciled, Shortfall, reconcile};
use crate::engine::seat::{Seat, Standing};
use crate::files::Loaded;
use crate::model::{Desired, ReconcileMode};
use crate::plan::{Additions, Removals, Renewals, Summary};
use crate::telemetry::Role;

impl Engine {
    /// Has the consumers of what is in force run again that waited.
    pub(super) async fn go_on(&mut self) {
        let Some(current) = self.current.clone() else { return };
        if std::mem::take(&mut self.paused) && self.links.is_some() {
            self.follow(&current.desired, false, "consuming again".into()).await;
        }
    }

    /// Brings about what the files say beyond what is in force, or no longer say, or say otherwise of
    /// queues that are to be made anew, without looking at all the rest, and gives it in a few words;
    /// `None` where it takes a look.
    ///
    /// It can be done where the last look, under the lock that is held still, has found or left the
    /// broker as the files said and the ledger as well, and where one of these is all that they say
    /// otherwise now. The look that every change deserves is due soon after: it would find
    /// in seconds what nobody waits for.
    pub(super) async fn change_in_place(&mut self, next: &Desired) -> Option<String> {
        let before = &self.current.as_ref()?.desired;
        let lock = self.seat.as_ref().filter(|seat| seat.is_of(next))?.lock()?;
        if !Weak::ptr_eq(&self.found_under, &Arc::downgrade(&lock))
            || before.reconcile != next.reconcile
            || next.reconcile.mode != ReconcileMode::Apply
        {
            return None;
        }
        let (before, after) = (&before.topology, &next.topology);
        let changed = match Additions::between(before, after) {
            Some(additions) if additions.is_empty() => Ok(Summary::default()),
            Some(additions) => extend(next, &additions, &lock).await.map(|()| additions.done()),
            None => {
                let removals = Removals::between(before, after);
                if let Some(removals) = removals.filter(|_| next.reconcile.prune) {
                    retire(before, next, &removals, &lock).await
                } else {
                    let renewals = Renewals::between(before, after)?;
                    let (keeper, paused) = (&mut self.keeper, &mut self.paused);
                    renew(next, &renewals, &lock, async |queues| {
                        if keeper.pause(&queues).await > 0 {
                            *paused = true;
                        }
                    })
                    .await
                }
            }
        };
        match changed {
            Ok(done) if done == Summary::default() => Some("topology: nothing to do".into()),
            Ok(done) => Some(format!("topology: {}", done.in_words())),
            Err(why) => {
                tracing::debug!("what has changed takes a look at all: {why}");
                self.found_under = Weak::new();
                None
            }
        }
    }

    /// Compares and, where this supervisor is the one to, applies. As long as it has not `begun` to,
    /// the future can be dropped without a trace.
    pub(super) async fn reconcile(
        &mut self,
        loaded: &Loaded,
        begun: &AtomicBool,
    ) -> Result<Reconciled, Shortfall> {
        let desired = &loaded.desired;
        let registry = self.options.registry.clone();
        let power = if desired.reconcile.mode == ReconcileMode::Apply {
            if !self.seat.as_ref().is_some_and(|seat| seat.is_of(desired)) {
                self.seat = None;
            }
            let dialling = self.dialling(&desired.broker);
            match self.seat.get_or_insert_with(|| Seat::take(desired, dialling)).decided().await {
                // Nobody can have a lock in a vhost that is not there yet, or down.
                Standing::Unreachable(error)
                    if matches!(
                        error.kind,
                        ConnectErrorKind::Vhost | ConnectErrorKind::VhostDown
                    ) =>
                {
                    registry.set_role(Role::None);
                    Power::Unlocked
                }
                Standing::Unreachable(error) => {
                    return Err(Shortfall::Unreachable {
                        why: error.to_string(),
                        hint: Some(error.hint().to_owned()),
                        refused: error.kind.is_refusal(),
                    });
                }
                Standing::StandsBy(holder) => {
                    registry.set_role(Role::StandsBy { holder });
                    let long = |since: Instant| since.elapsed() > ELSEWHERE;
                    if self.waiting_since.is_some_and(long) { Power::Verify } else { Power::Wait }
                }
                Standing::Holds(lock) => {
                    registry.set_role(Role::Applies);
                    Power::Locked(lock)
                }
                Standing::Unlocked | Standing::Undecided => {
                    registry.set_role(Role::Applies);
                    Power::Unlocked
                }
            }
        } else {
            self.seat = None;
            let checks = desired.reconcile.mode == ReconcileMode::Check;
            registry.set_role(if checks { Role::Checks } else { Role::None });
            Power::Verify
        };
        let found_under = match &power {
            Power::Locked(lock) => Arc::downgrade(lock),
            Power::Verify | Power::Wait | Power::Unlocked => Weak::new(),
        };
        let (keeper, paused) = (&mut self.keeper, &mut self.paused);
        let begins = || begun.store(true, Ordering::Relaxed);
        let reconciled = reconcile(desired, &loaded.sources, power, begins, async |queues| {
            if keeper.pause(&queues).await > 0 {
                *paused = true;
            }
        })
        .await;
        let done = match &reconciled {
            Ok(Reconciled::Unchanged { noted }) => *noted,
            Ok(Reconciled::Applied(report)) => report.unwritten.is_none(),
            _ => false,
        };
        self.found_under = if done { found_under } else { Weak::new() };
        match reconciled {
            Err(Shortfall::Elsewhere) => drop(self.waiting_since.get_or_insert_with(Instant::now)),
            // It may be left for good.
            Ok(Reconciled::Drifted { .. }) => {}
            _ => self.waiting_since = None,
        }
        reconciled
    }

    /// Looks whether the broker still is as the files say; gives the time until the
    /// next look. As long as it has not `begun` to mend anything, the future can be dropped.
    pub(super) async fn look(&mut self, begun: &AtomicBool) -> Duration {
        let Some(current) = self.current.clone() else { return AGAIN.1 };
        let desired = &current.desired;
        let interval = desired.reconcile.interval;
        match self.reconcile(&current, begun).await {
            Ok(reconciled) => {
                let what = self.looked(&reconciled, desired, false);
                if matches!(reconciled, Reconciled::Applied(_)) {
                    tracing::warn!("the broker had drifted: {what}");
                    self.options.registry.healed();
                }
            }
            Err(Shortfall::Unreachable { why, .. }) => {
                tracing::debug!("cannot look at the broker: {why}");
                self.options.registry.could_not_look();
            }
            Err(Shortfall::Elsewhere) => return ASKED,
            Err(Shortfall::Refused(why)) => {
                tracing::error!(detail = why, "the broker is not as the files say");
                self.options.registry.could_not_look();
            }
        }
        self.go_on().await;
        interval
    }

    /// Counts what a look has found, says which differences were left, once, and gives it in a few
    /// words.
    pub(super) fn looked(
        &mut self,
        reconciled: &Reconciled,
        desired: &Desired,
        first: bool,
    ) -> String {
        let registry = &self.options.registry;
        let left = match reconciled {
            Reconciled::Off => return "topology: not looked at".into(),
            Reconciled::Drifted { count, plan } => Some((*count, plan)),
            Reconciled::Unchanged { .. } | Reconciled::Applied(_) => None,
        };
        registry.looked(left.map_or(0, |(count, _)| count));
        let Some((count, plan)) = left else {
            if !std::mem::take(&mut self.left).is_empty() {
                tracing::info!("the broker is as the files say again");
            }
            return match reconciled {
                Reconciled::Applied(report) => format!("topology: {}", report.done.in_words()),
                _ => "topology: nothing to do".into(),
            };
        };
        let why = if desired.reconcile.mode == ReconcileMode::Check {
            "`reconcile.mode: check`"
        } else {
            "standing by"
        };
        let differences = if count == 1 { "difference" } else { "differences" };
        let words = format!("topology: {count} {differences} left alone ({why})");
        if self.left != *plan {
            self.left.clone_from(plan);
            if first && desired.reconcile.mode == ReconcileMode::Apply {
                // The other one is at it in all likelihood.
                tracing::info!(detail = plan, "the broker is not as the files say: {words}");
            } else {
                tracing::warn!(detail = plan, "the broker is not as the files say: {words}");
            }
        }
        words
    }
}
