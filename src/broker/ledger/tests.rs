//! Names, places and what comes of several ledgers.

use std::path::Path;

use serde_json::json;

use super::*;
use crate::model::{OnRemove, QueueName};
use crate::plan::ResourceId;

fn stack(name: &str) -> StackName {
    StackName::new(name).expect("a name")
}

fn vhost(name: &str) -> VhostName {
    VhostName::new(name).expect("a name")
}

fn owning(queue: &str) -> (Ledger, ResourceId) {
    let id = ResourceId::Queue(vhost("/"), QueueName::new(queue).expect("a name"));
    let mut ledger = Ledger::default();
    ledger.claim(id.clone(), OnRemove::Retain);
    (ledger, id)
}

#[test]
fn a_parameter_has_the_name_of_stack_and_vhost() {
    assert_eq!(parameter(&stack("orders"), &vhost("/")), "warrener.orders");
    assert_eq!(parameter(&stack("orders"), &vhost("live ü/%")), "warrener.orders@live ü/%");
    let long = "x".repeat(250);
    let names = [parameter(&stack(&long), &vhost("a")), parameter(&stack(&long), &vhost("b"))];
    assert!(names.iter().all(|name| name.len() <= LONGEST && name.starts_with(PREFIX)));
    assert_ne!(names[0], names[1]);
    assert_eq!(addendum(&stack("orders"), &vhost("live")), "warrener.+orders@live");
}

#[test]
fn the_state_folder_is_the_first_that_is_named() {
    let of = |set: &[(&str, &str)]| {
        let set: BTreeMap<_, _> = set.iter().copied().collect();
        state_folder(|name| set.get(name).map(Into::into))
    };
    let all = [("WARRENER_STATE_DIR", "/a"), ("XDG_STATE_HOME", "/b"), ("HOME", "/c")];
    assert_eq!(of(&all), Path::new("/a"));
    assert_eq!(of(&all[1..]), Path::new("/b/warrener"));
    assert_eq!(of(&[("XDG_STATE_HOME", ""), all[2]]), Path::new("/c/.local/state/warrener"));
    assert_eq!(of(&[]), Path::new("/var/lib/warrener"));
}

#[test]
fn ledgers_are_told_apart_by_what_they_say() {
    let value = |name: &str, home: &str, queue: &str| {
        let (stack, home, ledger) = (stack(name), vhost(home), owning(queue).0);
        LedgerRecord { stack, home, ledger }.to_json()
    };
    let parameter = |name: &str, value| GlobalParameterInfo { name: name.into(), value };
    let parameters = vec![
        parameter("cluster_name", json!("rabbit@one")),
        parameter("warrener.blog", value("blog", "/", "posts")),
        parameter("warrener.shop", value("shop", "/", "orders")),
        parameter("warrener.+shop", value("shop", "/", "returns")),
        parameter("warrener.shop@v", value("shop", "v", "others")),
    ];
    let (ownership, added) = collate(&stack("shop"), &vhost("/"), parameters).expect("ledgers");
    assert_eq!(added, Some(owning("returns").0));
    let mut own = owning("orders").0;
    own.join(owning("returns").0);
    assert_eq!(ownership.own, own);
    assert_eq!(own.len(), 2);
    let others: Vec<_> = ownership
        .others
        .iter()
        .map(|(id, owner)| format!("{id}: {} {} {}", owner.stack, owner.home, owner.parameter))
        .collect();
    assert_eq!(
        others,
        ["queue others: shop v warrener.shop@v", "queue posts: blog / warrener.blog"]
    );

    let newer = vec![parameter("warrener.x", json!({"version": 9}))];
    let refused = collate(&stack("shop"), &vhost("/"), newer).expect_err("not understood");
    assert!(
        refused.starts_with("the ledger in the global parameter `warrener.x` cannot be used: ")
    );
}

#[tokio::test]
async fn a_file_is_written_only_for_a_change() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("deep/ledger.json");
    let store =
        LedgerStore { stack: stack("shop"), home: vhost("/"), place: Place::File(path.clone()) };
    let (ledger, _) = owning("orders");
    assert_eq!(store.bring(&ledger, &ledger).await, Ok(()));
    assert!(!path.exists());
    assert_eq!(store.bring(&Ledger::default(), &ledger).await, Ok(()));
    let json = serde_json::from_slice(&std::fs::read(&path).expect("a file")).expect("JSON");
    assert_eq!(LedgerRecord::from_json(&json).expect("a ledger").ledger, ledger);
    let impossible = path.join("below a file");
    let store = LedgerStore { place: Place::File(impossible), ..store };
    assert!(store.bring(&Ledger::default(), &ledger).await.is_err());
}

/// A ledger of these queues.
fn of(queues: impl IntoIterator<Item = usize>) -> Ledger {
    let mut ledger = Ledger::default();
    for queue in queues {
        ledger.join(owning(&queue.to_string()).0);
    }
    ledger
}

#[test]
fn what_little_a_large_ledger_has_more_goes_into_the_addendum() {
    let whole = of(0..LARGE);
    assert_eq!(grown(&whole, &of(0..=LARGE), None), Some(of([LARGE])));
    let (there, more) = (of(0..=LARGE), of(0..LARGE + 2));
    assert_eq!(grown(&there, &more, Some(&of([LARGE]))), Some(of([LARGE, LARGE + 1])));
    let full = of(0..LARGE / SHARE);
    assert_eq!(grown(&there, &more, Some(&full)), None, "it is no longer small");
    assert_eq!(grown(&whole, &whole, Some(&of([0]))), None, "they are to be one");
    assert_eq!(grown(&of(0..9), &of(0..10), None), None, "the whole is small");
    assert_eq!(grown(&there, &of(1..LARGE + 2), None), None, "something goes");
    let mut changed = more;
    let (_, id) = owning("0");
    changed.claim(id, OnRemove::Delete);
    assert_eq!(grown(&there, &changed, None), None, "something else is to become of it");
}
