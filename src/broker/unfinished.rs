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
    if look(client, vhost).await? == Some(Stage::Unfinished) {
        settings::delete(client, &SettingId::Vhost(vhost.clone())).await?;
    }
    client.put_vhost(vhost, body).await?;
    let deadline = Instant::now() + PATIENCE;
    loop {
        let stage = look(client, vhost).await?;
        let late = Instant::now() >= deadline;
        if stage == Some(Stage::Whole) || (late && stage.is_none()) {
            return Ok(());
        }
        if late {
            settings::delete(client, &SettingId::Vhost(vhost.clone())).await?;
            return client.put_vhost(vhost, body).await;
        }
        sleep(PAUSE).await;
    }
}

/// How far the creation of a vhost has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It lacks exchanges of the broker's own, and holds nothing.
    Unfinished,
    /// It has them, or holds something.
    Whole,
}

/// Looks at a vhost that a plan took for absent. Nothing is known of one that is not there, nor of
/// one in which this user has no permissions: it is somebody else's, or still under way, since the
/// broker gives them last to whoever creates it.
async fn look(
    client: &ManagementClient,
    vhost: &VhostName,
) -> Result<Option<Stage>, ManagementError> {
    let answers = futures_util::try_join!(client.exchanges(vhost), client.queues(vhost));
    let (exchanges, queues) = match answers {
        Ok(answers) => answers,
        Err(ManagementError::NotFound { .. } | ManagementError::Unauthorized { .. }) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let names: Option<Vec<_>> = exchanges
        .into_iter()
        .map(|ExchangeInfo { name, .. }| ExchangeName::new(name).ok())
        .collect();
    let unfinished = queues.is_empty() && names.is_some_and(|names| is_unfinished(names.iter()));
    Ok(Some(if unfinished { Stage::Unfinished } else { Stage::Whole }))
}

/// Judges by the exchanges of a vhost.
fn is_unfinished<'a>(exchanges: impl Iterator<Item = &'a ExchangeName>) -> bool {
    let (own, others): (Vec<_>, Vec<_>) = exchanges.partition(|name| name.is_reserved());
    others.is_empty() && OWN.iter().any(|name| !own.iter().any(|found| found.as_str() == *name))
}
