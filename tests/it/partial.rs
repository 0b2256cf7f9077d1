//! What is done of a plan of which the broker refuses a part.

use insta::assert_snapshot;
use reqwest::Method;
use serde_json::json;

use crate::reconcile::{api, orders, user};
use crate::support::broker::since;
use crate::support::stack::Stack;

/// Has the stack be applied by an administrator who may declare and read what the patterns match.
fn as_user(stack: &mut Stack, configure: &str, read: &str) -> String {
    let (user, address) = user(stack, "administrator", configure);
    let permissions = json!({"configure": configure, "write": ".*", "read": read});
    api(Method::PUT, &format!("permissions/{}/{user}", stack.vhost()), Some(&permissions));
    let url = stack.document["broker"]["url"].as_str().expect("a text").to_owned();
    let credentials = format!("://{user}:secret@");
    stack.document["broker"]["url"] = json!(url.replace("://guest:guest@", &credentials));
    stack.document["broker"]["management"] = json!(address);
    user
}

#[test]
fn one_failure_does_not_stop_what_does_not_need_it() {
    let mut stack = orders();
    stack.document["policies"]["wrong"] =
        json!({"pattern": "^x$", "apply_to": "queues", "definition": {"no-such-key": 1}});
    stack.document["queues"]["refused"] = json!({"bind": [{"exchange": "orders", "key": "#"}]});
    let user = as_user(&mut stack, "^(?!refused)", ".*");
    let applied = stack.apply();
    assert_eq!(applied.code, Some(3), "{applied:?}");
    let (_, report) = applied.out.split_once("in conflict\n").expect("the plan's sum");
    let report = if since(4, 0) {
        let (words, before) = (" - configure access to queue", " - access to queue");
        assert!(report.contains(words), "{report}");
        report.replace(words, before)
    } else {
        report.to_owned()
    };
    assert_snapshot!(report, @r#"
    + policy wrong (queues matching ^x$, no-such-key 1)
      not done: the broker refuses policy `wrong`: Validation failed [{<<"no-such-key">>,1}] are not recognised policy settings (stack.yaml:19:5)
    + queue refused (classic)
      not done: ACCESS_REFUSED - access to queue 'refused' in vhost 'VHOST' refused for user 'administrator-of-VHOST' (stack.yaml:42:5)
      hint: declaring needs the permission `configure` on the name, and binding `write` on the destination and `read` on the source: see `rabbitmqctl list_permissions`
    + binding orders → refused (key #)
      not done: not tried without queue `refused` (stack.yaml:44:9)
    5 created, 0 updated, 3 not done
    "#);
    assert_eq!(stack.plan().code, Some(2));
    api(Method::DELETE, &format!("users/{user}"), None);
}

/// A queue and its bindings are sent without waiting for answers; the one that is refused takes
/// neither the queue nor its other bindings with it.
#[test]
fn one_refused_binding_takes_nothing_with_it() {
    let bind = json!([
        {"exchange": "before", "key": "a"},
        {"exchange": "closed", "key": "b"},
        {"exchange": "open", "key": "c"},
    ]);
    let fanout = json!({"type": "fanout"});
    let mut stack = Stack::new(json!({
        "exchanges": {"before": fanout, "closed": fanout, "open": fanout},
        "queues": {"mail": {"bind": bind}, "other": {"bind": [{"exchange": "open"}]}},
    }));
    let user = as_user(&mut stack, ".*", "^(?!closed)");
    let applied = stack.apply();
    assert_eq!(applied.code, Some(3), "{applied:?}");
    let (_, report) = applied.out.split_once("in conflict\n").expect("the plan's sum");
    let report = report.replace(" - read access to exchange", " - access to exchange");
    assert_snapshot!(report, @r"
    + binding closed → mail (key b)
      not done: ACCESS_REFUSED - access to exchange 'closed' in vhost 'VHOST' refused for user 'administrator-of-VHOST' (stack.yaml:24:9)
      hint: declaring needs the permission `configure` on the name, and binding `write` on the destination and `read` on the source: see `rabbitmqctl list_permissions`
    8 created, 0 updated, 1 not done
    ");
    let planned = stack.plan();
    assert_snapshot!(planned.out, @r"
    + binding closed → mail (key b)
    1 to create, 0 to update, 0 in conflict
    ");
    api(Method::DELETE, &format!("users/{user}"), None);
}
