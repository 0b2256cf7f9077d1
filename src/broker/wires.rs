//! AMQP connections for declaring: one a vhost, because a connection has one for life.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::OnceCell;

use super::amqp::{ConnectError, ConnectErrorKind, Wire, connect};
use super::declare::Declarer;
use super::lock::Lock;
use super::management::{ManagementClient, ManagementError};
use crate::model::{BrokerSpec, Desired, UserName, VhostName};
use crate::telemetry::ConnectionRole;

/// How long a vhost may take to start.
const START_LIMIT: Duration = Duration::from_secs(20);

/// How long the broker has to start it by itself.
const START_ITSELF: Duration = Duration::from_secs(2);

/// The pause between two tries to connect to a vhost that is to start.
const BETWEEN_TRIES: Duration = Duration::from_millis(200);

/// What came of connecting to a vhost.
type Dialled = OnceCell<Result<Arc<Declarer>, ConnectError>>;

/// Connections to the vhosts of one broker, each made when it is first needed.
pub struct Wires {
    broker: BrokerSpec,
    name: String,
    open: Mutex<BTreeMap<VhostName, Arc<Dialled>>>,
    /// Connections that others have taken the place of.
    retired: Vec<Arc<Dialled>>,
    /// The connection that holds the lock under which these are used.
    guard: Option<Arc<Wire>>,
}

impl Wires {
    /// No connection yet.
    pub fn new(desired: &Desired) -> Self {
        Self {
            broker: desired.broker.clone(),
            name: desired.stack.to_string(),
            open: Mutex::default(),
            retired: Vec::new(),
            guard: None,
        }
    }

    /// The same under the lock of the stack: in its vhost it is declared over the connection that
    /// holds it.
    #[must_use]
    pub fn under(mut self, lock: &Lock) -> Self {
        let held = Dialled::new_with(Some(Ok(Arc::new(Declarer::over(lock.wire().clone())))));
        let open = self.open.get_mut().unwrap_or_else(PoisonError::into_inner);
        self.retired.extend(open.insert(lock.home().clone(), Arc::new(held)));
        self.guard = Some(lock.wire().clone());
        self
    }

    /// Whether the lock, if they are under one, is held still.
    pub(super) fn may_go_on(&self) -> bool {
        self.guard.as_ref().is_none_or(|wire| wire.connection.status().connected())
    }

    /// Declares in that vhost. It is dialled once; what has failed stays so.
    pub async fn to(&self, vhost: &VhostName) -> Result<Arc<Declarer>, ConnectError> {
        let dialled = {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            open.entry(vhost.clone()).or_default().clone()
        };
        dialled
            .get_or_init(async || {
                let wire = dial(&self.broker, vhost, &self.name).await?;
                Ok(Arc::new(Declarer::new(wire)))
            })
            .await
            .clone()
    }

    /// The same, and where the vhost is there but down, waits for it, and has the broker start it
    /// where it does not do so by itself. Whoever was killed while creating it may have left it so.
    pub async fn reach(
        &self,
        vhost: &VhostName,
        management: Option<&ManagementClient>,
    ) -> Result<Arc<Declarer>, ConnectError> {
        let begun = Instant::now();
        let mut outcome = self.to(vhost).await;
        while let (Err(error), Some(client)) = (&outcome, management)
            && error.kind == ConnectErrorKind::VhostDown
            && begun.elapsed() < START_LIMIT
        {
            if begun.elapsed() >= START_ITSELF
                && let Err(error) = start(vhost, client).await
            {
                tracing::debug!(%vhost, %error, "cannot be started");
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
            outcome = self.again(vhost).await;
        }
        outcome
    }

    /// The same as [`Wires::to`] once more, where it has failed before.
    pub(super) async fn again(&self, vhost: &VhostName) -> Result<Arc<Declarer>, ConnectError> {
        {
            let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
            let failed = |dialled: &Arc<Dialled>| matches!(dialled.get(), Some(Err(_)));
            if open.get(vhost).is_some_and(failed) {
                open.remove(vhost);
            }
        }
        self.to(vhost).await
    }

    /// The user as whom they connect.
    pub(super) fn user(&self) -> Option<UserName> {
        let endpoint = self.broker.endpoints.first()?;
        UserName::new(&endpoint.uri.authority.userinfo.username).ok()
    }

    /// Says goodbye on all of them.
    pub async fn close(self) {
        let open = self.open.into_inner().unwrap_or_else(PoisonError::into_inner);
        let all = open.into_values().chain(self.retired);
        let declarers = all.filter_map(|dialled| dialled.get()?.clone().ok());
        futures_util::future::join_all(declarers.map(async |declarer| declarer.finish().await))
            .await;
    }
}

/// Has a vhost started on the nodes where it is not.
async fn start(vhost: &VhostName, client: &ManagementClient) -> Result<(), ManagementError> {
    let about = client.read(&["vhosts".to_owned(), vhost.to_string()]).await?;
    let states = about["cluster_state"].as_object().into_iter().flatten();
    for (node, _) in states.filter(|(_, state)| **state == "stopped") {
        client.start_vhost(vhost, node).await?;
    }
    Ok(())
}

/// A connection to the first endpoint that answers; the last error where none does.
///
/// # Panics
/// Where the broker has no endpoint at all, which no configuration gives.
pub(super) async fn dial(
    broker: &BrokerSpec,
    vhost: &VhostName,
    name: &str,
) -> Result<Wire, ConnectError> {
    let mut endpoints = broker.endpoints.clone().into_iter().map(|mut endpoint| {
        endpoint.uri.vhost = vhost.to_string();
        endpoint
    });
    let first = endpoints.next().expect("a broker has an endpoint");
    let mut outcome = connect(&first, ConnectionRole::Topology, name).await;
    for endpoint in endpoints {
        if outcome.is_ok() {
            break;
        }
        outcome = connect(&endpoint, ConnectionRole::Topology, name).await;
    }
    outcome
}
