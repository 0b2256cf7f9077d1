//! How much memory a child takes.

use std::fs;

/// Processes counted at most: a child that has more has other problems.
const MOST: usize = 256;

/// Bytes of memory that a process and its descendants have in use, shared pages counted once for
/// each; nothing where it is gone.
pub fn resident(pid: u32) -> Option<u64> {
    let mut sum = of_one(pid)?;
    let mut family = vec![pid];
    let mut next = 0;
    while let Some(parent) = family.get(next).copied() {
        for child in children(parent) {
            if family.len() < MOST && !family.contains(&child) {
                // One that has just ended takes nothing.
                sum += of_one(child).unwrap_or(0);
                family.push(child);
            }
        }
        next += 1;
    }
    Some(sum)
}

fn of_one(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Children of all threads; none where the kernel does not tell.
fn children(pid: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
    lists
        .flat_map(|list| list.split(' ').filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}
