//! Makes queues anew whose declaration has changed, without looking at all the rest.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::apply;
use super::glance::{glance, sight_under_ledger};
use super::lock::Lock;
use super::survey::usage;
use super::wires::Wires;
use crate::model::{Desired, QueueName, VhostName};
use crate::plan::{Change, Renewals, Summary, Target};

/// Makes the renewals under the lock of the stack, on a broker that was found as the files said
/// before, by a stack that owns just that. `pause` has whoever of ours consumes them wait.
///
/// As with a plan, nothing of another stack's is touched, and nothing that is in use unless its
/// messages come along; where a plan would refuse any of them, nothing at all is done. What was cut
/// off in the middle is finished by whoever looks and plans next.
///
/// # Errors
/// Why it was not done, or not wholly: whoever looks and plans finds out the rest.
pub async fn renew(
    desired: &Desired,
    renewals: &Renewals,
    lock: &Lock,
    pause: impl AsyncFnOnce(BTreeSet<(VhostName, QueueName)>),
) -> Result<Summary, String> {
    let places = renewals.places();
    let (client, ownership, mut observed) =
        sight_under_ledger(desired, async |client| glance(&places, client).await).await?;
    let wires = Wires::new(desired).under(lock);
    let work = async {
        let queues: Vec<_> = observed.queues.keys().cloned().collect();
        observed.usage = usage(&queues, &wires, Some(&client)).await.map_err(said)?;
        let steps = renewals.steps(&observed, &ownership.others);
        let steps = steps.ok_or("a plan may refuse it, or have more to do")?;
        pause(steps.iter().filter_map(queue).collect()).await;
        apply::make_anew(&steps, &desired.topology, &wires, &client).await
    };
    let done = work.await;
    wires.close().await;
    done
}

fn queue(step: &Change) -> Option<(VhostName, QueueName)> {
    match &step.target {
        Target::Queue(queue) => Some((queue.vhost.clone(), queue.name.clone())),
        _ => None,
    }
}

fn said(error: impl Display) -> String {
    error.to_string()
}
