//! Whether policies hold for the queues that they are meant for.
//!
//! A policy that is set while a queue is being declared may never attach to it. Policies are set
//! before queues are declared, but on a cluster another node may not know them yet; so it is looked
//! at afterwards, and mended by setting the policy once more.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::management::{ManagementClient, ManagementError};
use super::observe::policies_of;
use crate::model::{Policy, PolicyIndex, PolicyName, Queue, QueueName, Topology, VhostName};
use crate::plan::expected_policies;

/// Looks before a policy is set again, and after that before it is given up.
const LOOKS: u32 = 3;

/// The pause between two looks.
const BETWEEN_LOOKS: Duration = Duration::from_millis(300);

/// Looks at queues that were just created, mends what did not attach, and says what happened.
pub(super) async fn attach(
    client: &ManagementClient,
    topology: &Topology,
    created: &[&Queue],
) -> Vec<String> {
    let index = PolicyIndex::new(topology.policies());
    let meant: Vec<&Queue> =
        created.iter().copied().filter(|queue| index.matching(queue).next().is_some()).collect();
    if meant.is_empty() {
        return Vec::new();
    }
    match mend(client, topology, meant).await {
        Ok(notes) => notes,
        Err(error) => {
            vec![format!("nobody looked whether the policies hold for the new queues: {error}")]
        }
    }
}

async fn mend(
    client: &ManagementClient,
    topology: &Topology,
    created: Vec<&Queue>,
) -> Result<Vec<String>, ManagementError> {
    let mut notes = Vec::new();
    let mut again: BTreeSet<PolicyName> = BTreeSet::new();
    let mut left = created;
    for set_again in [true, false] {
        let mut missing = Vec::new();
        for look in 1..=LOOKS {
            missing = unattached(client, &left).await?;
            if missing.is_empty() {
                break;
            }
            if look < LOOKS {
                tokio::time::sleep(BETWEEN_LOOKS).await;
            }
        }
        if !set_again || missing.is_empty() {
            notes.extend(missing.iter().map(|(queue, names)| {
                let names: Vec<_> = names.iter().map(ToString::to_string).collect();
                format!(
                    "policy {} does not hold for queue {} although it matches: it may have a key that queues of the type {} do not take",
                    names.join(" or "),
                    queue.name,
                    queue.kind
                )
            }));
            let mended = left
                .iter()
                .filter(|queue| !set_again && !missing.iter().any(|(other, _)| other == *queue));
            notes.extend(mended.map(|queue| {
                format!("no policy held for the new queue {}; it was set once more", queue.name)
            }));
            break;
        }
        for policy in declared(topology, &missing) {
            if again.insert(policy.name.clone()) {
                client.put_policy(policy).await?;
            }
        }
        left = missing.into_iter().map(|(queue, _)| queue).collect();
    }
    Ok(notes)
}

/// The policies that should hold and that the files declare.
fn declared<'t>(
    topology: &'t Topology,
    missing: &[(&Queue, BTreeSet<PolicyName>)],
) -> Vec<&'t Policy> {
    let names =
        missing.iter().flat_map(|(queue, names)| names.iter().map(|name| (&queue.vhost, name)));
    names
        .filter_map(|(vhost, name)| topology.policy(vhost, name))
        .filter(|policy| policy.managed)
        .collect()
}

/// The queues for which another policy holds than should, with those that should.
async fn unattached<'q>(
    client: &ManagementClient,
    queues: &[&'q Queue],
) -> Result<Vec<(&'q Queue, BTreeSet<PolicyName>)>, ManagementError> {
    let vhosts: BTreeSet<&VhostName> = queues.iter().map(|queue| &queue.vhost).collect();
    let mut policies = BTreeMap::new();
    let mut holding = BTreeMap::new();
    for vhost in vhosts {
        policies.extend(policies_of(vhost, client.policies(vhost).await?));
        for queue in client.effective_policies(vhost).await? {
            let Ok(name) = QueueName::new(queue.name) else { continue };
            holding.insert((vhost.clone(), name), queue.policy.unwrap_or_default());
        }
    }
    let mut expected = expected_policies(queues.iter().copied(), &policies);
    expected.retain(|(queue, names)| {
        // One that has gone meanwhile has no policy to miss.
        match holding.get(&(queue.vhost.clone(), queue.name.clone())) {
            Some(holds) => !names.is_empty() && !names.iter().any(|name| name.as_str() == holds),
            None => false,
        }
    });
    Ok(expected)
}
