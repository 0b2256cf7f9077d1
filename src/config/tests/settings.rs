//! Vhosts, users, permissions and parameters, as they come out, and what is wrong with them.

use super::{Fake, check, check_all, desired, resolve_with};
use crate::model::{ArgValue, Credential, OnRemove, QueueType, Setting, Topology, codes};

/// Each setting in a line: kind, vhost, name, attributes.
fn told(topology: &Topology) -> String {
    let line = |setting: &Setting| {
        let vhost = setting.vhost().map(|vhost| format!("{vhost}: ")).unwrap_or_default();
        let attributes = ArgValue::Map(setting.attributes());
        let handling = match (setting.managed(), setting.on_remove()) {
            (true, OnRemove::Delete) => "",
            (true, OnRemove::Retain) => " retain",
            (false, _) => " unmanaged",
        };
        format!("{} {vhost}{} {attributes}{handling}", setting.kind().as_str(), setting.id())
    };
    topology.settings().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_kind_of_setting() {
    let desired = desired(
        "stack: s\n\
         vhosts:\n  v:\n    description: d\n    tags: [b, a]\n    default_queue_type: quorum\n    limits: { max_queues: 3 }\n    \
         queues: { q: , c: { type: classic } }\n    permissions: { u: { read: x } }\n  w: { manage: false }\n  /: { on_remove: retain, default_queue_type: stream }\n\
         queues: { home: }\n\
         users:\n  u: { tags: [management], limits: { max_channels: 1, max_connections: 2 } }\n\
         permissions: { u: { configure: \"\", write: \"^a$\", read: .*, on_remove: retain } }\n\
         topic_permissions: { u: { amq.topic: { write: ^k } } }\n\
         operator_policies: { o: { pattern: ^q, apply_to: queues, priority: 2, definition: { max-length: 1 } } }\n\
         parameters:\n  shovel:\n    a: { src-uri: \"amqp://\", nested: { x: [1, true, 1.5] } }\n    b: { manage: false }\n    c: { value: [], on_remove: retain }\n    d: { value: 1 }\n\
         global_parameters: { n: 5, t: text, l: [1], m: {} }\n",
    );
    insta::assert_snapshot!(told(&desired.topology), @r#"
    vhost /: / {"default_queue_type":"stream","description":"","tags":[]} retain
    vhost v: v {"default_queue_type":"quorum","description":"d","max_queues":3,"tags":["a","b"]}
    vhost w: w {"description":"","tags":[]} unmanaged
    user u {"max_channels":1,"max_connections":2,"tags":["management"]}
    permission /: u {"configure":"","read":".*","write":"^a$"} retain
    permission v: u {"configure":"","read":"x","write":""}
    topic_permission /: u on amq.topic {"read":"","write":"^k"}
    operator_policy /: o {"apply_to":"queues","max-length":1,"pattern":"^q","priority":2}
    global_parameter l {"value":[1]}
    global_parameter m {}
    global_parameter n {"value":5}
    global_parameter t {"value":"text"}
    parameter /: shovel/a {"nested":{"x":[1,true,1.5]},"src-uri":"amqp://"}
    parameter /: shovel/b {} unmanaged
    parameter /: shovel/c {} retain
    parameter /: shovel/d {"value":1}
    "#);
    let kinds: Vec<_> =
        desired.topology.queues().map(|queue| (queue.name.to_string(), queue.kind)).collect();
    assert_eq!(
        kinds,
        [
            ("home".to_owned(), QueueType::Stream),
            ("c".to_owned(), QueueType::Classic),
            ("q".to_owned(), QueueType::Quorum),
        ]
    );
}

#[test]
fn passwords_from_outside_and_in_the_file() {
    let environment =
        Fake { variables: [("P", "geheim")].into(), files: [("/p", "secret\n")].into() };
    let text = "stack: s\nusers:\n  a: { password: \"${P}\" }\n  b: { password: \"${file:/p}\" }\n  \
                c: { password: plain }\n  d: { password: \"${Q:-default}\" }\n  \
                e: { password_hash: aGFzaA==, hashing_algorithm: sha512 }\n";
    let resolved = resolve_with(&environment, &[text]).expect("it loads");
    let warned: Vec<_> = resolved.warnings.iter().map(|w| (w.code, w.message.as_str())).collect();
    assert_eq!(
        warned,
        [
            (codes::LITERAL_PASSWORD, "the password of user `c` stands in the file"),
            (codes::LITERAL_PASSWORD, "the password of user `d` stands in the file"),
        ]
    );
    let shown = format!("{:?}", resolved.desired);
    for secret in ["geheim", "secret\"", "plain", "default\"", "aGFzaA=="] {
        assert!(!shown.contains(secret), "{secret} in {shown}");
    }
    let users = resolved.desired.topology.settings().filter_map(|setting| match setting {
        Setting::User(user) => Some(&user.credential),
        _ => None,
    });
    let is_hash: Vec<_> = users.map(|user| matches!(user, Credential::Hash(_))).collect();
    assert_eq!(is_hash, [false, false, false, false, true]);
    let rendered = resolved.sources.render(&resolved.warnings, false);
    assert!(!rendered.contains("plain") && !rendered.contains("default }"), "{rendered}");
}

#[test]
fn what_is_wrong_with_settings() {
    check(
        "stack: s\nusers:\n  a: { password: x, password_hash: y }\n  b: { password: \"\" }\n  c: { tags: [\"a,b\"] }\n  d: { limits: { max_queues: 1 } }\n  e: { hashing_algorithm: sha1, password_hash: x }\n",
        &[
            "E0111 a.yaml:3:21 `password` and `password_hash` exclude each other",
            "E0106 a.yaml:4:18 the password of user `b` is empty",
            "E0101 a.yaml:5:14 `tags` takes names without commas",
            "E0102 a.yaml:6:18 there is no key `max_queues` here",
            "E0106 a.yaml:7:27 `hashing_algorithm` takes one of",
        ],
    );
    check(
        "stack: s\npermissions: { u: { write: \"(\" } }\ntopic_permissions: { u: { x: { read: \"[\" } } }\noperator_policies: { o: { pattern: \"(\", definition: {} } }\n",
        &[
            "E0307 a.yaml:2:28 `write` of a permission of user `u`",
            "E0307 a.yaml:3:38 `read` of a permission of user `u`",
            "E0307 a.yaml:4:36 the pattern of policy `o`",
        ],
    );
    check(
        "stack: s\nparameters:\n  operator_policy: { x: {} }\n  policy: { x: {} }\n  vhost-limits: { x: {} }\nglobal_parameters: { warrener.other: 1 }\nvhosts:\n  v: { limits: { max_queues: -1 }, default_queue_type: lazy }\n",
        &[
            "E0306 a.yaml:3:22 `operator_policy` has a section of its own",
            "E0306 a.yaml:4:13 `policy` has a section of its own",
            "E0306 a.yaml:5:19 `vhost-limits` has a section of its own",
            "E0306 a.yaml:6:22 the global parameter `warrener.other` is where",
            "E0106 a.yaml:8:30 `max_queues` takes a whole number",
            "E0106 a.yaml:8:56 `default_queue_type` takes",
        ],
    );
    // What refers to another vhost's does not fit.
    check(
        "stack: s\nexchanges: { x: }\nvhosts: { v: { queues: { q: { bind: { exchange: x } } } } }\n",
        &["E0301 a.yaml:3:49 exchange `x` is not declared"],
    );
}

#[test]
fn a_setting_in_two_files_is_an_error_and_two_of_a_component_are_not() {
    check_all(
        &[
            "stack: s\nusers: { a: }\nparameters: { shovel: { a: 1 } }\n",
            "users: { a: }\nparameters: { shovel: { b: 1 } }\nvhosts: { v: }\n",
            "vhosts: { v: }\n",
        ],
        &[
            "E0109 1.yaml:1:10 user `a` is declared twice [a.yaml:2:10 first declared here]",
            "E0109 2.yaml:1:11 vhost `v` is declared twice [1.yaml:3:11 first declared here]",
        ],
    );
}
