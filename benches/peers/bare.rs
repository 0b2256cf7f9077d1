//! What starting a process costs without anything around it.

use std::process::{Command, Stdio};

use crate::contestants::peer;

/// Processes a second, where so many start one after the other at once, each `count` of them, by
/// `fork` or `spawn`.
pub(crate) fn start(how: &str, at_once: usize, count: u32, command: &[&str]) -> Option<f64> {
    let starter = || {
        let mut starter = Command::new(peer("bare"));
        starter.arg(how).arg(count.to_string()).args(command).stdout(Stdio::piped()).spawn().ok()
    };
    let starters = (0..at_once).map(|_| starter()).collect::<Option<Vec<_>>>()?;
    let rates = starters.into_iter().map(|starter| {
        let output = starter.wait_with_output().ok()?;
        let nanos: f64 = String::from_utf8(output.stdout).ok()?.trim().parse().ok()?;
        Some(1e9 / nanos)
    });
    rates.collect::<Option<Vec<_>>>().map(|rates| rates.iter().sum())
}
