//! Files of positions: whose they are, and what is in them.

use std::collections::BTreeSet;

use super::*;

fn positions(folder: &Path, stack: &str, broker: &str) -> Positions {
    Positions { folder: folder.to_owned(), stack: stack.to_owned(), broker: broker.to_owned() }
}

#[test]
fn what_is_written_is_read_and_nothing_else_is_left() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("positions");
    let file = positions(&state, "s", "b").named("c", "/", "q", 3);
    assert_eq!(file.read(), Ok(None));
    for next in [0, 17, 1 << 62] {
        file.write(next).unwrap();
        assert_eq!(file.read(), Ok(Some(next)));
    }
    let files: Vec<_> = std::fs::read_dir(&state).unwrap().map(|one| one.unwrap().path()).collect();
    assert_eq!(files, std::slice::from_ref(&file.path));
    let json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(&files[0]).unwrap()).unwrap();
    assert_eq!(json, serde_json::json!({"vhost": "/", "queue": "q", "next": 1_u64 << 62}));
}

#[test]
fn each_stack_broker_vhost_queue_consumer_and_worker_has_a_file_of_its_own() {
    let folder = Path::new("/state");
    let of = |stack, broker, consumer, vhost, queue, slot| {
        positions(folder, stack, broker).named(consumer, vhost, queue, slot).path
    };
    let all: BTreeSet<_> = [
        of("s", "b", "c", "v", "q", 0),
        of("t", "b", "c", "v", "q", 0),
        of("s", "d", "c", "v", "q", 0),
        of("s", "b", "d", "v", "q", 0),
        of("s", "b", "c", "w", "q", 0),
        of("s", "b", "c", "v", "r", 0),
        of("s", "b", "c", "v", "q", 1),
        // The same letters in other places.
        of("s", "bv", "c", "q", "", 0),
        of("sb", "v", "c", "q", "", 0),
    ]
    .into();
    assert_eq!(all.len(), 9);
    assert!(all.iter().all(|path| path.parent() == Some(folder)));
    assert_eq!(of("s", "b", "c", "v", "q", 0), of("s", "b", "c", "v", "q", 0));
}

#[test]
fn what_cannot_be_understood_or_written_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let file = positions(folder.path(), "s", "b").named("c", "/", "q", 0);
    for text in [
        "",
        "{",
        "{\"vhost\":\"/\",\"queue\":\"q\"}",
        "{\"vhost\":\"/\",\"queue\":\"q\",\"next\":-1}",
    ] {
        std::fs::write(&file.path, text).unwrap();
        let why = file.read().unwrap_err();
        assert!(
            why.contains("cannot be understood") && why.contains(file.path.to_str().unwrap()),
            "{why}"
        );
    }
    let blocked = positions(&file.path, "s", "b").named("c", "/", "q", 0);
    assert!(blocked.write(1).unwrap_err().contains("cannot be written"));
}
