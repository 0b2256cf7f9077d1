//! Control groups (Linux, version 2): a folder of the kernel in which all of a worker's processes
//! are, whatever they do, and that can be killed as one.
//!
//! A process leaves its process group by `setsid` and its parent by a double fork, but its control
//! group only by intent and with the rights to. So where this process has been handed a group to
//! divide, each worker has one of its own below it. Everywhere else there are none, and nothing is
//! different but for what marks and process groups cannot do.

mod ends;
mod group;
mod home;
mod memory;
mod place;

pub use group::ControlGroup;
pub use home::Home;
pub use memory::{Shortage, Unmetered};
pub use place::Undivided;

pub(super) use ends::{end_all, open_folder, remove};
