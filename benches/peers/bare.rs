//! What starting a process, and passing it lines, costs without anything around it.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::contestants::{peer, top};
use crate::room::body;

/// A loop in bash that answers each line.
pub(crate) const BASH: &str = "bash benches/peers/children/lines.sh";

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

/// Lines of that many bytes that a child answers in a second, with nobody on its pipes but a thread
/// that writes them in large pieces and one that reads the answers.
pub(crate) fn lines(command: &str, count: u32, bytes: usize) -> f64 {
    let mut words = command.split(' ');
    let mut child = Command::new(words.next().expect("a program"))
        .args(words)
        .current_dir(top())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child");
    let (mut stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("a pipe"));
    let mut line = body(bytes);
    line.push(b'\n');
    let from = Instant::now();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let piece = line.repeat(100);
            for _ in 0..count / 100 {
                stdin.as_mut().expect("a pipe").write_all(&piece).expect("a child that reads");
            }
            stdin = None;
        });
        let answers = BufReader::new(stdout).lines().count();
        assert_eq!(answers, count as usize / 100 * 100, "an answer to each line");
    });
    let rate = f64::from(count) / from.elapsed().as_secs_f64();
    child.wait().expect("our child");
    rate
}
