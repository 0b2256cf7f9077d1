//! What a broker has, in its own words.

use serde_json::{Map, Value, json};

use super::management::{ManagementClient, ManagementError};
use crate::model::VhostName;

/// The keys of listed queues that definitions have as well; the others are statistics.
const QUEUE_KEYS: [&str; 7] =
    ["name", "vhost", "type", "durable", "auto_delete", "exclusive", "arguments"];

/// A broker, or a vhost of it, in the broker's own words.
#[derive(Clone, Debug)]
pub struct Export {
    /// Its definitions.
    pub definitions: Value,
    /// All of its exchanges; definitions lack the internal ones since RabbitMQ 4.3.3.
    pub exchanges: Vec<Value>,
}

/// Reads the whole broker. Administrators only.
pub async fn export_all(client: &ManagementClient) -> Result<Export, ManagementError> {
    let (mut definitions, exchanges, vhosts) = futures_util::try_join!(
        client.definitions_json(None),
        client.listing("exchanges", None),
        client.listing("vhosts", None)
    )?;
    if let Some(Value::Array(entries)) = definitions.get_mut("vhosts") {
        for entry in entries {
            if let Some(about) = vhosts.iter().find(|about| about["name"] == entry["name"]) {
                add_about(entry, about);
            }
        }
    }
    Ok(Export { definitions, exchanges })
}

/// What is said of a vhost, which definitions lack before RabbitMQ 3.12.
fn add_about(definitions: &mut Value, about: &Value) {
    let Value::Object(entry) = definitions else { return };
    for key in ["description", "tags"] {
        let said = entry.get(key).or_else(|| entry.get("metadata")?.get(key));
        if said.is_none() && !about[key].is_null() {
            entry.insert(key.to_owned(), about[key].clone());
        }
    }
}

/// Reads a vhost: its definitions and its exchanges or, for a user who is no administrator, what
/// that user can list.
pub async fn export(
    client: &ManagementClient,
    vhost: &VhostName,
) -> Result<Export, ManagementError> {
    let exchanges = client.listing("exchanges", Some(vhost)).await?;
    let definitions = match client.definitions_json(Some(vhost)).await {
        Err(ManagementError::Unauthorized { .. }) => listed(client, vhost).await?,
        answer => {
            let mut definitions = answer?;
            add_about(&mut definitions, &client.vhost_json(vhost).await?);
            definitions
        }
    };
    Ok(Export { definitions, exchanges })
}

async fn listed(client: &ManagementClient, vhost: &VhostName) -> Result<Value, ManagementError> {
    let (overview, queues, bindings, policies) = futures_util::try_join!(
        client.overview(),
        client.listing("queues", Some(vhost)),
        client.listing("bindings", Some(vhost)),
        client.listing("policies", Some(vhost))
    )?;
    let queues: Vec<_> = queues
        .into_iter()
        .map(|queue| match queue {
            Value::Object(keys) => Value::Object(
                keys.into_iter()
                    .filter(|(key, _)| QUEUE_KEYS.contains(&key.as_str()))
                    .collect::<Map<_, _>>(),
            ),
            other => other,
        })
        .collect();
    Ok(json!({
        "rabbitmq_version": overview.rabbitmq_version,
        "queues": queues,
        "bindings": bindings,
        "policies": policies,
    }))
}
