//! The deletion of a queue in the middle of its migration, some of which the broker refuses.

use reqwest::Method;
use serde_json::json;

use super::dropped::{PARTS, drop_it, dropped_at, empty, temporary, want};
use super::{bindings, exchanges, stack, url};
use crate::reconcile::{api, get, queue_names};
use crate::support::queue::Outside;
use crate::support::stack::{Said, Stack};

/// Messages in the queue when its migration begins: enough for a kill to come in the middle.
const HELD: u32 = 2000;

/// Where the migration is cut off, and what the broker then refuses to delete and to unbind.
const CASES: [(&str, &str); 6] = [
    ("diverting its bindings", "work"),
    ("moving its messages aside", "warrener[.]migrate[.]work[.]old"),
    ("moving its messages aside", "work|warrener[.]migrate[.]work"),
    ("making it anew", "warrener[.]migrate[.]work[.](old|new)"),
    ("moving its messages back", "warrener[.]migrate[.]work"),
    ("restoring its bindings", "warrener[.]migrate[.]work[.].*"),
];

/// Somebody who may do everything but that.
struct Hindered {
    user: String,
    vhost: String,
    free: String,
}

impl Hindered {
    fn new(stack: &Stack) -> Self {
        let (vhost, user) = (stack.vhost().to_owned(), format!("hindered-{}", stack.vhost()));
        let body = json!({"password": "p", "tags": "administrator"});
        api(Method::PUT, &format!("users/{user}"), Some(&body));
        Self { user, vhost, free: url(stack) }
    }

    fn prune(&self, stack: &mut Stack, refused: &str) -> Said {
        let most = format!("^(?!({refused})$).*$");
        let permission = json!({"configure": most, "write": most, "read": ".*"});
        let path = format!("permissions/{}/{}", self.vhost, self.user);
        api(Method::PUT, &path, Some(&permission));
        let url = self.free.replace("guest:guest", &format!("{}:p", self.user));
        stack.document["broker"]["url"] = json!(url);
        let said = prune(stack);
        stack.document["broker"]["url"] = json!(self.free);
        said
    }
}

impl Drop for Hindered {
    fn drop(&mut self) {
        let path = format!("users/{}", self.user);
        // The runtime of the test must not wait here.
        let gone = std::thread::spawn(move || api(Method::DELETE, &path, None)).join();
        assert!(gone.is_ok() || std::thread::panicking(), "the user stays");
    }
}

fn prune(stack: &Stack) -> Said {
    stack.run(&["apply", "--prune", "stack.yaml"])
}

/// Nothing of it is anywhere, and nobody misses it.
fn all_gone(stack: &Stack, step: &str) {
    assert_eq!(queue_names(stack), Vec::<String>::new(), "{step}");
    assert_eq!(temporary(stack), Vec::<String>::new(), "{step}");
    assert_eq!(bindings(stack).len(), 0, "{step}");
    let drift = stack.run(&["drift", "stack.yaml"]);
    assert_eq!(drift.code, Some(0), "{step}: {drift:?}");
    let ledger = get("global-parameters");
    assert!(!ledger.to_string().contains(&format!("{}/queue", stack.vhost())), "{ledger}");
}

/// A rerun deletes what is left; with a message in it, it stays, is told of as the queue that it
/// belongs to, and declaring that brings the message back.
#[tokio::test(flavor = "multi_thread")]
async fn a_deletion_that_is_refused_in_parts_is_finished_by_the_next() {
    let mut stack = stack();
    let bound = stack.document["queues"]["work"]["bind"].clone();
    let hindered = tokio::task::block_in_place(|| Hindered::new(&stack));
    let (mut refusals, mut rescued) = (0, 0);
    for (step, refused) in CASES {
        let outside = dropped_at(step, HELD, &mut stack, &bound).await;
        empty(&outside).await;
        let left = tokio::task::block_in_place(|| {
            let said = hindered.prune(&mut stack, refused);
            let mut left = queue_names(&stack);
            left.extend(exchanges(&stack).into_iter().filter(|name| name.contains("migrate")));
            if !left.is_empty() {
                refusals += 1;
                assert!(matches!(said.code, Some(1 | 3)), "{step}: {said:?}");
                assert!(said.out.contains("ACCESS_REFUSED"), "{step}: {said:?}");
            }
            left
        });
        // Somebody publishes to what is left of it.
        if let Some(part) = PARTS.iter().find(|part| left.iter().any(|left| left == *part)) {
            rescued += 1;
            outside.publish(part, ["late".to_owned()]).await;
            tokio::task::block_in_place(|| {
                let said = prune(&stack);
                assert_eq!(said.code, Some(0), "{step}: {said:?}");
                assert!(
                    said.out.contains("kept: queue work: it holds 1 message"),
                    "{step}: {said:?}"
                );
                want(&mut stack, &json!({"type": "quorum", "on_conflict": "migrate"}), &bound);
                let said = stack.apply();
                assert_eq!(said.code, Some(0), "{step}: {said:?}");
                assert_eq!(temporary(&stack), Vec::<String>::new(), "{step}: {said:?}");
                assert_eq!(bindings(&stack).len(), 2, "{step}: {said:?}");
                drop_it(&mut stack);
            });
            let found = Outside::connect(&url(&stack)).await.take_all("work").await;
            let found: Vec<_> = found.iter().map(|found| found.body.as_str()).collect();
            assert_eq!(found, ["late"], "{step}");
        }
        tokio::task::block_in_place(|| {
            let said = prune(&stack);
            assert_eq!(said.code, Some(0), "{step}: {said:?}");
            all_gone(&stack, step);
        });
    }
    assert!(refusals > CASES.len() / 2 && rescued > 1, "{refusals} refused, {rescued} rescued");
}
