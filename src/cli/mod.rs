//! The command line: one file a command, exit codes in one table.
//!
//! A new command is a file with its arguments and a `run`, a variant of `Command` in `args.rs`, and
//! an arm in `entry.rs`.

mod address;
mod apply;
mod args;
mod bar;
mod carried;
mod check;
mod control;
mod dev;
mod diagnostics;
mod drift;
mod entry;
mod exit;
mod export;
mod import;
mod listening;
mod plan;
mod run;
mod saved;
mod screen;
mod signals;
mod spinner;
mod turn;

#[cfg(test)]
mod tests;

pub use args::{Cli, Command, Global};
pub use entry::main;
pub use exit::Exit;
