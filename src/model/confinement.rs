//! What a consumer's processes may have and do: who they are, what they see, how much they get.

use std::time::Duration;

/// The bounds of every process of a consumer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Confinement {
    /// The user they run as, by name or number; `None` for the user of this process.
    pub user: Option<String>,
    /// The group they run as, by name or number; `None` for that of the user.
    pub group: Option<String>,
    /// Whether no program that they start can give them more rights than they have, by a set-uid
    /// bit for example. Linux calls it `no_new_privs`.
    pub no_new_privs: bool,
    /// Permission bits that files they create do not get; `None` for those of this process.
    pub umask: Option<u16>,
    /// Variables of this process that they see besides [`PASSED`]. A `*` at the end stands for any
    /// rest.
    pub env_pass: Vec<String>,
    /// How much each of them gets.
    pub limits: Limits,
}

impl Default for Confinement {
    fn default() -> Self {
        Self {
            user: None,
            group: None,
            no_new_privs: true,
            umask: None,
            env_pass: Vec::new(),
            limits: Limits::default(),
        }
    }
}

/// Variables that every process of a consumer sees, if this process has them: where programs are,
/// who and where one is, and how texts and times are written.
pub const PASSED: [&str; 10] =
    ["PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_*", "TZ", "TMPDIR"];

/// Whether the pattern, a name or the beginning of one and `*`, means that variable.
pub fn means_variable(pattern: &str, name: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => pattern == name,
    }
}

/// Limits that the kernel holds for one process each, and that of memory for all of a worker together
/// as well where it accounts for that; `None` leaves what this process has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory of its own that it can write to (`RLIMIT_DATA`). Address space that is only
    /// reserved, as some runtimes do by the terabyte, does not count.
    pub memory: Option<u64>,
    /// Open files (`RLIMIT_NOFILE`).
    pub open_files: Option<u64>,
    /// Time on a processor over its whole life (`RLIMIT_CPU`); whole seconds.
    pub cpu: Option<Duration>,
    /// Processes and threads of its user on this machine, whoever started them (`RLIMIT_NPROC`).
    pub processes: Option<u64>,
    /// Bytes of the largest file that it can write (`RLIMIT_FSIZE`).
    pub file_size: Option<u64>,
}
