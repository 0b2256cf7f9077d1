//! From what should be to a plan: look at the broker by whatever way is open, and compare.

use std::borrow::Borrow;
use std::collections::BTreeMap;

use futures_util::{StreamExt, TryStreamExt, stream};
use lapin::Connection;

use super::amqp::{ConnectError, Wire, connect};
use super::declare::{CONCURRENCY, DeclareError, Declarer};
use super::ledger::LedgerStore;
use super::management::{ManagementClient, Timeouts};
use super::observe::{ObserveError, Sight, look};
use crate::model::{BrokerSpec, Desired, QueueName, VhostName};
use crate::plan::{Action, Consent, Observed, Plan, Target, Usage, plan};
use crate::telemetry::ConnectionRole;

/// A plan, and the ways to the broker that were found open on the way to it.
pub struct Survey {
    /// What would have to be done.
    pub plan: Plan,
    /// What it was made from.
    pub observed: Observed,
    /// The management API, where it answered.
    pub management: Option<ManagementClient>,
    /// Where the ledger of what the stack owns is kept.
    pub store: LedgerStore,
    /// The AMQP connection, where one had to be made.
    pub wire: Option<Wire>,
}

impl Borrow<Connection> for Wire {
    fn borrow(&self) -> &Connection {
        &self.connection
    }
}

/// Looks through the management API or, where that is shut, over AMQP, and compares. Queues that
/// would be deleted are looked at over AMQP, which tells how they are used now; the management API
/// tells how they were some seconds ago.
pub async fn survey(desired: &Desired, consent: Consent) -> Result<Survey, ObserveError> {
    let management = ManagementClient::new(&desired.broker.management, Timeouts::default())
        .map_err(ObserveError::Management)?;
    let dial = async || dial(&desired.broker, desired.stack.as_str()).await;
    let Sight { mut observed, through_management, connection: mut wire } =
        look(&desired.topology, &desired.broker.vhost, management.as_ref(), dial).await?;
    let management = management.filter(|_| through_management);
    let (store, ownership) =
        LedgerStore::read(desired, management.as_ref()).await.map_err(ObserveError::Ledger)?;
    let mut plan = plan(&desired.topology, &observed, &ownership, consent);
    let doomed = doomed(&plan);
    if !doomed.is_empty() && !consent.force {
        let connected = match wire.take() {
            Some(wire) => wire,
            None => dial().await.map_err(|error| ObserveError::Usage(error.to_string()))?,
        };
        let declarer = Declarer::new(&connected.connection);
        let usage = usage(&doomed, &declarer).await;
        declarer.finish().await;
        observed.usage = usage.map_err(|error| ObserveError::Usage(error.to_string()))?;
        wire = Some(connected);
        plan = crate::plan::plan(&desired.topology, &observed, &ownership, consent);
    }
    Ok(Survey { plan, observed, management, store, wire })
}

/// The queues that a plan deletes.
fn doomed(plan: &Plan) -> Vec<(VhostName, QueueName)> {
    let deleted = plan.changes().iter().filter(|change| change.action == Action::Delete);
    deleted
        .filter_map(|change| match &change.target {
            Target::Queue(queue) => Some((queue.vhost.clone(), queue.name.clone())),
            _ => None,
        })
        .collect()
}

async fn usage(
    queues: &[(VhostName, QueueName)],
    declarer: &Declarer<'_>,
) -> Result<BTreeMap<(VhostName, QueueName), Usage>, DeclareError> {
    stream::iter(queues)
        .map(async |queue| Ok(declarer.usage(&queue.1).await?.map(|usage| (queue.clone(), usage))))
        .buffer_unordered(CONCURRENCY)
        .try_filter_map(async |found| Ok(found))
        .try_collect()
        .await
}

/// A connection for declaring, to the first endpoint that answers; the last error where none does.
///
/// # Panics
/// Where the broker has no endpoint at all, which no configuration gives.
pub async fn dial(broker: &BrokerSpec, name: &str) -> Result<Wire, ConnectError> {
    let (first, others) = broker.endpoints.split_first().expect("a broker has an endpoint");
    let mut outcome = connect(first, ConnectionRole::Topology, name).await;
    for endpoint in others {
        if outcome.is_ok() {
            break;
        }
        outcome = connect(endpoint, ConnectionRole::Topology, name).await;
    }
    outcome
}
