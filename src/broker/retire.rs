//! Deletes what the files no longer declare, without looking at all the rest.

use std::collections::BTreeSet;
use std::fmt::Display;

use super::apply;
use super::glance::{glance, sight_under_ledger};
use super::lock::Lock;
use super::management::{ManagementClient, ManagementError};
use super::survey::usage;
use super::wires::Wires;
use crate::model::{Desired, Policy, Topology};
use crate::plan::{Additions, Observed, Place, Removals, Summary};

/// Deletes the removals under the lock of the stack, on a broker that was found as `before` says, by
/// a stack that owns just that. What was deleted stays in the ledger until the next look.
///
/// As with a plan, nothing goes that is in use, that another stack owns or that would take anything
/// along; where a plan would keep some of it, nothing at all is done.
///
/// # Errors
/// Why it was not done, or not wholly: whoever looks and plans finds out the rest.
pub async fn retire(
    before: &Topology,
    desired: &Desired,
    removals: &Removals,
    lock: &Lock,
) -> Result<Summary, String> {
    let (client, ownership, mut observed) =
        sight_under_ledger(desired, async |client| look(removals.gone(), client).await).await?;
    let wires = Wires::new(desired).under(lock);
    let work = async {
        let queues: Vec<_> = observed.queues.keys().cloned().collect();
        observed.usage = usage(&queues, &wires, Some(&client)).await.map_err(said)?;
        let (after, others) = (&desired.topology, ownership.others);
        let deletions = Removals::deletions(before, after, &observed, &desired.stack, others)
            .ok_or("some of it is to stay")?;
        apply::delete(&deletions, after, &wires, &client).await
    };
    let deleted = work.await;
    wires.close().await;
    deleted
}

/// Looks at what is to go and at all that hangs on it, as [`Removals::deletions`] needs it.
async fn look(gone: &Additions, client: &ManagementClient) -> Result<Observed, ManagementError> {
    let mut places = BTreeSet::new();
    for exchange in &gone.exchanges {
        let name = &exchange.name;
        let all = [Place::Exchange, Place::To, Place::From];
        places.extend(all.map(|place| (exchange.vhost.clone(), place(name.clone()))));
    }
    for queue in &gone.queues {
        let name = &queue.name;
        let all = [Place::Queue, Place::ToQueue];
        places.extend(all.map(|place| (queue.vhost.clone(), place(name.clone()))));
    }
    let bindings = gone.bindings.iter();
    places.extend(bindings.map(|binding| (binding.vhost.clone(), Place::to(&binding.destination))));
    places.extend(gone.policies.iter().map(|revision| {
        let Policy { vhost, name, .. } = &revision.after;
        (vhost.clone(), Place::Policy(name.clone()))
    }));
    let mut observed = glance(&places, client).await?;
    // One that goes with its last binding takes more along.
    let bindings = observed.bindings.iter().flatten();
    let sources = bindings.map(|key| (key.vhost().clone(), key.source().clone()));
    let sources = sources.filter(|source| !observed.exchanges.contains_key(source));
    let sources: BTreeSet<_> =
        sources.map(|(vhost, name)| (vhost, Place::Exchange(name))).collect();
    observed.join(glance(&sources, client).await?);
    let fragile = observed.exchanges.iter().filter(|(_, seen)| seen.is_auto_delete());
    let fragile: BTreeSet<_> = fragile
        .map(|((vhost, name), _)| (vhost.clone(), Place::From(name.clone())))
        .filter(|place| !places.contains(place))
        .collect();
    observed.join(glance(&fragile, client).await?);
    Ok(observed)
}

fn said(error: impl Display) -> String {
    error.to_string()
}
