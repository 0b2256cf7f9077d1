//! Which of this process's own variables a child sees.

use std::env;
use std::ffi::OsString;

use crate::model::{PASSED, means_variable};

/// Variables meant for this process alone: a password, and what a service manager hands to the
/// process it started (a child that spoke to `NOTIFY_SOCKET` would speak in our name). A pattern
/// does not pass them on, only their whole name does.
const WITHHELD: [&str; 10] = [
    "AMQP_URL",
    "CREDENTIALS_DIRECTORY",
    "LISTEN_FDNAMES",
    "LISTEN_FDS",
    "LISTEN_PID",
    "LISTEN_PIDFDID",
    "NOTIFY_SOCKET",
    "WATCHDOG_PID",
    "WATCHDOG_USEC",
    "FDSTORE",
];

/// The variables that pass: those that every child sees, and those that `patterns` mean.
pub(super) fn passed(patterns: &[String]) -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(|(name, _)| name.to_str().is_some_and(|name| passes(name, patterns)))
}

/// Those that begin with `WARRENER_` are this program's settings, and among children they describe
/// a message: one that a message lacks must not be there at all.
fn passes(name: &str, patterns: &[String]) -> bool {
    !name.starts_with("WARRENER_")
        && (PASSED.iter().any(|pattern| means_variable(pattern, name))
            || patterns.iter().any(|pattern| {
                pattern == name || (!WITHHELD.contains(&name) && means_variable(pattern, name))
            }))
}
