//! Vhosts, users, permissions, operator policies and parameters, through the management API.

use serde_json::{Map, Value, json};

use super::management::{ManagementClient, ManagementError};
use super::unfinished;
use crate::model::{
    ArgValue, BrokerLimits, Credential, Setting, SettingId, SettingKind, TopicPermission,
    USER_LIMITS, User, UserName, VHOST_LIMITS, Vhost, VhostName,
};
use crate::plan::{Action, Change};
use secrecy::ExposeSecret;

/// The mend for a user who may not see or set settings of a kind.
pub(super) fn hint(kind: SettingKind, error: &ManagementError) -> Option<String> {
    let ManagementError::Unauthorized { user, .. } = error else {
        return match error {
            // What brokers say of the parameters of a plugin that is not there.
            ManagementError::Refused { reason, .. } if reason.contains("component") => {
                Some("enable the plugin that brings this component on every node".into())
            }
            ManagementError::Refused { reason, .. } if reason.contains("user_not_found") => Some(
                "there is no such user: declare it under `users`, or have it created first".into(),
            ),
            ManagementError::Other { status: 412, .. } => {
                Some("the broker protects it from deletion: lift that first, if it shall go".into())
            }
            _ => error.hint(),
        };
    };
    let (tag, more) = match kind {
        SettingKind::Parameter => ("policymaker", " and permissions on the vhost"),
        SettingKind::GlobalParameter => ("policymaker", ""),
        _ => ("administrator", ""),
    };
    Some(format!(
        "{} need the tag `{tag}`{more}: `rabbitmqctl set_user_tags {user} {tag}`",
        kind.plural()
    ))
}

/// Makes a setting what a step wants.
pub(super) async fn put(
    client: &ManagementClient,
    setting: &Setting,
    change: &Change,
) -> Result<(), ManagementError> {
    let differs = |attribute: &str| {
        change.action == Action::Create
            || change.differences.iter().any(|differing| differing.attribute == attribute)
    };
    let id = setting.id();
    match setting {
        Setting::Vhost(vhost) => {
            let body = body_of_vhost(client, vhost, change.action).await?;
            if change.action == Action::Create {
                unfinished::create(client, &vhost.name, &body).await?;
            } else if ["description", "tags", "default_queue_type"].into_iter().any(differs) {
                client.put_vhost(&vhost.name, &body).await?;
            }
            limits(client, "vhost-limits", &id, VHOST_LIMITS, &vhost.limits, differs).await
        }
        Setting::User(user) => {
            if ["password", "tags"].into_iter().any(differs) {
                let body = body_of_user(client, user, change.action, differs("password")).await?;
                client.put(&path(&id), &body).await?;
            }
            limits(client, "user-limits", &id, USER_LIMITS, &user.limits, differs).await
        }
        Setting::Permission(it) => {
            let body = json!({"configure": it.configure, "write": it.write, "read": it.read});
            client.put(&path(&id), &body).await
        }
        Setting::TopicPermission(it) => client.put(&path(&id), &body_of_topic(it)).await,
        Setting::OperatorPolicy(it) => {
            let body = json!({
                "pattern": it.pattern,
                "apply-to": it.apply_to.as_str(),
                "priority": it.priority,
                "definition": ArgValue::Map(it.definition.clone()).to_json(),
            });
            client.put(&path(&id), &body).await
        }
        Setting::GlobalParameter(it) => {
            let body = json!({"name": it.name, "value": it.value.to_json()});
            client.put(&path(&id), &body).await
        }
        Setting::Parameter(it) => {
            let body = json!({
                "vhost": it.vhost,
                "component": it.component,
                "name": it.name,
                "value": it.value.to_json(),
            });
            client.put(&path(&id), &body).await
        }
    }
}

/// Gives a user all permissions in a vhost.
pub(super) async fn let_in(
    client: &ManagementClient,
    vhost: &VhostName,
    user: &UserName,
) -> Result<(), ManagementError> {
    let id = SettingId::Permission(vhost.clone(), user.clone());
    client.put(&path(&id), &json!({"configure": ".*", "write": ".*", "read": ".*"})).await
}

/// Deletes a setting. What is not there any more is as it should be.
pub(super) async fn delete(
    client: &ManagementClient,
    id: &SettingId,
) -> Result<(), ManagementError> {
    let deleted = match id {
        SettingId::TopicPermission(..) => delete_topic_permission(client, id).await,
        SettingId::Vhost(vhost) => client.delete_vhost(vhost).await,
        _ => client.delete(&path(id)).await,
    };
    match deleted {
        Err(ManagementError::NotFound { .. }) => Ok(()),
        other => other,
    }
}

/// The API deletes only all topic permissions of a user in a vhost, so the others are set again.
async fn delete_topic_permission(
    client: &ManagementClient,
    id: &SettingId,
) -> Result<(), ManagementError> {
    let SettingId::TopicPermission(_, _, exchange) = id else { return Ok(()) };
    let all: Vec<Value> = client.list(&path(id)).await?;
    client.delete(&path(id)).await?;
    for other in all.iter().filter(|other| other["exchange"] != exchange.as_str()) {
        client.put(&path(id), other).await?;
    }
    Ok(())
}

fn path(id: &SettingId) -> Vec<String> {
    let parts = |parts: &[&dyn std::fmt::Display]| parts.iter().map(ToString::to_string).collect();
    match id {
        SettingId::Vhost(name) => parts(&[&"vhosts", name]),
        SettingId::User(name) => parts(&[&"users", name]),
        SettingId::Permission(vhost, user) => parts(&[&"permissions", vhost, user]),
        SettingId::TopicPermission(vhost, user, _) => parts(&[&"topic-permissions", vhost, user]),
        SettingId::OperatorPolicy(vhost, name) => parts(&[&"operator-policies", vhost, name]),
        SettingId::GlobalParameter(name) => parts(&[&"global-parameters", name]),
        SettingId::Parameter(vhost, component, name) => {
            parts(&[&"parameters", component, vhost, name])
        }
    }
}

/// The broker blanks what is left out, so a default queue type that no file declares is sent again.
async fn body_of_vhost(
    client: &ManagementClient,
    vhost: &Vhost,
    action: Action,
) -> Result<Value, ManagementError> {
    let tags: Vec<_> = vhost.tags.iter().cloned().collect();
    let mut body = json!({"description": vhost.description, "tags": tags.join(",")});
    let kind = match vhost.default_queue_type {
        Some(kind) => Some(kind.as_str().to_owned()),
        None if action == Action::Create => None,
        None => {
            let now: Value = client.read(&path(&SettingId::Vhost(vhost.name.clone()))).await?;
            now["default_queue_type"]
                .as_str()
                .filter(|kind| *kind != "undefined")
                .map(str::to_owned)
        }
    };
    if let Some(kind) = kind {
        body["default_queue_type"] = kind.into();
    }
    Ok(body)
}

/// The broker clears a password that is left out, so one that stays is sent again as its hash.
async fn body_of_user(
    client: &ManagementClient,
    user: &User,
    action: Action,
    another_password: bool,
) -> Result<Value, ManagementError> {
    let tags: Vec<_> = user.tags.iter().cloned().collect();
    let mut body = json!({"tags": tags.join(",")});
    match &user.credential {
        Credential::Password(password) if another_password => {
            body["password"] = password.expose_secret().into();
        }
        Credential::Hash(hash) if another_password => {
            body["password_hash"] = hash.text.expose_secret().into();
            if let Some(algorithm) = hash.algorithm {
                body["hashing_algorithm"] = algorithm.module().into();
            }
        }
        _ if action == Action::Create => body["password_hash"] = "".into(),
        _ => {
            let now: Value = client.read(&path(&SettingId::User(user.name.clone()))).await?;
            for key in ["password_hash", "hashing_algorithm"] {
                body[key] = now[key].clone();
            }
        }
    }
    Ok(body)
}

fn body_of_topic(it: &TopicPermission) -> Value {
    json!({"exchange": it.exchange, "write": it.write, "read": it.read})
}

/// Sets the limits that differ, and clears those that are no more.
async fn limits(
    client: &ManagementClient,
    section: &str,
    id: &SettingId,
    names: &[&str],
    wanted: &BrokerLimits,
    differs: impl Fn(&str) -> bool,
) -> Result<(), ManagementError> {
    for name in names.iter().filter(|name| differs(&name.replace('-', "_"))) {
        let path = [section.to_owned(), id.to_string(), (*name).to_owned()];
        match wanted.get(*name) {
            Some(most) => client.put(&path, &json!({"value": most})).await?,
            None => match client.delete(&path).await {
                Ok(()) | Err(ManagementError::NotFound { .. }) => {}
                Err(error) => return Err(error),
            },
        }
    }
    Ok(())
}

/// Tags as the API gives them: a list, or a text with commas in old versions.
pub(super) fn tags(value: &Value) -> ArgValue {
    let mut tags: Vec<String> = match value {
        Value::Array(tags) => tags.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Value::String(tags) => tags.split(',').map(str::trim).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    tags.retain(|tag| !tag.is_empty());
    tags.sort();
    ArgValue::List(tags.into_iter().map(ArgValue::Str).collect())
}

/// A map of the API; the broker writes an empty one as `[]`.
pub(super) fn map(value: &Value) -> Map<String, Value> {
    value.as_object().cloned().unwrap_or_default()
}
