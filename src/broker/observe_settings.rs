//! Reads vhosts, users, permissions, operator policies and parameters: one or two requests a kind,
//! however many there are.

use std::collections::BTreeMap;

use secrecy::SecretString;
use serde_json::Value;

use super::management::{ManagementClient, ManagementError};
use super::observe::table;
use super::scope::Scope;
use super::settings::{hint, map, tags};
use crate::model::{
    ArgValue, Arguments, BadName, ExchangeName, HashAlgorithm, LEDGERS, ParameterName,
    PasswordHash, PolicyName, SettingId, SettingKind, UserName, VhostName,
};
use crate::plan::{Observed, ObservedSetting, Unseen};

/// Components whose parameters have sections of their own in files.
const OWN_SECTIONS: [&str; 3] = ["policy", "operator_policy", "vhost-limits"];

/// Adds the settings of the kinds asked for. A kind that this user may not list is noted with the
/// mend; everything else that fails, fails.
pub(super) async fn observe_settings(
    observed: &mut Observed,
    scope: &Scope,
    client: &ManagementClient,
) -> Result<(), ManagementError> {
    for kind in &scope.kinds {
        match list(*kind, client).await {
            Ok(found) => observed.settings.extend(found.into_iter().filter(|(id, _)| {
                // Of what is in a vhost only where somebody looks; of vhosts all.
                matches!(id, SettingId::Vhost(_))
                    || id.vhost().is_none_or(|vhost| scope.vhosts.contains(vhost))
            })),
            Err(error @ ManagementError::Unauthorized { .. }) => {
                let hint = hint(*kind, &error).unwrap_or_default();
                observed.unseen.insert(*kind, Unseen { reason: error.to_string(), hint });
                if *kind == SettingKind::Vhost {
                    // Whoever may see into a vhost knows that it exists.
                    let seen: Vec<_> =
                        observed.exchanges.keys().map(|(vhost, _)| vhost.clone()).collect();
                    observed.settings.extend(
                        seen.into_iter()
                            .map(|vhost| (SettingId::Vhost(vhost), ObservedSetting::default())),
                    );
                }
            }
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

type Found = Vec<(SettingId, ObservedSetting)>;

async fn list(kind: SettingKind, client: &ManagementClient) -> Result<Found, ManagementError> {
    let all = async |section: &str| client.list(&[section.to_owned()]).await;
    Ok(match kind {
        SettingKind::Vhost => {
            let (vhosts, limits) = futures_util::try_join!(all("vhosts"), all("vhost-limits"))?;
            let mut found = each(&vhosts, vhost);
            add_limits(&mut found, &limits, "vhost");
            found
        }
        SettingKind::User => {
            let (users, limits) = futures_util::try_join!(all("users"), all("user-limits"))?;
            let mut found = each(&users, user);
            add_limits(&mut found, &limits, "user");
            found
        }
        SettingKind::Permission => each(&all("permissions").await?, permission),
        SettingKind::TopicPermission => each(&all("topic-permissions").await?, topic_permission),
        SettingKind::OperatorPolicy => each(&all("operator-policies").await?, operator_policy),
        SettingKind::GlobalParameter => each(&all("global-parameters").await?, global_parameter),
        SettingKind::Parameter => each(&all("parameters").await?, parameter),
    })
}

/// What the answers say, in our words. What no file can name is left out.
fn each(answers: &[Value], read: fn(&Value) -> Read) -> Found {
    answers.iter().filter_map(|answer| read(answer).ok().flatten()).collect()
}

/// A setting, unless it has no name or is not for files to set.
type Read = Result<Option<(SettingId, ObservedSetting)>, BadName>;

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn texts(value: &Value, keys: &[&str]) -> Arguments {
    keys.iter().map(|key| ((*key).to_owned(), ArgValue::Str(text(value, key).into()))).collect()
}

fn known(id: SettingId, attributes: Arguments) -> (SettingId, ObservedSetting) {
    (id, ObservedSetting { attributes, hash: None })
}

fn vhost(value: &Value) -> Read {
    let metadata = &value["metadata"];
    let either = |key: &str| match &value[key] {
        Value::Null => metadata[key].clone(),
        found => found.clone(),
    };
    let description = either("description").as_str().unwrap_or_default().to_owned();
    let mut attributes = Arguments::from([
        ("description".into(), ArgValue::Str(description)),
        ("tags".into(), tags(&either("tags"))),
    ]);
    if let Some(kind) =
        either("default_queue_type").as_str().filter(|kind| !matches!(*kind, "" | "undefined"))
    {
        attributes.insert("default_queue_type".into(), ArgValue::Str(kind.into()));
    }
    Ok(Some(known(SettingId::Vhost(VhostName::new(text(value, "name"))?), attributes)))
}

fn user(value: &Value) -> Read {
    let algorithm = text(value, "hashing_algorithm");
    let hash = PasswordHash {
        text: SecretString::from(text(value, "password_hash")),
        algorithm: HashAlgorithm::ALL.into_iter().find(|known| known.module() == algorithm),
    };
    let attributes = Arguments::from([("tags".into(), tags(&value["tags"]))]);
    let id = SettingId::User(UserName::new(text(value, "name"))?);
    Ok(Some((id, ObservedSetting { attributes, hash: Some(hash) })))
}

/// `max-queues` of the API is `max_queues` in files.
fn add_limits(found: &mut Found, limits: &[Value], owner: &str) {
    let limits: BTreeMap<&str, &Value> =
        limits.iter().map(|limit| (text(limit, owner), &limit["value"])).collect();
    for (id, setting) in found {
        let Some(limits) = limits.get(id.to_string().as_str()) else { continue };
        for (name, most) in map(limits) {
            // A negative limit is none.
            if let Some(most) = most.as_i64().filter(|most| *most >= 0) {
                setting.attributes.insert(name.replace('-', "_"), ArgValue::Int(most));
            }
        }
    }
}

fn permission(value: &Value) -> Read {
    let id = SettingId::Permission(
        VhostName::new(text(value, "vhost"))?,
        UserName::new(text(value, "user"))?,
    );
    Ok(Some(known(id, texts(value, &["configure", "write", "read"]))))
}

fn topic_permission(value: &Value) -> Read {
    let id = SettingId::TopicPermission(
        VhostName::new(text(value, "vhost"))?,
        UserName::new(text(value, "user"))?,
        ExchangeName::new(text(value, "exchange"))?,
    );
    Ok(Some(known(id, texts(value, &["write", "read"]))))
}

fn operator_policy(value: &Value) -> Read {
    let id = SettingId::OperatorPolicy(
        VhostName::new(text(value, "vhost"))?,
        PolicyName::new(text(value, "name"))?,
    );
    let mut attributes = table(&value["definition"]);
    let apply_to = value["apply-to"].as_str().unwrap_or("all");
    attributes.insert("pattern".into(), ArgValue::Str(text(value, "pattern").into()));
    attributes.insert("apply_to".into(), ArgValue::Str(apply_to.into()));
    let priority = value["priority"].as_i64().unwrap_or_default();
    attributes.insert("priority".into(), ArgValue::Int(priority));
    Ok(Some(known(id, attributes)))
}

fn global_parameter(value: &Value) -> Read {
    let name = text(value, "name");
    if name.starts_with(LEDGERS) {
        return Ok(None);
    }
    Ok(Some(known(SettingId::GlobalParameter(ParameterName::new(name)?), opaque(&value["value"]))))
}

fn parameter(value: &Value) -> Read {
    let component = text(value, "component");
    if OWN_SECTIONS.contains(&component) {
        return Ok(None);
    }
    let id = SettingId::Parameter(
        VhostName::new(text(value, "vhost"))?,
        ParameterName::new(component)?,
        ParameterName::new(text(value, "name"))?,
    );
    Ok(Some(known(id, opaque(&value["value"]))))
}

/// A value that only a component understands; one that no file can spell is kept as its JSON text.
fn opaque(value: &Value) -> Arguments {
    match value {
        Value::Object(_) => table(value),
        other => crate::model::value_attributes(
            &ArgValue::from_json(other).unwrap_or_else(|| ArgValue::Str(other.to_string())),
        ),
    }
}
