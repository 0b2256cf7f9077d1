//! Deletes what the files no longer declare, without looking at all the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use futures_util::future::try_join;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::apply;
use super::declare::CONCURRENCY;
use super::ledger::LedgerStore;
use super::lock::Lock;
use super::management::{
    BindingInfo, Definitions, ExchangeInfo, ManagementClient, ManagementError, PolicyInfo,
    QueueInfo, Timeouts,
};
use super::observe::add_vhost;
use super::survey::usage;
use super::wires::Wires;
use crate::model::{
    Desired, Destination, ExchangeName, Policy, PolicyName, QueueName, Topology, VhostName,
};
use crate::plan::{Additions, Observed, Removals, Summary};

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
    let client = ManagementClient::new(&desired.broker.management, Timeouts::default());
    let client = client.map_err(said)?.ok_or("the management API is switched off")?;
    let sight = async { look(removals.gone(), &client).await.map_err(said) };
    let ((store, ownership), mut observed) =
        try_join(LedgerStore::read_addendum(desired, &client), sight).await?;
    if !store.is_there() {
        return Err("the ledger of the stack is gone".into());
    }
    let wires = Wires::new(desired).under(lock);
    let queues: Vec<_> = observed.queues.keys().cloned().collect();
    observed.usage = usage(&queues, &wires, Some(&client)).await.map_err(said)?;
    let after = &desired.topology;
    let deletions = Removals::deletions(before, after, &observed, &desired.stack, ownership.others)
        .ok_or("some of it is to stay")?;
    let deleted = apply::delete(&deletions, after, &wires, &client).await;
    wires.close().await;
    deleted
}

/// What the broker has of one vhost.
#[derive(Default)]
struct Parts {
    exchanges: Vec<ExchangeInfo>,
    rest: Definitions,
}

/// What was found at one place.
enum Found {
    Exchange(ExchangeInfo),
    Queue(QueueInfo),
    Policy(PolicyInfo),
    Bindings(Vec<BindingInfo>),
}

/// Something to look at.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Exchange(ExchangeName),
    To(ExchangeName),
    From(ExchangeName),
    Queue(QueueName),
    ToQueue(QueueName),
    Policy(PolicyName),
}

/// Looks at what is to go and at all that hangs on it, as [`Removals::deletions`] needs it.
async fn look(gone: &Additions, client: &ManagementClient) -> Result<Observed, ManagementError> {
    let mut observed = Observed {
        bindings: Some(BTreeSet::new()),
        policies: Some(BTreeMap::new()),
        ..Observed::default()
    };
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
    places.extend(gone.bindings.iter().map(|binding| {
        let to = match &binding.destination {
            Destination::Exchange(name) => Place::To(name.clone()),
            Destination::Queue(name) => Place::ToQueue(name.clone()),
        };
        (binding.vhost.clone(), to)
    }));
    places.extend(gone.policies.iter().map(|revision| {
        let Policy { vhost, name, .. } = &revision.after;
        (vhost.clone(), Place::Policy(name.clone()))
    }));
    add(&mut observed, &places, client).await?;
    // One that goes with its last binding takes more along.
    let bindings = observed.bindings.iter().flatten();
    let sources = bindings.map(|key| (key.vhost().clone(), key.source().clone()));
    let sources = sources.filter(|source| !observed.exchanges.contains_key(source));
    let sources: BTreeSet<_> =
        sources.map(|(vhost, name)| (vhost, Place::Exchange(name))).collect();
    add(&mut observed, &sources, client).await?;
    let fragile = observed.exchanges.iter().filter(|(_, seen)| seen.is_auto_delete());
    let fragile: BTreeSet<_> = fragile
        .map(|((vhost, name), _)| (vhost.clone(), Place::From(name.clone())))
        .filter(|place| !places.contains(place))
        .collect();
    add(&mut observed, &fragile, client).await?;
    Ok(observed)
}

/// Adds what is at these places; at some there may be nothing.
async fn add(
    observed: &mut Observed,
    places: &BTreeSet<(VhostName, Place)>,
    client: &ManagementClient,
) -> Result<(), ManagementError> {
    let found: Vec<(VhostName, Found)> = stream::iter(places)
        .map(async |(vhost, place)| match find(vhost, place, client).await {
            Ok(found) => Ok(Some((vhost.clone(), found))),
            Err(ManagementError::NotFound { .. }) => Ok(None),
            Err(error) => Err(error),
        })
        .buffer_unordered(CONCURRENCY)
        .try_filter_map(async |found| Ok(found))
        .try_collect()
        .await?;
    let mut vhosts: BTreeMap<VhostName, Parts> = BTreeMap::new();
    for (vhost, found) in found {
        let Parts { exchanges, rest } = vhosts.entry(vhost).or_default();
        match found {
            Found::Exchange(exchange) => exchanges.push(exchange),
            Found::Queue(queue) => rest.queues.push(queue),
            Found::Policy(policy) => rest.policies.push(policy),
            Found::Bindings(bindings) => rest.bindings.extend(bindings),
        }
    }
    for (vhost, Parts { exchanges, rest }) in vhosts {
        add_vhost(observed, &vhost, exchanges, rest);
    }
    Ok(())
}

async fn find(
    vhost: &VhostName,
    place: &Place,
    client: &ManagementClient,
) -> Result<Found, ManagementError> {
    Ok(match place {
        Place::Exchange(name) => Found::Exchange(client.exchange(vhost, name).await?),
        Place::To(name) => Found::Bindings(client.bindings_to_exchange(vhost, name).await?),
        Place::From(name) => Found::Bindings(client.bindings_from_exchange(vhost, name).await?),
        Place::Queue(name) => Found::Queue(client.queue(vhost, name).await?),
        Place::ToQueue(name) => Found::Bindings(client.queue_bindings(vhost, name).await?),
        Place::Policy(name) => Found::Policy(client.policy(vhost, name).await?),
    })
}

fn said(error: impl Display) -> String {
    error.to_string()
}
