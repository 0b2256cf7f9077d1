//! From the command line to an exit code.

use std::io::IsTerminal as _;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{ColorChoice, Parser};

use super::apply::ApplyArgs;
use super::args::{Cli, Command};
use super::exit::Exit;
use super::screen::Screen;
use super::{apply, check, control, dev, diagnostics, drift, export, import, plan, run, saved};
use crate::files;
use crate::model::Desired;
use crate::plan::Style;
use crate::telemetry;

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
    perform(cli).into()
}

fn perform(cli: Cli) -> Exit {
    let Cli { global, command } = cli;
    let color = anstream::AutoStream::choice(&std::io::stderr()) != anstream::ColorChoice::Never;
    // What runs for long must not wait for whoever reads its log.
    let apart = matches!(command, Command::Run(_) | Command::Dev(_));
    let _log = telemetry::init(global.log_format, global.verbosity(), color, apart);
    match command {
        Command::Check(command) => check::run(&global, &command),
        Command::Plan(command) => on_desired(&command.files, async |desired, screen| {
            plan::run(&command, desired, screen).await
        }),
        Command::Apply(command) => perform_apply(command),
        Command::Drift(command) => on_desired(&command.files, async |desired, screen| {
            drift::run(&command, desired, screen).await
        }),
        Command::Status(command) => block_on(control::status(command)),
        Command::Top(command) => block_on(control::top(command)),
        Command::Pause(command) => block_on(control::pause(command)),
        Command::Resume(command) => block_on(control::resume(command)),
        Command::Scale(command) => block_on(control::scale(command)),
        Command::Restart(command) => block_on(control::restart(command)),
        Command::Reload(command) => block_on(control::reload(command)),
        Command::Drain(command) => block_on(control::drain(command)),
        Command::Import(command) => import::run(&global, &command),
        Command::Export(command) => block_on(export::run(&global, &command)),
        Command::Run(command) => block_on(run::run(command, color)),
        Command::Dev(command) => block_on(dev::run(command, color)),
    }
}

fn perform_apply(mut command: ApplyArgs) -> Exit {
    let plan = match command.plan.as_deref().map(saved::read).transpose() {
        Ok(plan) => plan,
        Err((error, hint)) => {
            anstream::eprintln!("error: {error}\n  hint: {hint}");
            return Exit::Failed;
        }
    };
    if let Some(plan) = plan.as_ref().filter(|_| command.files.is_empty()) {
        command.files = plan.files.iter().map(PathBuf::from).collect();
    }
    on_desired(&command.files, async |desired, screen| {
        // Nobody is asked where nobody could answer, or would not see the question.
        let asked = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
        let mut stdin = std::io::BufReader::new(std::io::stdin());
        let answers = asked.then_some(&mut stdin as &mut (dyn std::io::BufRead + Send));
        apply::run(&command, plan.as_ref(), desired, answers, screen).await
    })
}

/// Loads the files, and gives them to a command that speaks to a broker.
fn on_desired(
    files: &[PathBuf],
    command: impl AsyncFnOnce(&Desired, &mut Screen<'_>) -> std::io::Result<Exit>,
) -> Exit {
    let loaded = match files::load(files) {
        Ok(loaded) => loaded,
        Err(error) => {
            diagnostics::print(&error.sources, &error.problems);
            return Exit::Failed;
        }
    };
    diagnostics::print(&loaded.sources, &loaded.warnings);
    let (mut out, mut err) = (anstream::stdout(), anstream::stderr());
    let place = |origin| loaded.sources.place(origin);
    let mut screen = Screen {
        out: &mut out,
        err: &mut err,
        // The stream takes colours out again where they are not wanted.
        style: Style { colour: true },
        place: &place,
    };
    block_on(async {
        // A reader that has gone away, such as `head`, is no reason to complain.
        command(&loaded.desired, &mut screen).await.unwrap_or(Exit::Failed)
    })
}

fn block_on(command: impl Future<Output = Exit>) -> Exit {
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => {
            let exit = runtime.block_on(command);
            // Whatever still hangs in a blocking call is not waited for.
            runtime.shutdown_background();
            exit
        }
        Err(error) => {
            tracing::error!("cannot start: {error}");
            Exit::Failed
        }
    }
}
