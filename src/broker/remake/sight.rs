//! What is seen of a queue that is made anew, and of what stands around it.

use futures_util::try_join;

use super::refusal::RemakeError;
use crate::broker::declare::Declarer;
use crate::broker::management::{
    BindingInfo, ManagementClient, ManagementError, PolicyInfo, QueueInfo,
};
use crate::broker::observe::{binding_key, table};
use crate::model::{Destination, Pattern, Queue, QueueName, VhostName};
use crate::plan::{
    BindingKey, MigrationSight, ObservedQueue, Scaffold, queue_is_as_declared, redirect,
};

/// Settings of a policy that would lose what a temporary queue holds.
const HARMFUL: [&str; 4] = ["message-ttl", "expires", "max-length", "max-length-bytes"];

/// The sight, and what the queue is now.
pub(super) struct Looked {
    pub(super) sight: MigrationSight,
    pub(super) have: Option<ObservedQueue>,
}

/// Looks at the queue and its scaffold.
pub(super) async fn look(
    client: &ManagementClient,
    declarer: &Declarer,
    queue: &Queue,
    scaffold: &Scaffold,
) -> Result<Looked, RemakeError> {
    let vhost = &queue.vhost;
    let exchange = async |name| found(client.exchange(vhost, name).await);
    // Of a queue that is not there, some brokers list no bindings instead of saying so.
    let (info, leading, fork, aside, out, back, diverted, old, of_old, new, of_new) = try_join!(
        async { found(client.queue(vhost, &queue.name).await) },
        async { found(client.queue_bindings(vhost, &queue.name).await) },
        exchange(&scaffold.fork),
        exchange(&scaffold.aside),
        exchange(&scaffold.out),
        exchange(&scaffold.back),
        async { found(client.bindings_to_exchange(vhost, &scaffold.fork).await) },
        async { found(client.queue(vhost, &scaffold.old).await) },
        async { found(client.queue_bindings(vhost, &scaffold.old).await) },
        async { found(client.queue(vhost, &scaffold.new).await) },
        async { found(client.queue_bindings(vhost, &scaffold.new).await) },
    )?;
    let from = |bindings: &Option<Vec<BindingInfo>>, name: &str| {
        bindings.iter().flatten().any(|binding| binding.source == name)
    };
    let mut sight = MigrationSight {
        joined: from(&leading, scaffold.fork.as_str()),
        back: from(&leading, scaffold.back.as_str()),
        out: from(&of_old, scaffold.out.as_str()),
        fork: fork.is_some() && from(&of_new, scaffold.aside.as_str()),
        remains: fork.is_some()
            || aside.is_some()
            || out.is_some()
            || back.is_some()
            || old.is_some()
            || new.is_some(),
        ..MigrationSight::default()
    };
    let have = info.map(|info| {
        let QueueInfo { durable, auto_delete, arguments, .. } = info;
        ObservedQueue::new(durable, auto_delete, table(&arguments))
    });
    sight.queue = have.as_ref().map(|have| queue_is_as_declared(queue, have));
    let own = [scaffold.fork.as_str(), scaffold.back.as_str()];
    for binding in leading.into_iter().flatten() {
        if !binding.source.is_empty() && !own.contains(&binding.source.as_str()) {
            sight.direct.insert(legible(vhost, binding)?);
        }
    }
    for binding in diverted.into_iter().flatten() {
        let key = legible(vhost, binding)?;
        sight.diverted.insert(redirect(&key, Destination::Queue(queue.name.clone())));
    }
    let messages = async |name, there: bool| {
        if !there {
            return Ok::<_, RemakeError>(0);
        }
        Ok(declarer.usage(name).await?.map_or(0, |usage| usage.messages))
    };
    (sight.messages, sight.old, sight.new) = try_join!(
        messages(&queue.name, sight.queue.is_some()),
        messages(&scaffold.old, old.is_some()),
        messages(&scaffold.new, new.is_some()),
    )?;
    Ok(Looked { sight, have })
}

/// Refuses where a policy would take messages from a temporary queue. Which policy applies is not
/// asked of the broker, because it tells only some seconds after a queue was declared.
pub(super) async fn unlimited(
    client: &ManagementClient,
    vhost: &VhostName,
    scaffold: &Scaffold,
) -> Result<(), RemakeError> {
    let (policies, operators) = try_join!(client.policies(vhost), client.operator_policies(vhost))?;
    for name in scaffold.queues() {
        for policies in [&policies, &operators] {
            let Some(policy) = applied(policies, name) else { continue };
            let harm = |key: &&&str| policy.definition.get(key).is_some();
            if let Some(setting) = HARMFUL.iter().find(harm) {
                return Err(RemakeError::policy(&policy.name, setting, name));
            }
        }
    }
    Ok(())
}

/// The one of several policies that applies to a classic queue of that name. A pattern that cannot
/// be read here matches, to be on the safe side.
fn applied<'p>(policies: &'p [PolicyInfo], name: &QueueName) -> Option<&'p PolicyInfo> {
    let matches = |policy: &&PolicyInfo| {
        let kinds = [None, Some("all"), Some("queues"), Some("classic_queues")];
        kinds.contains(&policy.apply_to.as_deref())
            && Pattern::new(&policy.pattern)
                .map_or(true, |pattern| pattern.matches(name.as_str()) != Some(false))
    };
    policies.iter().filter(matches).max_by_key(|policy| policy.priority)
}

pub(super) fn found<T>(answer: Result<T, ManagementError>) -> Result<Option<T>, RemakeError> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(ManagementError::NotFound { .. }) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

pub(super) fn legible(vhost: &VhostName, info: BindingInfo) -> Result<BindingKey, RemakeError> {
    let (source, destination) = (info.source.clone(), info.destination.clone());
    binding_key(vhost, info).ok_or_else(|| RemakeError::binding(&source, &destination))
}
