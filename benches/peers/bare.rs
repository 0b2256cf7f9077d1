//! What starting a process costs without anything around it.

use std::process::Command;

use crate::contestants::peer;

/// Microseconds for each of `count` processes, one after the other, started by `fork` or `spawn`.
pub(crate) fn start(how: &str, count: u32, command: &[&str]) -> Option<f64> {
    let output =
        Command::new(peer("bare")).arg(how).arg(count.to_string()).args(command).output().ok()?;
    let nanos: f64 = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
    Some(nanos / 1000.0)
}
