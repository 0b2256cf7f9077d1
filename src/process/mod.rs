//! Starts, feeds, signals and reaps child processes.
//!
//! What this room promises: a child runs in a process group of its own, with its three standard
//! files open and one more where it was asked for, and with the signals as a login shell would give them. It does not outlive this process, however
//! that ends. Nothing of its group outlives it, and no signal ever goes to a group that was not
//! its own: its process id stays taken until the group is gone. No zombie is left behind, whoever
//! drops what at which moment.
//!
//! What it does not promise: a process that leaves the group (by `setsid`) is beyond reach here.

mod child;
mod environment;
mod prelude;
mod program;
mod spawner;

pub use child::{Child, ChildInput, ChildOutput, Exit};
pub use program::{NotRunnable, find_program};
pub use spawner::{Fd3, SpawnError, SpawnRequest, Spawner};
