//! From the command line to an exit code.

use std::process::ExitCode;

use clap::{ColorChoice, Parser};

use super::args::{Cli, Command};
use super::check;
use super::exit::Exit;

/// Parses the command line of this process, runs the command and gives its exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are errors to the parser as well, on standard output with code 0.
            let exit = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            // Where even that cannot be written, the exit code is all there is to say.
            let _ = error.print();
            return exit.into();
        }
    };
    match cli.global.color {
        ColorChoice::Auto => anstream::ColorChoice::Auto,
        ColorChoice::Always => anstream::ColorChoice::Always,
        ColorChoice::Never => anstream::ColorChoice::Never,
    }
    .write_global();
    run(cli).into()
}

fn run(cli: Cli) -> Exit {
    let Cli { global, command } = cli;
    match command {
        Command::Check(command) => check::run(&global, &command),
    }
}
