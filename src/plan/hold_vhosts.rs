//! What keeps a vhost that the stack owns and no longer declares: everything in it would go with it.

use std::collections::BTreeSet;

use super::ledger::{Ownership, ResourceId};
use super::observed::Observed;
use crate::model::{OnRemove, SettingId, Topology, VhostName};

/// Why a vhost must stay, and the mend; `None` where it can go. `going` is what else goes.
pub(super) fn hold(
    vhost: &VhostName,
    topology: &Topology,
    observed: &Observed,
    ownership: &Ownership,
    going: &BTreeSet<ResourceId>,
    force: bool,
) -> Option<(String, Option<&'static str>)> {
    if topology.vhosts().contains(vhost) {
        return Some(("the files still declare something in it".into(), None));
    }
    let inside = |id: &ResourceId| id.vhost() == Some(vhost) && *id != itself(vhost);
    if let Some((id, owner)) = ownership.others.iter().find(|(id, _)| inside(id)) {
        let reason = format!("stack `{}` owns the {id}, which would go with it", owner.stack);
        return Some((reason, None));
    }
    let retained =
        ownership.own.iter().find(|(id, on_remove)| *on_remove == OnRemove::Retain && inside(id));
    if let Some((id, _)) = retained {
        let reason = format!("the {id}, which is to be retained, would go with it");
        return Some((reason, Some("delete that by hand first")));
    }
    if force {
        return None;
    }
    let left = contents(vhost, observed).find(|id| !going.contains(id))?;
    let reason = format!("the {left} would go with it");
    Some((reason, Some("`--force` deletes it with all that is in it")))
}

fn itself(vhost: &VhostName) -> ResourceId {
    ResourceId::Setting(SettingId::Vhost(vhost.clone()))
}

/// What somebody has made in a vhost. Permissions are left out: the broker itself gives some to
/// whoever creates a vhost.
fn contents<'a>(
    vhost: &'a VhostName,
    observed: &'a Observed,
) -> impl Iterator<Item = ResourceId> + 'a {
    let queues =
        observed.queues.keys().map(|(of, name)| ResourceId::Queue(of.clone(), name.clone()));
    let exchanges =
        observed.exchanges.keys().map(|(of, name)| ResourceId::Exchange(of.clone(), name.clone()));
    let policies = observed
        .policies
        .iter()
        .flatten()
        .map(|((of, name), _)| ResourceId::Policy(of.clone(), name.clone()));
    let settings = observed
        .settings
        .keys()
        .filter(|id| matches!(id, SettingId::OperatorPolicy(..) | SettingId::Parameter(..)))
        .map(|id| ResourceId::Setting(id.clone()));
    queues
        .chain(exchanges)
        .chain(policies)
        .chain(settings)
        .filter(move |id| id.vhost() == Some(vhost) && !id.is_reserved())
}
