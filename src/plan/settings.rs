//! Vhosts, users, permissions, operator policies and parameters: what is to be done about each, and
//! what would lock warrener itself out.

use std::collections::BTreeSet;

use super::change::{Action, Change, Target};
use super::observed::{Observed, ObservedSetting};
use super::{compare, diff};
use crate::model::{
    ApplyTo, ArgValue, Arguments, BrokerLimits, Credential, GlobalParameter, OnRemove, Origin,
    Parameter, Permission, Policy, Setting, SettingId, TopicPermission, User, Vhost,
};

/// Tags without which a user of the management API can do less or nothing there.
const POWERS: [&str; 4] = ["administrator", "policymaker", "monitoring", "management"];

/// What it takes to make a setting what the files say.
pub(super) fn setting(want: &Setting, observed: &Observed) -> Option<Change> {
    let target = Target::Setting(want.clone());
    let id = want.id();
    let have = observed.settings.get(&id);
    if !want.managed() && have.is_some() {
        return None;
    }
    if let Some(unseen) = observed.unseen.get(&want.kind()) {
        let kinds = want.kind().plural();
        let reason = format!("{kinds} can be neither seen nor set: {}", unseen.reason);
        let hint = Some(unseen.hint.clone());
        return Some(Change { hint, ..diff::conflict(target, reason) });
    }
    let Some(have) = have else {
        return Some(if want.managed() { diff::create(target) } else { diff::must_exist(target) });
    };
    let mut differences = compare::setting(want, have);
    if matches!(want, Setting::Vhost(_)) && !observed.tells_default_queue_type() {
        differences.retain(|differing| differing.attribute != "default_queue_type");
    }
    if differences.is_empty() {
        return None;
    }
    let lockout = lockout(want, have, observed);
    let change = Change {
        before: Some(compare::setting_json(&id, &have.attributes)),
        ..diff::differing(target, differences)
    };
    Some(match lockout {
        Some(reason) => Change {
            reason,
            hint: Some(
                "do it as another user, and then let the address of the broker say the same; or leave this user to others: `manage: false`".into(),
            ),
            differences: Vec::new(),
            ..change
        },
        None => Change { action: Action::Update, ..change },
    })
}

/// Why a change would keep warrener itself from coming back; `None` where it would not.
fn lockout(want: &Setting, have: &ObservedSetting, observed: &Observed) -> Option<String> {
    let id = want.id();
    let user = id.user().filter(|user| observed.ourselves.contains(*user))?;
    match want {
        Setting::User(wanted) => {
            let lost: Vec<_> = POWERS
                .into_iter()
                .filter(|tag| has_tag(&have.attributes, tag) && !wanted.tags.contains(*tag))
                .collect();
            if !lost.is_empty() {
                return Some(format!(
                    "warrener itself is user `{user}` and would lose the tag `{}`",
                    lost.join("`, `")
                ));
            }
            if have.hash.as_ref().is_some_and(|hash| !wanted.credential.agrees_with(hash)) {
                return Some(format!(
                    "warrener itself is user `{user}` and could not log in with the other password"
                ));
            }
            wanted.limits.values().any(|most| *most == 0).then(|| {
                format!("warrener itself is user `{user}` and could not connect with a limit of 0")
            })
        }
        Setting::Permission(wanted) => {
            let all = [
                ("configure", &wanted.configure),
                ("write", &wanted.write),
                ("read", &wanted.read),
            ];
            let taken = all.into_iter().find(|(key, pattern)| {
                let had = have.attributes.get(*key).and_then(ArgValue::as_str);
                nothing(pattern) && !had.is_none_or(nothing)
            });
            taken.map(|(key, _)| {
                format!("warrener itself is user `{user}` and would lose the permission `{key}`")
            })
        }
        _ => None,
    }
}

/// Whether a permission allows nothing.
fn nothing(pattern: &str) -> bool {
    matches!(pattern, "" | "^$")
}

fn has_tag(attributes: &Arguments, tag: &str) -> bool {
    matches!(attributes.get("tags"), Some(ArgValue::List(tags))
        if tags.iter().any(|found| found.as_str() == Some(tag)))
}

/// Why a setting that the stack owns and no longer declares must stay whatever anybody agrees to.
pub(super) fn indispensable(id: &SettingId, observed: &Observed) -> Option<String> {
    if let SettingId::Vhost(name) = id
        && observed.home.as_ref() == Some(name)
    {
        return Some("it is the vhost of the broker's address".into());
    }
    let user = id.user().filter(|user| observed.ourselves.contains(*user))?;
    Some(match id {
        SettingId::User(_) => format!("warrener itself is user `{user}`"),
        _ => format!("warrener itself is user `{user}` and would lose it"),
    })
}

/// The step that deletes a setting; `None` where it is not there.
pub(super) fn deletion(id: &SettingId, observed: &Observed) -> Option<(Target, serde_json::Value)> {
    let have = observed.settings.get(id)?;
    Some((Target::Setting(bare(id)), compare::setting_json(id, &have.attributes)))
}

/// A setting of which only the identity matters.
fn bare(id: &SettingId) -> Setting {
    let (managed, on_remove, origin) = (true, OnRemove::Delete, Origin::default());
    match id.clone() {
        SettingId::Vhost(name) => Setting::Vhost(Vhost {
            name,
            description: String::new(),
            tags: BTreeSet::new(),
            default_queue_type: None,
            limits: BrokerLimits::new(),
            managed,
            on_remove,
            origin,
        }),
        SettingId::User(name) => Setting::User(User {
            name,
            credential: Credential::Unsaid,
            tags: BTreeSet::new(),
            limits: BrokerLimits::new(),
            managed,
            on_remove,
            origin,
        }),
        SettingId::Permission(vhost, user) => Setting::Permission(Permission {
            vhost,
            user,
            configure: String::new(),
            write: String::new(),
            read: String::new(),
            managed,
            on_remove,
            origin,
        }),
        SettingId::TopicPermission(vhost, user, exchange) => {
            Setting::TopicPermission(TopicPermission {
                vhost,
                user,
                exchange,
                write: String::new(),
                read: String::new(),
                managed,
                on_remove,
                origin,
            })
        }
        SettingId::OperatorPolicy(vhost, name) => Setting::OperatorPolicy(Policy {
            vhost,
            name,
            pattern: String::new(),
            apply_to: ApplyTo::All,
            priority: 0,
            definition: Arguments::new(),
            managed,
            on_remove,
            origin,
        }),
        SettingId::GlobalParameter(name) => Setting::GlobalParameter(GlobalParameter {
            name,
            value: ArgValue::Map(Arguments::new()),
            managed,
            on_remove,
            origin,
        }),
        SettingId::Parameter(vhost, component, name) => Setting::Parameter(Parameter {
            vhost,
            component,
            name,
            value: ArgValue::Map(Arguments::new()),
            managed,
            on_remove,
            origin,
        }),
    }
}
