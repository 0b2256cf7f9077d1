//! From what should be to a plan: look at the broker by whatever way is open, and compare.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use futures_util::future::join_all;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::declare::CONCURRENCY;
use super::ledger::LedgerStore;
use super::management::{ManagementClient, Timeouts};
use super::observe::{ObserveError, Sight, look, observe};
use super::scope::Scope;
use super::unfinished;
use super::wires::Wires;
use crate::model::{BrokerSpec, Desired, Management, OnConflict, QueueName, UserName, VhostName};
use crate::plan::{Action, Consent, Observed, Plan, Target, Usage, plan};

/// A broker as it was seen, and when.
pub struct Sighted {
    /// What there was.
    pub observed: Observed,
    /// When the look had ended.
    pub at: Instant,
}

/// A plan, and the ways to the broker that were found open on the way to it.
pub struct Survey {
    /// What would have to be done.
    pub plan: Plan,
    /// What it was made from.
    pub sighted: Sighted,
    /// The management API, where it answered.
    pub management: Option<ManagementClient>,
    /// Where the ledger of what the stack owns is kept.
    pub store: LedgerStore,
    /// AMQP connections, those among them that had to be made.
    pub wires: Wires,
}

/// Looks through the management API or, where that is shut, over AMQP, and compares. Queues that
/// would be deleted are looked at over AMQP, which tells how they are used now; the management API
/// tells how they were some seconds ago.
pub async fn survey(desired: &Desired, consent: Consent) -> Result<Survey, ObserveError> {
    let management = ManagementClient::new(&desired.broker.management, Timeouts::default())
        .map_err(ObserveError::Management)?;
    let wires = Wires::new(desired);
    let Sight { mut observed, through_management } =
        look(desired, management.as_ref(), &wires).await?;
    let management = management.filter(|_| through_management);
    let (store, ownership) =
        LedgerStore::read(desired, management.as_ref()).await.map_err(ObserveError::Ledger)?;
    let named = Scope::of(&desired.topology).and(&desired.broker.vhost);
    let all = named.clone().and_owned(&ownership.own);
    if let Some(client) = &management
        && all != named
    {
        // What the files no longer speak of is still there to be deleted.
        observed = observe(&all, client).await.map_err(ObserveError::Management)?;
        unfinished::forget(&mut observed, &desired.topology, &desired.broker.vhost);
    }
    observed.home = Some(desired.broker.vhost.clone());
    observed.ourselves = ourselves(&desired.broker);
    let mut plan = plan(&desired.topology, &observed, &ownership, consent);
    let doomed = doomed(&plan, consent);
    if !doomed.is_empty() {
        observed.usage = usage(&doomed, &wires, management.as_ref()).await?;
        plan = crate::plan::plan(&desired.topology, &observed, &ownership, consent);
    }
    let sighted = Sighted { observed, at: Instant::now() };
    Ok(Survey { plan, sighted, management, store, wires })
}

/// The users as whom warrener comes to the broker.
pub(super) fn ourselves(broker: &BrokerSpec) -> BTreeSet<UserName> {
    let endpoints =
        broker.endpoints.iter().map(|endpoint| endpoint.uri.authority.userinfo.username.as_str());
    let management = match &broker.management {
        Management::At { user, .. } => Some(user.as_str()),
        Management::Off => None,
    };
    endpoints.chain(management).filter_map(|name| UserName::new(name).ok()).collect()
}

/// The queues that a plan deletes, unless whatever they hold, and those that it makes anew if they
/// hold nothing.
fn doomed(plan: &Plan, consent: Consent) -> Vec<(VhostName, QueueName)> {
    let goes = |action, on_conflict| match action {
        Action::Delete => !consent.force,
        Action::Conflict => consent.replace || on_conflict != OnConflict::Refuse,
        _ => false,
    };
    let changes = plan.changes().iter();
    changes
        .filter_map(|change| match &change.target {
            Target::Queue(queue) if goes(change.action, queue.on_conflict) => {
                Some((queue.vhost.clone(), queue.name.clone()))
            }
            _ => None,
        })
        .collect()
}

/// How much these queues are used at this moment; without those that are not there.
pub(super) async fn usage(
    queues: &[(VhostName, QueueName)],
    wires: &Wires,
    management: Option<&ManagementClient>,
) -> Result<BTreeMap<(VhostName, QueueName), Usage>, ObserveError> {
    let vhosts: BTreeSet<_> = queues.iter().map(|(vhost, _)| vhost).collect();
    join_all(vhosts.into_iter().map(|vhost| wires.reach(vhost, management))).await;
    let look = async |queue: &(VhostName, QueueName)| {
        let fault = |error: &dyn std::fmt::Display| ObserveError::Usage(error.to_string());
        let declarer = wires.to(&queue.0).await.map_err(|error| fault(&error))?;
        let usage = declarer.usage(&queue.1).await.map_err(|error| fault(&error))?;
        Ok(usage.map(|usage| (queue.clone(), usage)))
    };
    stream::iter(queues)
        .map(look)
        .buffer_unordered(CONCURRENCY)
        .try_filter_map(async |found| Ok(found))
        .try_collect()
        .await
}
