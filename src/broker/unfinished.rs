//! Vhosts whose creation was cut off. The broker makes the vhost first and then its own exchanges
//! in it, and whoever asked for it may be gone by then; 4.0 then leaves the vhost without them.
//! Nobody else may declare these, so only deleting the vhost and creating it again mends that.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::Value;
use tokio::time::{Instant, sleep};

use super::management::{ExchangeInfo, ManagementClient, ManagementError};
use super::settings;
use crate::model::{ExchangeName, SettingId, Topology, VhostName};
use crate::plan::Observed;

/// What every vhost has (RabbitMQ's guide on exchanges).
const OWN: [&str; 6] = ["", "amq.direct", "amq.fanout", "amq.headers", "amq.match", "amq.topic"];

/// Takes those vhosts of the files for absent that lack exchanges of the broker's own and hold
/// nothing, so that a plan creates them with all that belongs to them. Never `home`: what is applied
/// goes over a connection to it.
pub(super) fn forget(observed: &mut Observed, topology: &Topology, home: &VhostName) {
    let candidates = observed.vhosts.iter().filter(|vhost| *vhost != home);
    let unfinished: BTreeSet<_> = candidates
        .filter(|vhost| topology.makes(vhost))
        .filter(|vhost| {
            let exchanges = observed.exchanges.keys().filter(|(place, _)| place == *vhost);
            let empty = !observed.queues.keys().any(|(place, _)| place == *vhost);
            empty && is_unfinished(exchanges.map(|(_, name)| name))
        })
        .cloned()
        .collect();
    observed.vhosts.retain(|vhost| !unfinished.contains(vhost));
    observed.exchanges.retain(|(vhost, _), _| !unfinished.contains(vhost));
    if let Some(policies) = &mut observed.policies {
        policies.retain(|(vhost, _), _| !unfinished.contains(vhost));
    }
    observed.settings.retain(|id, _| match id {
        SettingId::Vhost(vhost) => !unfinished.contains(vhost),
        other => other.vhost().is_none_or(|vhost| !unfinished.contains(vhost)),
    });
}

/// How long the broker may take for the rest of a vhost that somebody else has it create, until that
/// is taken for cut off.
const PATIENCE: Duration = Duration::from_secs(5);

/// How often that is looked at meanwhile.
const PAUSE: Duration = Duration::from_millis(100);

/// Creates a vhost with all that the broker puts into it.
///
/// A request that was cut off may still be at work. The broker then takes this one for a change of
/// what is there, and gives the other one up when it notices.
///
/// # Errors
/// When the management API refuses, or does not answer.
pub(super) async fn create(
    client: &ManagementClient,
    vhost: &VhostName,
    body: &Value,
) -> Result<(), ManagementError> {
    if is_left(client, vhost).await? {
        settings::delete(client, &SettingId::Vhost(vhost.clone())).await?;
    }
    client.put_vhost(vhost, body).await?;
    let deadline = Instant::now() + PATIENCE;
    while is_left(client, vhost).await? {
        if Instant::now() >= deadline {
            settings::delete(client, &SettingId::Vhost(vhost.clone())).await?;
            return client.put_vhost(vhost, body).await;
        }
        sleep(PAUSE).await;
    }
    Ok(())
}

/// Whether a vhost that a plan took for absent is there, unfinished.
async fn is_left(client: &ManagementClient, vhost: &VhostName) -> Result<bool, ManagementError> {
    let answers = futures_util::try_join!(client.exchanges(vhost), client.queues(vhost));
    let (exchanges, queues) = match answers {
        Ok(answers) => answers,
        // A vhost without permissions for this user is somebody's.
        Err(ManagementError::NotFound { .. } | ManagementError::Unauthorized { .. }) => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let names: Option<Vec<_>> = exchanges
        .into_iter()
        .map(|ExchangeInfo { name, .. }| ExchangeName::new(name).ok())
        .collect();
    Ok(queues.is_empty() && names.is_some_and(|names| is_unfinished(names.iter())))
}

/// Judges by the exchanges of a vhost.
fn is_unfinished<'a>(exchanges: impl Iterator<Item = &'a ExchangeName>) -> bool {
    let (own, others): (Vec<_>, Vec<_>) = exchanges.partition(|name| name.is_reserved());
    others.is_empty() && OWN.iter().any(|name| !own.iter().any(|found| found.as_str() == *name))
}
