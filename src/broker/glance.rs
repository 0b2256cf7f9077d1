//! Looks at some places alone, however much else there is.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::declare::CONCURRENCY;
use super::ledger::LedgerStore;
use super::management::{
    BindingInfo, Definitions, ExchangeInfo, ManagementClient, ManagementError, PolicyInfo,
    QueueInfo, Timeouts,
};
use super::observe::add_vhost;
use crate::model::{Desired, VhostName};
use crate::plan::{Observed, Ownership, Place};

/// What `look` sees through the management API, which is given too, and who owns what, but for all
/// that the ledger of the stack has as a whole.
///
/// # Errors
/// Why that cannot be told, or that the stack has no ledger.
pub(super) async fn sight_under_ledger(
    desired: &Desired,
    look: impl AsyncFnOnce(&ManagementClient) -> Result<Observed, ManagementError>,
) -> Result<(ManagementClient, Ownership, Observed), String> {
    let client = ManagementClient::new(&desired.broker.management, Timeouts::default());
    let client =
        client.map_err(|error| error.to_string())?.ok_or("the management API is switched off")?;
    let sight = async { look(&client).await.map_err(|error| error.to_string()) };
    let ((store, ownership), observed) =
        try_join(LedgerStore::read_addendum(desired, &client), sight).await?;
    if !store.is_there() {
        return Err("the ledger of the stack is gone".into());
    }
    Ok((client, ownership, observed))
}

/// What is at these places, and nothing else; at some there may be nothing.
///
/// # Errors
/// Where the management API does not tell of one of them.
pub(super) async fn glance(
    places: &BTreeSet<(VhostName, Place)>,
    client: &ManagementClient,
) -> Result<Observed, ManagementError> {
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
    let mut observed = Observed {
        bindings: Some(BTreeSet::new()),
        policies: Some(BTreeMap::new()),
        ..Observed::default()
    };
    for (vhost, Parts { exchanges, rest }) in vhosts {
        add_vhost(&mut observed, &vhost, exchanges, rest);
    }
    Ok(observed)
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
