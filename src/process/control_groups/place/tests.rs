//! Where a process is, by what the kernel says of mounts and groups.

use std::path::PathBuf;

use super::{Seat, seats, unescaped};

fn seat(folder: &str, top: bool) -> Seat {
    Seat { folder: folder.into(), top }
}

const UNIFIED: &str = "\
22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw
29 22 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate
";

const HYBRID: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw
";

#[test]
fn the_group_is_found_below_the_mount() {
    assert_eq!(
        seats(UNIFIED, "0::/system.slice/warrener.service\n"),
        [seat("/sys/fs/cgroup/system.slice/warrener.service", false)]
    );
    assert_eq!(
        seats(HYBRID, "4:memory:/elsewhere\n0::/a/b\n"),
        [seat("/sys/fs/cgroup/unified/a/b", false)]
    );
}

#[test]
fn a_namespace_shows_its_root_as_the_top() {
    assert_eq!(seats(UNIFIED, "0::/\n"), [seat("/sys/fs/cgroup", true)]);
    // Mounted by somebody outside, and no part of what this process is in.
    let outside = "29 22 0:26 /../.. /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    assert_eq!(seats(outside, "0::/\n"), []);
    // A part of the tree only.
    let part = "29 22 0:26 /docker/1f /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n";
    assert_eq!(seats(part, "0::/docker/1f\n"), [seat("/sys/fs/cgroup", false)]);
    assert_eq!(seats(part, "0::/docker/1f0\n"), []);
}

#[test]
fn without_version_2_there_is_none() {
    let first = "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory\n";
    assert_eq!(seats(first, "4:memory:/a\n0::/\n"), []);
    assert_eq!(seats(UNIFIED, "4:memory:/a\n"), []);
    assert_eq!(seats("29 22 - cgroup2\n", "0::/\n"), []);
    assert_eq!(seats("", ""), []);
}

#[test]
fn a_path_may_have_any_character() {
    assert_eq!(unescaped(r"/a\040b\134c\011"), PathBuf::from("/a b\\c\t"));
    assert_eq!(unescaped(r"/a\04"), PathBuf::from(r"/a\04"));
    assert_eq!(unescaped(r"/\999\"), PathBuf::from(r"/\999\"));
}
