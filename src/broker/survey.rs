//! From what should be to a plan: look at the broker by whatever way is open, and compare.

use std::borrow::Borrow;

use lapin::Connection;

use super::amqp::{ConnectError, Wire, connect};
use super::management::{ManagementClient, Timeouts};
use super::observe::{ObserveError, Sight, look};
use crate::model::{BrokerSpec, Desired};
use crate::plan::{Plan, diff};
use crate::telemetry::ConnectionRole;

/// A plan, and the ways to the broker that were found open on the way to it.
pub struct Survey {
    /// What would have to be done.
    pub plan: Plan,
    /// The management API, where it answered.
    pub management: Option<ManagementClient>,
    /// The AMQP connection, where one had to be made.
    pub wire: Option<Wire>,
}

impl Borrow<Connection> for Wire {
    fn borrow(&self) -> &Connection {
        &self.connection
    }
}

/// Looks through the management API or, where that is shut, over AMQP, and compares.
pub async fn survey(desired: &Desired) -> Result<Survey, ObserveError> {
    let management = ManagementClient::new(&desired.broker.management, Timeouts::default())
        .map_err(ObserveError::Management)?;
    let dial = async || {
        dial(&desired.broker, desired.stack.as_str()).await.map_err(|error| error.to_string())
    };
    let Sight { observed, through_management, connection } =
        look(&desired.topology, management.as_ref(), dial).await?;
    let plan = diff(&desired.topology, &observed);
    let management = management.filter(|_| through_management);
    Ok(Survey { plan, management, wire: connection })
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
