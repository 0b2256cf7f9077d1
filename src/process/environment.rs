//! Which of this process's own variables a child does not see.

/// Variables meant for this process alone: a password, and what a service manager hands to the
/// process it started (a child that spoke to `NOTIFY_SOCKET` would speak in our name).
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

/// Whether a variable of this process stays out of the environment of its children. Those that
/// begin with `WARRENER_` are this program's settings, and among children they describe a message:
/// one that a message lacks must not be there at all.
pub(super) fn is_withheld(name: &str) -> bool {
    name.starts_with("WARRENER_") || WITHHELD.contains(&name)
}
