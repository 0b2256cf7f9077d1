//! One file a command.

pub mod apply;
pub mod exit;
pub mod plan;
pub mod screen;

/// Runs the command line.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
