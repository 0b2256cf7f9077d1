//! Starts, feeds, signals and reaps child processes.
//!
//! What this room promises: a child runs in a session and a process group of its own, as the user
//! and within the limits it was given, with its three standard files open and one more where it was
//! asked for, and with the signals as a login shell would give them. No signal ever goes to a group
//! that was not its own: its process id stays taken until the group is gone. No zombie is left
//! behind, whoever drops what at which moment.
//!
//! Nothing that comes from a child outlives it, and nothing outlives this process, however that
//! ends: the kernel kills the child, and a guardian what has gone into sessions of its
//! own. What has changed its user by a set-uid program can be beyond reach where this process is
//! not root's, unless it was handed a control group to divide: then each worker's processes are in
//! one of their own, which is killed as a whole, whoever they are.

mod allocator;
mod child;
mod clone_into;
mod control_groups;
mod cradle;
mod environment;
mod family;
mod guardian;
mod identity;
mod image;
mod launch;
mod limits;
mod memory;
mod nursery;
mod output;
mod prelude;
mod program;
mod service_manager;
mod spawner;
mod start;

pub use allocator::keep_freed_memory;
pub use child::{Child, ChildInput, Exit};
pub use control_groups::{ControlGroup, Home, Shortage, Undivided, Unmetered};
pub use identity::NoAccount;
pub use memory::resident;
pub use output::ChildOutput;
pub use program::{NotRunnable, check_startable, find_program};
pub use service_manager::ServiceManager;
pub use spawner::{Fd3, Input, SpawnError, SpawnRequest, Spawner};
