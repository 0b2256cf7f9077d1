//! Vhosts, users, permissions and parameters: any of them, and case by case.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use serde_json::{Value, json};

use super::memory_tests::{arguments, build, empty_broker, policy, topology, vhost};
use super::*;
use crate::model::{
    ArgValue, BrokerLimits, Credential, ExchangeName, GlobalParameter, OnRemove, Origin, Parameter,
    ParameterName, Permission, Policy, QueueType, Setting, SettingKind, TopicPermission,
    TopologyParts, User, UserName, Vhost, VhostName,
};

fn user_name(n: u8) -> UserName {
    UserName::new(format!("u {n}")).expect("a name")
}

fn parameter_name(text: &str) -> ParameterName {
    ParameterName::new(text).expect("a name")
}

fn user(n: u8) -> User {
    User {
        name: user_name(n),
        credential: Credential::Unsaid,
        tags: BTreeSet::new(),
        limits: BrokerLimits::new(),
        managed: true,
        on_remove: OnRemove::Delete,
        origin: Origin::default(),
    }
}

fn other(name: VhostName) -> Vhost {
    Vhost {
        name,
        description: String::new(),
        tags: BTreeSet::new(),
        default_queue_type: Some(QueueType::Quorum),
        limits: BrokerLimits::new(),
        managed: true,
        on_remove: OnRemove::Delete,
        origin: Origin::default(),
    }
}

fn permission(vhost: &VhostName, user: u8, write: &str) -> Permission {
    Permission {
        vhost: vhost.clone(),
        user: user_name(user),
        configure: String::new(),
        write: write.into(),
        read: ".*".into(),
        managed: true,
        on_remove: OnRemove::Delete,
        origin: Origin::default(),
    }
}

fn topic(vhost: &VhostName, user: u8, exchange: &str) -> TopicPermission {
    TopicPermission {
        vhost: vhost.clone(),
        user: user_name(user),
        exchange: ExchangeName::new(exchange).expect("a name"),
        write: "^x".into(),
        read: String::new(),
        managed: true,
        on_remove: OnRemove::Delete,
        origin: Origin::default(),
    }
}

fn parameter(vhost: &VhostName, component: &str, name: &str, value: &Value) -> Parameter {
    Parameter {
        vhost: vhost.clone(),
        component: parameter_name(component),
        name: parameter_name(name),
        value: ArgValue::from_json(value).expect("a value"),
        managed: true,
        on_remove: OnRemove::Delete,
        origin: Origin::default(),
    }
}

fn value() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        json!({}),
        json!([]),
        json!(5),
        json!("ü"),
        json!({"uri": "amqp://u:geheim@h", "n": 1}),
        json!([{"upstream": "a"}]),
    ])
}

/// Settings of every kind: of the cluster, in one vhost, and in another one that comes and goes.
/// Permissions are those of users that are declared as well: they go with their user.
pub(super) fn some_settings(
    home: VhostName,
    there: VhostName,
) -> impl Strategy<Value = Vec<Setting>> {
    let users = prop::collection::btree_map(
        0..3_u8,
        (prop::option::of("[a-z]{1,3}"), any::<bool>(), 0..3_u64),
        0..3,
    );
    let about = (any::<prop::sample::Index>(), any::<bool>(), prop::sample::select(vec!["", "^x"]));
    let permissions = prop::collection::vec(about, 0..4);
    let parameters = prop::collection::btree_map((any::<bool>(), 0..3_usize), value(), 0..4);
    let globals = prop::collection::btree_map(0..3_u8, value(), 0..3);
    let operators = prop::collection::btree_map((any::<bool>(), 0..2_u8), 1..4_i64, 0..3);
    let described = prop::sample::select(vec!["", "ü", "other"]);
    (users, permissions, parameters, globals, operators, described).prop_map(
        move |(users, permissions, parameters, globals, operators, description)| {
            let place = |there_too: bool| if there_too { &there } else { &home };
            let mut all: BTreeMap<_, Setting> = BTreeMap::new();
            let mut add = |setting: Setting| drop(all.insert(setting.id(), setting));
            add(Setting::Vhost(Vhost {
                description: description.into(),
                limits: BrokerLimits::from([("max-queues".into(), 3)]),
                ..other(there.clone())
            }));
            let known: Vec<u8> = users.keys().copied().collect();
            for (n, (password, powerful, most)) in users {
                let credential =
                    password.map_or(Credential::Unsaid, |text| Credential::Password(text.into()));
                let tags = powerful.then(|| "management".to_owned()).into_iter().collect();
                let limits = (most > 0).then(|| ("max-channels".to_owned(), most));
                let limits = limits.into_iter().collect();
                add(Setting::User(User { credential, tags, limits, ..user(n) }));
            }
            for (who, there_too, pattern) in permissions {
                if known.is_empty() {
                    break;
                }
                let who = *who.get(&known);
                add(Setting::Permission(permission(place(there_too), who, pattern)));
                if !pattern.is_empty() {
                    add(Setting::TopicPermission(topic(place(there_too), who, "amq.topic")));
                }
            }
            for ((there_too, component), value) in parameters {
                let component =
                    ["shovel", "federation-upstream", "federation-upstream-set"][component];
                add(Setting::Parameter(parameter(place(there_too), component, "a/ü", &value)));
            }
            for (n, value) in globals {
                add(Setting::GlobalParameter(GlobalParameter {
                    name: parameter_name(&format!("g {n}")),
                    value: ArgValue::from_json(&value).expect("a value"),
                    managed: true,
                    on_remove: OnRemove::Delete,
                    origin: Origin::default(),
                }));
            }
            for ((there_too, n), most) in operators {
                let definition = arguments([("max-length", json!(most))]);
                let vhost = place(there_too).clone();
                add(Setting::OperatorPolicy(Policy {
                    vhost,
                    ..policy(&format!("o {n}"), definition)
                }));
            }
            all.into_values().collect()
        },
    )
}

fn with(settings: Vec<Setting>) -> TopologyParts {
    TopologyParts { settings, ..TopologyParts::default() }
}

#[test]
fn a_password_is_compared_and_never_told() {
    let user = |password: &str| {
        let credential = Credential::Password(password.into());
        topology(with(vec![Setting::User(User { credential, ..user(0) })]))
    };
    let mut observed = empty_broker();
    build(&mut observed, &user("geheim"));
    assert!(diff(&user("geheim"), &observed).is_empty());
    let plan = diff(&user("anders"), &observed);
    assert_eq!(plan.summary().update, 1);
    let shown = format!("{plan:?} {observed:?}");
    assert!(!shown.contains("geheim") && !shown.contains("anders"), "{shown}");
    // Where the file says nothing about it, it stays.
    let unsaid = topology(with(vec![Setting::User(self::user(0))]));
    assert!(diff(&unsaid, &observed).is_empty());
}

#[test]
fn a_kind_that_cannot_be_listed_is_a_conflict_and_is_not_forgotten() {
    let declared = topology(with(vec![Setting::User(user(0))]));
    let mut observed = empty_broker();
    observed
        .unseen
        .insert(SettingKind::User, Unseen { reason: "no".into(), hint: "give it the tag".into() });
    let plan = diff(&declared, &observed);
    let conflict = plan.conflicts().next().expect("a conflict");
    assert_eq!(conflict.reason, "users can be neither seen nor set: no");
    assert_eq!(conflict.hint.as_deref(), Some("give it the tag"));
    let stack = crate::model::StackName::new("s").expect("a name");
    let ownership = Ownership { own: Ledger::of(&declared), ..Ownership::nobody(stack) };
    let nothing = topology(TopologyParts::default());
    let consent = Consent { prune: true, force: true, replace: false };
    let plan = super::plan(&nothing, &observed, &ownership, consent);
    assert_eq!(plan.kept().len(), 1);
    assert_eq!(plan.ledger_after(&[]), ownership.own);
}

#[test]
fn parameters_are_set_after_all_else_and_sets_after_their_upstreams() {
    let set = parameter(&vhost(), "federation-upstream-set", "a", &json!([]));
    let upstream = parameter(&vhost(), "federation-upstream", "z", &json!({}));
    let shovel = parameter(&vhost(), "shovel", "a", &json!({}));
    let all = [shovel, set, upstream].map(Setting::Parameter).into();
    let plan = diff(&topology(with(all)), &empty_broker());
    let names: Vec<_> = plan.changes().iter().map(|change| change.target.name()).collect();
    assert_eq!(names, ["federation-upstream/z", "federation-upstream-set/a", "shovel/a"]);
}

#[test]
fn what_only_a_secret_tells_apart_is_told_without_it() {
    let upstream = |password: &str| {
        let value = json!({"uri": format!("amqp://u:{password}@h/v"), "token": password});
        topology(with(vec![Setting::Parameter(parameter(&vhost(), "shovel", "a", &value))]))
    };
    let mut observed = empty_broker();
    build(&mut observed, &upstream("geheim"));
    let plan = diff(&upstream("anders"), &observed);
    let shown = format!("{plan:?} {observed:?}");
    assert_eq!(plan.changes()[0].differences.len(), 2, "{shown}");
    assert!(!shown.contains("geheim") && !shown.contains("anders"), "{shown}");
}
