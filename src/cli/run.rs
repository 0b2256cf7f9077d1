//! `warrener run`: the supervisor.
//!
//! Exit codes: 0 stopped as told; 1 it never began, because the files cannot be used.

use std::path::PathBuf;

use super::exit::Exit;
use super::listening::{ListenArgs, Listening};
use super::signals;
use crate::engine::{Command, Engine, Options, Outcome};
use crate::telemetry::Registry;

/// Reconcile, consume, and follow the files; until stopped by a signal.
#[derive(Clone, Debug, clap::Args)]
pub struct RunArgs {
    /// Files, directories or globs; what they say together is one stack.
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
    /// Do not follow changes of the files by itself; SIGHUP still reloads.
    #[arg(long)]
    pub no_watch: bool,
    #[command(flatten)]
    listen: ListenArgs,
}

/// Runs until stopped.
pub(super) async fn run(args: RunArgs, color: bool) -> Exit {
    let command = Command::default();
    if let Err(error) = signals::obey(command.clone()) {
        tracing::error!("cannot take signals: {error}");
        return Exit::Failed;
    }
    let registry = Registry::new();
    let listening = match Listening::start(&args.listen, registry.clone(), command.clone()) {
        Ok(listening) => listening,
        Err(error) => {
            tracing::error!("cannot start: {error}");
            return Exit::Failed;
        }
    };
    let files = args.files;
    // Until the very end: whoever waits for that learns of it by the end of the connection.
    let (server, requests, load) = listening.into_parts(move || crate::files::load(&files));
    let options = Options {
        load,
        registry,
        watch: !args.no_watch,
        requests: Some(requests),
        alone: true,
        service: true,
    };
    let outcome = Engine::run(options, command).await;
    server.close().await;
    match outcome {
        Outcome::Stopped => Exit::Done,
        Outcome::Refused(error) => {
            anstream::eprint!("{}", error.render(color));
            Exit::Failed
        }
        Outcome::Failed(error) => {
            tracing::error!("cannot start: {error}");
            Exit::Failed
        }
    }
}
