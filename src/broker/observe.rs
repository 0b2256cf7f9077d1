//! What is on the broker, through the management API or, where that is shut, over AMQP.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::{StreamExt, TryStreamExt, stream};
use serde_json::Value;

use super::amqp::{ConnectError, ConnectErrorKind};
use super::declare::{CONCURRENCY, DeclareError};
use super::management::{
    BindingInfo, Definitions, ExchangeInfo, ManagementClient, ManagementError, Overview,
    PolicyInfo, QueueInfo,
};
use super::observe_settings::observe_settings;
use super::scope::Scope;
use super::unfinished;
use super::wires::Wires;
use crate::model::{
    ArgValue, Arguments, Binding, Desired, Destination, ExchangeName, OnRemove, Origin, PolicyName,
    QueueName, RoutingKey, Setting, SettingId, Topology, VhostName,
};
use crate::plan::{
    BindingKey, BrokerIdentity, Gap, Observed, ObservedExchange, ObservedPolicy, ObservedQueue,
    ObservedSetting, ResourceId, Seen, Subject, Unseen,
};

/// Vhosts asked for at once.
const VHOSTS_AT_ONCE: usize = 8;

/// What gives a user access to a vhost.
const LET_IN: &str = "rabbitmqctl set_permissions -p NAME USER '.*' '.*' '.*'";

/// Why the broker could not be observed at all.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObserveError {
    /// The management API answered, and not with what was asked for.
    #[error("cannot observe the broker: {0}")]
    Management(ManagementError),
    /// Over AMQP it did not work either.
    #[error("cannot observe the broker over AMQP: {error} (and {management})")]
    Declare {
        /// What AMQP said.
        error: DeclareError,
        /// Why it had to be AMQP.
        management: String,
    },
    /// A ledger of who owns what is there and cannot be understood.
    #[error("{0}")]
    Ledger(String),
    /// How much the queues that would be deleted are used could not be found out.
    #[error("cannot look at the queues that would be deleted: {0}")]
    Usage(String),
    /// There was no AMQP connection to fall back to.
    #[error("cannot observe the broker: {management}; and {connect}")]
    NoWay {
        /// Why not the management API.
        management: String,
        /// Why not AMQP.
        connect: ConnectError,
    },
}

impl ObserveError {
    /// The mend, where there is one to give.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Management(ManagementError::NotFound { what }) if what.starts_with("vhost") => {
                // From 4.3 the API says the same to a user without permissions in a vhost that exists.
                Some(format!(
                    "create it with `rabbitmqctl add_vhost NAME`; if it exists, let this user in: `{LET_IN}`"
                ))
            }
            Self::Management(error) => error.hint(),
            Self::Declare { error, .. } => error.hint().map(str::to_owned),
            Self::Ledger(_) => {
                Some("a later version of warrener may have written it: use that one".into())
            }
            Self::NoWay { connect, .. } if connect.detail.contains("access to vhost") => {
                Some(format!("let this user in: `{LET_IN}`"))
            }
            Self::NoWay { connect, .. } => Some(connect.hint().into()),
            Self::Usage(_) => None,
        }
    }
}

/// The broker as seen.
#[derive(Debug)]
pub struct Sight {
    /// What there is.
    pub observed: Observed,
    /// Whether the management API was used, so that it can be used to apply.
    pub through_management: bool,
}

/// Observes what is in the scope and the home of the stack through the management API, or the
/// topology over AMQP where that is off, silent or refuses the user.
pub async fn look(
    desired: &Desired,
    management: Option<&ManagementClient>,
    wires: &Wires,
) -> Result<Sight, ObserveError> {
    let Desired { topology, broker, .. } = desired;
    let home = &broker.vhost;
    let (reason, hint) = match management {
        None => (
            "the management API is switched off".to_owned(),
            "give its address as `broker.management`".to_owned(),
        ),
        Some(client) => match observe(&Scope::of(topology).and(home), client).await {
            // A home that is not there is made where the files have it.
            Ok(mut observed) if observed.vhosts.contains(home) || topology.makes(home) => {
                unfinished::forget(&mut observed, topology, home);
                return Ok(Sight { observed, through_management: true });
            }
            Ok(_) => {
                let what = format!("vhost `{home}`");
                return Err(ObserveError::Management(ManagementError::NotFound { what }));
            }
            Err(error) if error.is_shut() => (error.to_string(), error.hint().unwrap_or_default()),
            Err(error) => return Err(ObserveError::Management(error)),
        },
    };
    let gap = |subjects| Gap { subjects, reason: reason.clone(), hint };
    let observed = observe_over_amqp(topology, home, wires, gap).await;
    let observed = observed.map_err(|error| match error {
        OverAmqp::Connect(connect) => ObserveError::NoWay { management: reason, connect },
        OverAmqp::Declare(error) => ObserveError::Declare { error, management: reason },
    })?;
    Ok(Sight { observed, through_management: false })
}

/// Observes what is in the scope through the management API: one request for the broker, two a
/// vhost, or five for a user who is no administrator, and one or two a kind of setting. A vhost that
/// does not exist has nothing in it.
pub async fn observe(
    scope: &Scope,
    client: &ManagementClient,
) -> Result<Observed, ManagementError> {
    let Overview { cluster_name, rabbitmq_version, exchange_types } =
        client.overview().await.map_err(|error| not_the_api(client, error))?;
    let mut observed = Observed {
        broker: BrokerIdentity { cluster: cluster_name, version: rabbitmq_version },
        exchange_types: exchange_types
            .map(|types| types.into_iter().map(|kind| kind.name).collect()),
        bindings: Some(BTreeSet::new()),
        policies: Some(BTreeMap::new()),
        ..Observed::default()
    };
    let mut answers = stream::iter(&scope.vhosts)
        .map(async |vhost| {
            let answers =
                futures_util::try_join!(client.exchanges(vhost), definitions(client, vhost));
            match answers {
                Ok(answers) => Ok(Some((vhost, answers))),
                Err(ManagementError::NotFound { .. }) => Ok(None),
                Err(error) => Err(error),
            }
        })
        .buffer_unordered(VHOSTS_AT_ONCE);
    while let Some(answer) = answers.try_next().await? {
        if let Some((vhost, (exchanges, definitions))) = answer {
            observed.vhosts.insert(vhost.clone());
            add_vhost(&mut observed, vhost, exchanges, definitions);
        }
    }
    observe_settings(&mut observed, scope, client).await?;
    Ok(observed)
}

/// Whatever listens on the management port of a broker without management is no management API.
fn not_the_api(client: &ManagementClient, error: ManagementError) -> ManagementError {
    match error {
        ManagementError::NotFound { .. } | ManagementError::Other { status: 200..=399, .. } => {
            ManagementError::Unreachable {
                url: client.url().into(),
                reason: "what answers there is not the management API".into(),
            }
        }
        error => error,
    }
}

async fn definitions(
    client: &ManagementClient,
    vhost: &VhostName,
) -> Result<Definitions, ManagementError> {
    match client.definitions(vhost).await {
        Err(ManagementError::Unauthorized { .. }) => {
            let (queues, bindings, policies) = futures_util::try_join!(
                client.queues(vhost),
                client.bindings(vhost),
                client.policies(vhost)
            )?;
            Ok(Definitions { queues, bindings, policies })
        }
        answer => answer,
    }
}

/// What the answers say, in our words. An object whose name no file can spell is left out: nothing
/// desired can be equal to it.
pub(super) fn add_vhost(
    observed: &mut Observed,
    vhost: &VhostName,
    exchanges: Vec<ExchangeInfo>,
    Definitions { queues, bindings, policies }: Definitions,
) {
    observed.exchanges.extend(exchanges.into_iter().filter_map(|info| {
        let ExchangeInfo { name, kind, durable, auto_delete, internal, arguments } = info;
        let name = ExchangeName::new(name).ok()?;
        let arguments = table(&arguments);
        let exchange = ObservedExchange { kind, durable, auto_delete, internal, arguments };
        Some(((vhost.clone(), name), Seen::Whole(exchange)))
    }));
    observed.queues.extend(queues.into_iter().filter_map(|info| {
        let QueueInfo { name, durable, auto_delete, exclusive, arguments, .. } = info;
        let name = QueueName::new(name).ok().filter(|_| exclusive != Some(true))?;
        let queue = ObservedQueue::new(durable, auto_delete, table(&arguments));
        Some(((vhost.clone(), name), Seen::Whole(queue)))
    }));
    for info in bindings.into_iter().filter(|info| !info.source.is_empty()) {
        let ends = ends(vhost, &info);
        match (binding_key(vhost, info), &mut observed.bindings) {
            (Some(key), Some(known)) => drop(known.insert(key)),
            _ => observed.illegible.extend(ends),
        }
    }
    if let Some(known) = &mut observed.policies {
        known.extend(policies_of(vhost, policies));
    }
}

/// The policies of a vhost in our words.
pub(super) fn policies_of(
    vhost: &VhostName,
    policies: Vec<PolicyInfo>,
) -> impl Iterator<Item = ((VhostName, PolicyName), ObservedPolicy)> {
    policies.into_iter().filter_map(move |info| {
        let PolicyInfo { name, pattern, apply_to, priority, definition } = info;
        let apply_to = apply_to.unwrap_or_else(|| "all".into());
        let definition = table(&definition);
        let policy = ObservedPolicy { pattern, apply_to, priority, definition };
        Some(((vhost.clone(), PolicyName::new(name).ok()?), policy))
    })
}

/// The exchange and the queue or exchange that a binding joins, as far as files can name them.
fn ends(vhost: &VhostName, info: &BindingInfo) -> Vec<ResourceId> {
    let exchange =
        |name| ExchangeName::new(name).ok().map(|name| ResourceId::Exchange(vhost.clone(), name));
    let destination = match info.destination_type.as_str() {
        "exchange" => exchange(&info.destination),
        _ => QueueName::new(&info.destination)
            .ok()
            .map(|name| ResourceId::Queue(vhost.clone(), name)),
    };
    exchange(&info.source).into_iter().chain(destination).collect()
}

pub(super) fn binding_key(vhost: &VhostName, info: BindingInfo) -> Option<BindingKey> {
    let arguments = match &info.arguments {
        // A value that no file can spell, such as AMQP's void, makes it a binding that no file has.
        Value::Object(_) => match ArgValue::from_json(&info.arguments)? {
            ArgValue::Map(arguments) => arguments,
            _ => return None,
        },
        _ => Arguments::new(),
    };
    Some(BindingKey::from(&Binding {
        vhost: vhost.clone(),
        source: ExchangeName::new(info.source).ok()?,
        destination: match info.destination_type.as_str() {
            "exchange" => Destination::Exchange(ExchangeName::new(info.destination).ok()?),
            _ => Destination::Queue(QueueName::new(info.destination).ok()?),
        },
        routing_key: RoutingKey::new(info.routing_key).ok()?,
        arguments,
        managed: true,
        on_remove: OnRemove::Delete,
        origin: Origin::default(),
    }))
}

/// Arguments from JSON. The broker writes no arguments as `[]` in places; a value that no file can
/// spell is kept as its JSON text, so that it differs from everything a file can say.
pub(super) fn table(value: &Value) -> Arguments {
    let Value::Object(values) = value else { return Arguments::new() };
    values
        .iter()
        .map(|(key, value)| {
            let value =
                ArgValue::from_json(value).unwrap_or_else(|| ArgValue::Str(value.to_string()));
            (key.clone(), value)
        })
        .collect()
}

/// What over AMQP did not work.
enum OverAmqp {
    Connect(ConnectError),
    Declare(DeclareError),
}

/// Finds out over AMQP which of the topology's vhosts, exchanges and queues exist. The rest cannot
/// be known that way; `gap` is given what that is, where the topology asks for any of it.
async fn observe_over_amqp(
    topology: &Topology,
    home: &VhostName,
    wires: &Wires,
    gap: impl FnOnce(BTreeSet<Subject>) -> Gap,
) -> Result<Observed, OverAmqp> {
    let mut declarers = BTreeMap::new();
    for vhost in Scope::of(topology).and(home).vhosts {
        match wires.to(&vhost).await {
            Ok(declarer) => drop(declarers.insert(vhost, declarer)),
            Err(error) if vhost != *home && error.kind == ConnectErrorKind::Vhost => {}
            Err(error) => return Err(OverAmqp::Connect(error)),
        }
    }
    // Bound exchanges that no file declares are the broker's own and always exist.
    let own = topology
        .bindings()
        .filter(|binding| binding.source.is_reserved())
        .map(|binding| ((binding.vhost.clone(), binding.source.clone()), Seen::NameOnly));
    let exchanges = stream::iter(topology.exchanges())
        .map(async |exchange| {
            let Some(declarer) = declarers.get(&exchange.vhost) else { return Ok(None) };
            let found = declarer.has_exchange(&exchange.name).await?;
            Ok(found.then(|| ((exchange.vhost.clone(), exchange.name.clone()), Seen::NameOnly)))
        })
        .buffer_unordered(CONCURRENCY)
        .try_filter_map(async |found| Ok(found))
        .try_collect::<BTreeMap<_, _>>()
        .await
        .map_err(OverAmqp::Declare)?;
    let queues = stream::iter(topology.queues())
        .map(async |queue| {
            let Some(declarer) = declarers.get(&queue.vhost) else { return Ok(None) };
            let found = declarer.has_queue(&queue.name).await?;
            Ok(found.then(|| ((queue.vhost.clone(), queue.name.clone()), Seen::NameOnly)))
        })
        .buffer_unordered(CONCURRENCY)
        .try_filter_map(async |found| Ok(found))
        .try_collect::<BTreeMap<_, _>>()
        .await
        .map_err(OverAmqp::Declare)?;
    let mut subjects = BTreeSet::new();
    if !exchanges.is_empty() || !queues.is_empty() {
        subjects.insert(Subject::Attributes);
    }
    if topology.bindings().len() > 0 {
        subjects.insert(Subject::Bindings);
    }
    if topology.policies().len() > 0 {
        subjects.insert(Subject::Policies);
    }
    if topology.settings().len() > 0 {
        subjects.insert(Subject::Settings);
    }
    let gap = (!subjects.is_empty()).then(|| gap(subjects));
    let unseen = gap.iter().flat_map(|gap| {
        let Gap { reason, hint, .. } = gap.clone();
        let kinds = topology.settings().map(Setting::kind).collect::<BTreeSet<_>>();
        kinds
            .into_iter()
            .map(move |kind| (kind, Unseen { reason: reason.clone(), hint: hint.clone() }))
    });
    let unseen = unseen.collect();
    let vhosts: BTreeSet<_> = declarers.into_keys().collect();
    let settings =
        vhosts.iter().map(|vhost| (SettingId::Vhost(vhost.clone()), ObservedSetting::default()));
    Ok(Observed {
        exchanges: own.chain(exchanges).collect(),
        queues,
        settings: settings.collect(),
        unseen,
        vhosts,
        gap,
        ..Observed::default()
    })
}
