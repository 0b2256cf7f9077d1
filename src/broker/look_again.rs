//! Looks at the broker once more when a plan has been performed.
//!
//! Where every step was taken and the plan touched little of what there is, that alone is looked at,
//! and all else is taken to be as it was seen a moment before. Whatever is not found as it should be
//! then, or is not so simple, takes a look at everything.

use std::time::Duration;

use super::glance::glance;
use super::management::{ManagementClient, ManagementError};
use super::observe::observe;
use super::observe_settings::observe_settings;
use super::scope::Scope;
use super::survey::Sighted;
use crate::model::Topology;
use crate::plan::{Failure, Observed, Plan, Remaining, Target, Touched};

/// Looks at the broker until it is as it should be, this often: another node of a cluster may show
/// a change a moment after the one that made it.
const LOOKS: u32 = 5;

/// The pause between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// What was seen longer ago is looked at again: somebody was asked in between, or the work took so
/// long.
const FRESH: Duration = Duration::from_secs(10);

/// Observes and compares until nothing is left to do but what is known to have failed. `before` is
/// what the plan was made from.
pub(super) async fn look_again(
    done: &Plan,
    topology: &Topology,
    before: Sighted,
    client: &ManagementClient,
    failed: &[Failure],
) -> Remaining {
    if failed.is_empty()
        && before.at.elapsed() < FRESH
        && let Some(touched) = Touched::by(done)
        && touched.is_little_of(&before.observed)
    {
        match renewed(done, topology, &touched, before.observed, client).await {
            Ok(observed) if done.again(topology, &observed).is_empty() => {
                return Remaining::Nothing;
            }
            Ok(_) => {}
            Err(error) => tracing::debug!("what was touched cannot be looked at alone: {error}"),
        }
    }
    let mut scope = Scope::of(topology);
    for change in done.changes() {
        scope.vhosts.extend(change.target.vhost().cloned());
        if let Target::Setting(setting) = &change.target {
            scope.kinds.insert(setting.kind());
        }
    }
    let mut looks = 0;
    loop {
        looks += 1;
        let plan = match observe(&scope, client).await {
            Ok(observed) => done.again(topology, &observed),
            Err(error) => return Remaining::Unseen(error.to_string()),
        };
        let plan = plan.without(|change| failed.iter().any(|f| f.change.target == change.target));
        if plan.is_empty() {
            return Remaining::Nothing;
        }
        if looks == LOOKS {
            return Remaining::Plan(Box::new(plan));
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// What was seen before, brought up to date where the plan has touched it.
async fn renewed(
    done: &Plan,
    topology: &Topology,
    touched: &Touched,
    mut observed: Observed,
    client: &ManagementClient,
) -> Result<Observed, ManagementError> {
    let mut now = glance(&touched.places, client).await?;
    if touched.settings {
        let mut scope = Scope::of(topology).and_owned(done.ledger_before());
        scope.vhosts.clone_from(&observed.vhosts);
        observe_settings(&mut now, &scope, client).await?;
    }
    observed.renew(touched, now);
    Ok(observed)
}
