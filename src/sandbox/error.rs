//! Why there is no private RabbitMQ.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
use std::time::Duration;

/// Why a private RabbitMQ did not start or go on. Messages that concern the node end with the last
/// lines of its log, because its folder is gone by the time anyone reads them.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// There is no `rabbitmq-server` on this machine.
    #[error("`rabbitmq-server` is not installed\nhint: {hint}")]
    NotInstalled {
        /// How to install it on this machine.
        hint: String,
    },

    /// An alternative installation has no `rabbitmq-server`.
    #[error("no `rabbitmq-server` under `{}`\nhint: it must be the root of a system with RabbitMQ installed, as debootstrap makes it", root.display())]
    NoSuchRoot {
        /// The root that was given.
        root: PathBuf,
    },

    /// The folder of the node or something in it could not be made or read.
    #[error("cannot use `{}` for the private RabbitMQ", path.display())]
    Folder {
        /// What could not be made or read.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },

    /// A program could not be executed.
    #[error("cannot start `{program}` for the private RabbitMQ")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        source: io::Error,
    },

    /// No free ports were found, or someone else took them each time.
    #[error("no free ports on 127.0.0.1 for the private RabbitMQ")]
    NoPorts,

    /// The node ended by itself.
    #[error("the private RabbitMQ ended while starting ({status}); its last words:\n{log}")]
    Died {
        /// How it ended.
        status: ExitStatus,
        /// The last lines of its log.
        log: String,
    },

    /// The node runs but does not answer.
    #[error(
        "the private RabbitMQ did not answer on {waiting_for} within {} s; its last words:\n{log}",
        after.as_secs()
    )]
    NotReady {
        /// What did not answer, such as `AMQP` or `the management API`.
        waiting_for: &'static str,
        /// How long it was given.
        after: Duration,
        /// The last lines of its log.
        log: String,
    },

    /// The management API did not do what it was asked to.
    #[error("the private RabbitMQ refuses")]
    Refused {
        /// Its answer.
        source: reqwest::Error,
    },

    /// The node outlived every signal.
    #[error("the private RabbitMQ does not end; its last words:\n{log}")]
    DoesNotEnd {
        /// The last lines of its log.
        log: String,
    },
}

impl SandboxError {
    /// Whether another try with other ports may help.
    pub(super) fn is_port_taken(&self) -> bool {
        match self {
            Self::Died { log, .. } => {
                let log = log.to_ascii_lowercase();
                ["eaddrinuse", "address already in use", "already a epmd running"]
                    .iter()
                    .any(|words| log.contains(words))
            }
            _ => false,
        }
    }
}
