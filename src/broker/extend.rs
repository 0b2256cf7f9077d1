//! Creates what is new and sets what policies say anew, without looking at all the rest.

use std::fmt::Display;

use futures_util::future::try_join;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

use super::declare::CONCURRENCY;
use super::ledger::LedgerStore;
use super::lock::Lock;
use super::management::{ManagementClient, ManagementError, Timeouts};
use super::observe::policies_of;
use super::wires::Wires;
use crate::model::{Desired, Policy};
use crate::plan::Additions;

/// Creates the additions under the lock of the stack, on a broker that was found before as the files
/// said that lacked them.
///
/// As with a plan, nothing of another stack's is touched, the ledger has everything before it is
/// created, and nothing at all is done where an exchange or a queue of such a name is there, or a
/// policy is not as it was: what that means takes a look.
///
/// # Errors
/// Why it was not done, or not wholly: whoever looks and plans finds out the rest.
pub async fn extend(desired: &Desired, additions: &Additions, lock: &Lock) -> Result<(), String> {
    let client = ManagementClient::new(&desired.broker.management, Timeouts::default());
    let client = client.map_err(said)?.ok_or("the management API is switched off")?;
    let ledger = LedgerStore::read_addendum(desired, &client);
    let ((store, ownership), ()) = try_join(ledger, as_expected(additions, &client)).await?;
    let claimed = additions.claimed(&ownership).ok_or("another stack owns some of it")?;
    store.add(&claimed).await?;
    let wires = Wires::new(desired).under(lock);
    let created = create(additions, &wires, &client).await;
    wires.close().await;
    created
}

/// Makes sure that nothing of these names is there, and policies as they were. Over AMQP one would
/// have to fail to know.
async fn as_expected(additions: &Additions, client: &ManagementClient) -> Result<(), String> {
    let exchanges = additions.exchanges.iter().map(async |exchange| {
        let found = client.exchange(&exchange.vhost, &exchange.name).await;
        missing(found, &exchange.name)
    });
    all(exchanges).await?;
    let queues = additions.queues.iter().map(async |queue| {
        let found = client.queue(&queue.vhost, &queue.name).await;
        missing(found, &queue.name)
    });
    all(queues).await?;
    let policies = additions.policies.iter().map(async |revision| {
        let Policy { vhost, name, .. } = &revision.after;
        let seen = match client.policy(vhost, name).await {
            Ok(info) => policies_of(vhost, vec![info]).map(|(_, policy)| policy).next(),
            Err(ManagementError::NotFound { .. }) => None,
            Err(error) => return Err(error.to_string()),
        };
        let otherwise = || format!("policy `{name}` is not as it was");
        revision.fits(seen.as_ref()).then_some(()).ok_or_else(otherwise)
    });
    all(policies).await
}

fn missing<T>(found: Result<T, ManagementError>, name: &impl Display) -> Result<(), String> {
    match found {
        Err(ManagementError::NotFound { .. }) => Ok(()),
        Err(error) => Err(error.to_string()),
        Ok(_) => Err(format!("`{name}` is there already")),
    }
}

/// Declares in the order in which one needs the other.
async fn create(
    additions: &Additions,
    wires: &Wires,
    client: &ManagementClient,
) -> Result<(), String> {
    if !wires.may_go_on() {
        return Err("the lock of the stack is lost".into());
    }
    let exchanges = additions.exchanges.iter().map(async |exchange| {
        let declarer = wires.to(&exchange.vhost).await.map_err(said)?;
        declarer.exchange(exchange).await.map_err(said)
    });
    all(exchanges).await?;
    let policies = additions.policies.iter();
    all(policies.map(async |policy| client.put_policy(&policy.after).await.map_err(said))).await?;
    let queues = additions.queues.iter().map(async |queue| {
        let declarer = wires.to(&queue.vhost).await.map_err(said)?;
        declarer.queue(queue).await.map_err(said)
    });
    all(queues).await?;
    let bindings = additions.bindings.iter().map(async |binding| {
        let declarer = wires.to(&binding.vhost).await.map_err(said)?;
        declarer.binding(binding).await.map_err(said)
    });
    all(bindings).await
}

/// Does a kind, many at once, up to the first that fails.
async fn all(
    tasks: impl Iterator<Item = impl Future<Output = Result<(), String>>>,
) -> Result<(), String> {
    stream::iter(tasks).buffer_unordered(CONCURRENCY).try_collect().await
}

fn said(error: impl Display) -> String {
    error.to_string()
}
