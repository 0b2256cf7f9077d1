//! The socket of a supervisor that this process runs.

use std::path::{Path, PathBuf};

use tokio::sync::{mpsc, watch};

use crate::admin::{Control, Server, SocketError};
use crate::engine::{Command, EngineRequest, Loader};
use crate::files::{LoadError, Loaded};
use crate::model::StackName;
use crate::telemetry::Registry;

/// Requests that wait for the engine.
const REQUESTS: usize = 16;

/// Where a supervisor listens.
#[derive(Clone, Debug, Default, clap::Args)]
pub(super) struct ListenArgs {
    /// Where to listen for `warrener status` and its kin, instead of the usual place
    #[arg(long, value_name = "PATH", env = "WARRENER_SOCKET")]
    pub(super) socket: Option<PathBuf>,
}

/// A socket that is listened on, and what the engine needs for it.
pub(super) struct Listening {
    /// Listens until it is dropped.
    pub(super) server: Server,
    /// What is asked.
    pub(super) requests: mpsc::Receiver<EngineRequest>,
    stack: watch::Sender<Option<StackName>>,
}

impl Listening {
    /// Listens from now on, or as soon as the name of the stack is known.
    ///
    /// # Errors
    /// Where a path was asked for, what is wrong with it.
    pub(super) fn start(
        args: &ListenArgs,
        registry: Registry,
        command: Command,
    ) -> Result<Self, SocketError> {
        let (stack, name) = watch::channel(None);
        let (sender, requests) = mpsc::channel(REQUESTS);
        let control = Control { registry, command, requests: sender };
        let server = match args.socket.as_deref().filter(|path| *path != Path::new("")) {
            Some(path) => Server::at(path, name, control)?,
            None => Server::of_stack(name, control),
        };
        Ok(Self { server, requests, stack })
    }

    /// Splits off what the engine gets: files are loaded as by `load`, and their stack is known to
    /// the socket.
    pub(super) fn into_parts(
        self,
        load: impl Fn() -> Result<Loaded, LoadError> + Send + Sync + 'static,
    ) -> (Server, mpsc::Receiver<EngineRequest>, Loader) {
        let Self { server, requests, stack } = self;
        let load = move || {
            let loaded = load()?;
            stack.send_if_modified(|known| {
                let name = Some(loaded.desired.stack.clone());
                let new = *known != name;
                *known = name;
                new
            });
            Ok(loaded)
        };
        (server, requests, Box::new(load))
    }
}
