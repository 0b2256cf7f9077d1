//! Looking at the broker, planning and applying, while running.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::Arc;

use crate::broker::{Lock, ObserveError, Survey, apply, survey};
use crate::config::SourceMap;
use crate::model::{Desired, QueueName, ReconcileMode, VhostName};
use crate::plan::{ApplyReport, Approved, Consent, Style, render, render_report};

/// Why the broker is not as the files say.
#[derive(Debug, thiserror::Error)]
pub(super) enum Shortfall {
    /// It could not be reached, or lets nobody in; later it may.
    #[error("{why}")]
    Unreachable {
        /// What was tried, and what came of it.
        why: String,
        /// The mend, where there is one to give.
        hint: Option<String>,
        /// Whether it was there and refused us: trying soon again will not help.
        refused: bool,
    },
    /// Another supervisor makes a queue anew; its consumers wait here as well.
    #[error("another supervisor makes a queue anew")]
    Elsewhere,
    /// A person has to decide or mend something.
    #[error("{0}")]
    Refused(String),
}

/// What looking at the broker has come to.
pub(super) enum Reconciled {
    /// Not looked: the files say so.
    Off,
    /// As the files say already.
    Unchanged {
        /// Whether the ledger has all of it.
        noted: bool,
    },
    /// Made so.
    Applied(ApplyReport),
    /// It differs, and was left so.
    Drifted {
        /// In how many ways.
        count: usize,
        /// What would have to be done.
        plan: String,
    },
}

/// What this supervisor may do about a difference.
pub(super) enum Power {
    /// Say so: another one applies, or nobody.
    Verify,
    /// Say so, and make room where another one makes a queue anew.
    Wait,
    /// Mend it, over the connection that holds the lock of the stack.
    Locked(Arc<Lock>),
    /// Mend it, where the broker lets this user have no lock.
    Unlocked,
}

/// Compares and, where there is the power to, applies. Until `begins` is called, which is when there
/// is something to change, the future can be dropped without a trace.
pub(super) async fn reconcile(
    desired: &Desired,
    sources: &SourceMap,
    power: Power,
    begins: impl FnOnce(),
    pause: impl AsyncFnOnce(BTreeSet<(VhostName, QueueName)>),
) -> Result<Reconciled, Shortfall> {
    if desired.reconcile.mode == ReconcileMode::Off {
        return Ok(Reconciled::Off);
    }
    let consent = Consent { prune: desired.reconcile.prune, ..Consent::default() };
    // On the heap: the futures of whoever awaits this stay small.
    let looked = Box::pin(survey(desired, consent)).await;
    let Survey { plan, sighted, management, store, wires } =
        looked.map_err(|error| match &error {
            ObserveError::NoWay { connect, .. } => Shortfall::Unreachable {
                why: error.to_string(),
                hint: error.hint(),
                refused: connect.kind.is_refusal(),
            },
            ObserveError::Usage(_) => Shortfall::Unreachable {
                why: error.to_string(),
                hint: error.hint(),
                refused: false,
            },
            _ => Shortfall::Refused(with_hint(&error.to_string(), error.hint().as_deref())),
        })?;
    let place = |origin| sources.place(origin);
    let style = Style::default();
    if matches!(power, Power::Wait) && !plan.made_anew().is_empty() {
        begins();
        pause(plan.made_anew()).await;
        return Err(Shortfall::Elsewhere);
    }
    if matches!(power, Power::Verify | Power::Wait) {
        return Ok(match plan.changes().len() {
            0 => Reconciled::Unchanged { noted: false },
            count => Reconciled::Drifted { count, plan: render(&plan, &place, style) },
        });
    }
    if plan.is_empty() {
        // What is there already as declared is owned from now on.
        let brought = store.bring(plan.ledger_before(), &plan.ledger_after(&[])).await;
        if let Err(why) = &brought {
            tracing::warn!("the ledger of what the stack owns could not be written: {why}");
        }
        return Ok(Reconciled::Unchanged { noted: brought.is_ok() });
    }
    let approved = match Approved::new(plan) {
        Ok(approved) => approved,
        Err(refused) => {
            wires.close().await;
            let plan = render(&refused.0, &place, style);
            return Err(Shortfall::Refused(format!("{refused}\n{plan}")));
        }
    };
    begins();
    if !approved.plan().made_anew().is_empty() {
        pause(approved.plan().made_anew()).await;
    }
    let (topology, management) = (&desired.topology, management.as_ref());
    if let Power::Locked(lock) = &power {
        let wires = wires.under(lock);
        let report = apply(&approved, topology, sighted, &wires, management, &store, &|_| {}).await;
        wires.close().await;
        if !report.is_complete() && !lock.wire().connection.status().connected() {
            return Err(Shortfall::Unreachable {
                why: "the lock of the stack was lost while applying".into(),
                hint: None,
                refused: false,
            });
        }
        return said(report, sources);
    }
    let home = &desired.broker.vhost;
    if !approved.plan().creates_vhost(home) {
        wires.reach(home, management).await.map_err(|error| Shortfall::Unreachable {
            why: error.to_string(),
            hint: Some(error.hint().to_owned()),
            refused: error.kind.is_refusal(),
        })?;
    }
    let report = apply(&approved, topology, sighted, &wires, management, &store, &|_| {}).await;
    wires.close().await;
    said(report, sources)
}

fn said(report: ApplyReport, sources: &SourceMap) -> Result<Reconciled, Shortfall> {
    if let Some(why) = &report.unwritten {
        tracing::warn!("the ledger of what the stack owns could not be written: {why}");
    }
    if report.is_complete() {
        Ok(Reconciled::Applied(report))
    } else {
        let place = |origin| sources.place(origin);
        Err(Shortfall::Refused(render_report(&report, &place, Style::default())))
    }
}

fn with_hint(text: &str, hint: Option<&str>) -> String {
    let mut text = text.to_owned();
    if let Some(hint) = hint {
        let _ = write!(text, "\nhint: {hint}");
    }
    text
}
