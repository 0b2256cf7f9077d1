//! Which events lead to a look, and which directories can tell of a change.

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use futures_util::FutureExt as _;
use notify::event::{AccessKind, AccessMode, CreateKind, DataChange, ModifyKind};
use notify::{Event, EventKind};

use crate::files::arms::Signal;
use crate::files::follow::directories;

#[test]
fn reading_is_no_reason_to_look() {
    let leads_to_a_look = |kind| {
        let signal = Signal::default();
        signal.receive(&Ok(Event::new(kind)));
        signal.happened.notified().now_or_never().is_some()
    };
    for kind in [
        AccessKind::Any,
        AccessKind::Read,
        AccessKind::Open(AccessMode::Any),
        AccessKind::Close(AccessMode::Read),
    ] {
        assert!(!leads_to_a_look(EventKind::Access(kind)), "{kind:?}");
    }
    assert!(leads_to_a_look(EventKind::Access(AccessKind::Close(AccessMode::Write))));
    assert!(leads_to_a_look(EventKind::Modify(ModifyKind::Data(DataChange::Any))));
    assert!(leads_to_a_look(EventKind::Create(CreateKind::File)));
}

#[test]
fn lost_events_are_a_reason_to_look() {
    let signal = Signal::default();
    signal.receive(&Err(notify::Error::generic("queue overflow")));
    assert!(signal.happened.notified().now_or_never().is_some());
}

#[test]
fn every_link_on_the_way_counts() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    let root = dir.path().canonicalize().expect("it exists");
    std::fs::create_dir_all(root.join("mount/..v1")).expect("writable");
    std::fs::create_dir(root.join("links")).expect("writable");
    std::fs::write(root.join("mount/..v1/stack.yaml"), "").expect("writable");
    symlink("..v1", root.join("mount/..data")).expect("writable");
    symlink("..data/stack.yaml", root.join("mount/stack.yaml")).expect("writable");
    symlink("../mount", root.join("links/current")).expect("writable");

    let of = |path: &str| -> BTreeSet<PathBuf> {
        // The folder itself may lie behind links of the system, which are none of ours.
        directories(&root.join(path))
            .iter()
            .map(|found| found.strip_prefix(&root).expect("inside").to_owned())
            .collect()
    };
    let paths = |paths: &[&str]| paths.iter().map(PathBuf::from).collect::<BTreeSet<_>>();
    assert_eq!(of("mount/..v1/stack.yaml"), paths(&["mount/..v1"]));
    assert_eq!(of("mount/stack.yaml"), paths(&["mount", "mount/..v1"]));
    assert_eq!(of("links/current/stack.yaml"), paths(&["links", "mount", "mount/..v1"]));
    assert_eq!(of("links/current"), paths(&["links", "mount"]), "a directory tells of itself");
    assert_eq!(of("links/../mount/..v1"), paths(&["mount/..v1"]));
    assert_eq!(of("mount/new/deep/stack.yaml"), paths(&["mount"]), "where `new` would appear");
}

#[test]
fn links_in_a_circle_end() {
    let dir = tempfile::tempdir().expect("a temporary folder");
    symlink("b", dir.path().join("a")).expect("writable");
    symlink("a", dir.path().join("b")).expect("writable");
    assert!(directories(&dir.path().join("a/stack.yaml")).contains(dir.path()));
}
