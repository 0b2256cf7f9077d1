//! What a group says of its memory, and what is done to a folder that looks like one.

use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;

use super::{Events, LEAF, Shortage, Unmetered, hand_on, limit};

fn events(exhausted: u64, killed: u64) -> Events {
    Events { exhausted, killed }
}

fn open(path: &Path) -> OwnedFd {
    fs::File::open(path).unwrap().into()
}

#[test]
fn what_the_kernel_counts_is_read() {
    let text = "low 0\nhigh 0\nmax 17\noom 2\noom_kill 5\noom_group_kill 1\n";
    assert_eq!(Events::read(text), events(2, 5));
    // Linux 4.18 and older count less.
    assert_eq!(Events::read("low 0\noom 3\n"), events(3, 0));
    assert_eq!(Events::read("oom many\n\noom_kill\n"), Events::default());
}

#[test]
fn a_kill_is_the_limits_where_the_limit_was_reached() {
    for (before, after, shortage) in [
        (events(0, 0), events(0, 0), None),
        // Somebody was refused memory, and nobody killed.
        (events(0, 0), events(1, 0), None),
        (events(0, 0), events(1, 1), Some(Shortage::Limit)),
        (events(1, 1), events(1, 1), None),
        (events(1, 1), events(1, 2), Some(Shortage::Above)),
        (events(1, 2), events(2, 5), Some(Shortage::Limit)),
    ] {
        assert_eq!(after.shortage_since(before), shortage, "{before:?} {after:?}");
    }
}

#[test]
fn a_limit_holds_for_all_and_ends_all() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for name in ["memory.max", "memory.oom.group"] {
        fs::write(path(name), "").unwrap();
    }
    limit(&open(folder.path()), 64 << 20).unwrap();
    let read = |name: &str| fs::read_to_string(path(name)).unwrap();
    assert_eq!((read("memory.max"), read("memory.oom.group")), ("67108864".into(), "1".into()));
    assert!(!path("memory.swap.max").exists());
    fs::write(path("memory.swap.max"), "").unwrap();
    limit(&open(folder.path()), 1 << 20).unwrap();
    assert_eq!(read("memory.swap.max"), "0");
}

#[test]
fn a_group_is_left_as_it_is_where_it_cannot_hand_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let write = |name: &str, text: &str| fs::write(path.join(name), text).unwrap();
    write("cgroup.controllers", "cpu io pids\n");
    write("cgroup.subtree_control", "");
    write("cgroup.procs", "");
    assert_eq!(hand_on(path), Err(Unmetered::Absent(path.into())));
    write("cgroup.controllers", "cpu memory pids\n");
    // Another process, and one of another container that has no number here.
    for others in ["1\n", "0\n"] {
        write("cgroup.procs", others);
        assert_eq!(hand_on(path), Err(Unmetered::Shared(path.into())));
    }
    assert_eq!(fs::read_to_string(path.join("cgroup.subtree_control")).unwrap(), "");
    assert!(!path.join(LEAF).exists());
    // Nobody is in it, as where the manager has put us below it.
    write("cgroup.procs", "");
    hand_on(path).unwrap();
    assert_eq!(fs::read_to_string(path.join("cgroup.subtree_control")).unwrap(), "+memory");
    assert!(!path.join(LEAF).exists());
    // Done already, by us or by another.
    write("cgroup.subtree_control", "memory pids\n");
    write("cgroup.procs", "1\n");
    hand_on(path).unwrap();
}
