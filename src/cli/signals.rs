//! Signals to commands of the engine.
//!
//! They are taken by a thread of their own, so that a stop is heard even when the async runtime is
//! stuck; then the thread ends the process itself.

use std::io;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::engine::Command;

/// How long an immediate stop may take before the process ends without it.
const IMMEDIATE: Duration = Duration::from_secs(8);

/// `TERM` and `INT` drain, a second one stops at once; `HUP` reloads. Children of a process that
/// is ended the hard way are killed by the kernel.
pub(super) fn obey(command: Command) -> io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
    let listen = move || {
        for signal in signals.forever() {
            match signal {
                SIGHUP => command.reload.notify_one(),
                _ if !command.drain.is_cancelled() => {
                    tracing::info!(
                        "stopping: no new messages, what is held is answered first; once more to stop at once"
                    );
                    command.drain.cancel();
                }
                _ if !command.kill.is_cancelled() => {
                    tracing::warn!("stopping at once");
                    command.kill.cancel();
                    std::thread::spawn(|| {
                        std::thread::sleep(IMMEDIATE);
                        std::process::exit(1);
                    });
                }
                _ => std::process::exit(1),
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(listen)?;
    Ok(())
}
