//! What the kernel gives to a child at most.

use rustix::process::{Resource, Rlimit, getrlimit};

use crate::model::Limits;

/// Between the signal that a process gets when its time is used up, which it may take as a last
/// chance, and the one that it cannot take, seconds.
const LAST_CHANCE: u64 = 5;

/// A limit, and the key of the file that asks for it.
pub(super) type Limit = (Resource, Rlimit, &'static str);

/// The limits as the kernel knows them.
pub(super) fn limits(limits: &Limits) -> Vec<Limit> {
    let both = |value: u64| Rlimit { current: Some(value), maximum: Some(value) };
    let cpu = limits.cpu.map(|time| Rlimit {
        current: Some(time.as_secs()),
        maximum: Some(time.as_secs().saturating_add(LAST_CHANCE)),
    });
    [
        (Resource::Data, limits.memory.map(both), "memory"),
        (Resource::Nofile, limits.open_files.map(both), "open_files"),
        (Resource::Cpu, cpu, "cpu"),
        (Resource::Nproc, limits.processes.map(both), "processes"),
        (Resource::Fsize, limits.file_size.map(both), "file_size"),
    ]
    .into_iter()
    .filter_map(|(resource, limit, key)| Some((resource, limit?, key)))
    .collect()
}

/// The first limit that is above what this process may have itself, and what that is.
pub(super) fn too_high(limits: &[Limit]) -> Option<(&'static str, u64)> {
    limits.iter().find_map(|(resource, limit, key)| {
        let most = getrlimit(*resource).maximum?;
        (limit.maximum? > most).then_some((*key, most))
    })
}
