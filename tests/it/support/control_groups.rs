//! A control group that was handed over, as systemd does it for `Delegate=yes`.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{XattrFlags, setxattr};

use super::supervisor::wait_until;

/// A control group of a test, in which a supervisor is started. Dropping it ends everyone in it.
pub(crate) struct Handed {
    path: PathBuf,
}

impl Handed {
    /// A new one below that of this process, handed over or not. None where this machine lets us
    /// make none, which is said: then the test can only show that all goes without.
    #[expect(clippy::print_stderr, reason = "whoever reads the test's output is to know")]
    pub(crate) fn group(over: bool) -> Option<Self> {
        let made = Self::below_ours(over);
        if made.is_none() {
            eprintln!("no control group can be made here: only that all goes without is tested");
        }
        made
    }

    fn below_ours(over: bool) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
        let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "))?;
        let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
        let ours = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
        let name = format!("warrener-test-{}-{:08x}", std::process::id(), fastrand::u32(..));
        let ours = Path::new(mount.split(' ').nth(4)?).join(ours);
        // Beside this process, where memory is accounted for: below it nobody can hand that on.
        let beside = ours.parent().filter(|above| meters_memory(above));
        let path = beside.unwrap_or(&ours).join(name);
        fs::create_dir(&path).ok()?;
        let made = Self { path };
        let enters = fs::OpenOptions::new().write(true).open(made.path.join("cgroup.procs"));
        let kills = made.path.join("cgroup.kill").exists();
        let marks = |name: &str| setxattr(&made.path, name, b"1", XattrFlags::empty()).is_ok();
        let marked = !over || marks("user.delegate") || marks("trusted.delegate");
        (enters.is_ok() && kills && marked).then_some(made)
    }

    /// The words before those of a program that start it in the group.
    pub(crate) fn through(&self) -> [&str; 4] {
        // A supervisor before this one may have made way for memory to be handed on.
        let text = r#"{ echo $$ > "$0/cgroup.procs" || echo $$ > "$0/supervisor/cgroup.procs"; } 2>/dev/null && exec "$@""#;
        ["sh", "-c", text, self.path.to_str().unwrap()]
    }

    /// Its folder.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The groups within it, where supervisors have their workers.
    pub(crate) fn homes(&self) -> Vec<PathBuf> {
        let mut homes = folders(&self.path);
        homes.retain(|path| path.file_name().unwrap() != "supervisor");
        homes
    }

    /// Whether a supervisor in it can limit the memory of workers, as far as that can be seen before.
    pub(crate) fn meters_memory(&self) -> bool {
        fs::read_to_string(self.path.join("cgroup.controllers"))
            .is_ok_and(|text| text.split_whitespace().any(|controller| controller == "memory"))
    }
}

impl Drop for Handed {
    fn drop(&mut self) {
        wait_until("the end of the group", Duration::from_secs(10), || {
            let _ = fs::write(self.path.join("cgroup.kill"), "1");
            remove(&self.path)
        });
    }
}

/// Whether a group hands the memory controller on.
fn meters_memory(group: &Path) -> bool {
    fs::read_to_string(group.join("cgroup.subtree_control"))
        .is_ok_and(|text| text.split_whitespace().any(|controller| controller == "memory"))
}

/// The folders in a folder, in order.
pub(crate) fn folders(path: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let mut found: Vec<_> =
        entries.map(|entry| entry.path()).filter(|path| path.is_dir()).collect();
    found.sort();
    found
}

fn remove(path: &Path) -> bool {
    for folder in folders(path) {
        remove(&folder);
    }
    fs::remove_dir(path).is_ok() || !path.exists()
}

/// The control group of a process, as the kernel writes it.
pub(crate) fn group_of(pid: u32) -> String {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("0::")).unwrap_or_default().to_owned()
}
