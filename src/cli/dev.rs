//! `warrener dev`: the supervisor on a private throw-away RabbitMQ.
//!
//! Exit codes: 0 stopped as told, and with `--until-settled` only where the ledger balances;
//! 1 otherwise.

mod account;
mod expected;
mod feeding;
mod ledger;
mod progress;

#[cfg(test)]
mod tests;

use std::error::Error as _;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::PathBuf;
use std::pin::pin;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::SecretString;

use self::feeding::{Feeding, FeedingError};
use self::ledger::Ledger;
use super::exit::Exit;
use super::listening::{ListenArgs, Listening};
use super::signals;
use super::spinner::spinner;
use crate::engine::{Command, Engine, Options, Outcome};
use crate::files::{self, LoadError, Loaded};
use crate::model::{BrokerSpec, Desired, Endpoint, Management, TlsFiles};
use crate::sandbox::{Sandbox, SandboxOptions};
use crate::telemetry::Registry;

/// Try a stack on a private RabbitMQ that goes when this ends.
#[derive(Clone, Debug, clap::Args)]
pub struct DevArgs {
    /// Files and directories, read together as one stack; its `broker` section is not used
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Publish the messages of this file, one JSON object a line, and account for each
    #[arg(long, value_name = "FEED")]
    feed: Option<PathBuf>,
    /// The exchange for messages of the feed that name none
    #[arg(long, value_name = "NAME", default_value = "", requires = "feed")]
    exchange: String,
    /// End when every message of the feed is settled; fails unless the ledger balances
    #[arg(long, requires = "feed")]
    until_settled: bool,
    #[command(flatten)]
    listen: ListenArgs,
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
enum DevError {
    #[error(transparent)]
    Sandbox(#[from] crate::sandbox::SandboxError),
    #[error(transparent)]
    Socket(#[from] crate::admin::SocketError),
    #[error("cannot take signals: {0}")]
    Signals(std::io::Error),
    #[error("the private RabbitMQ has no usable address: {0}")]
    Address(String),
    #[error("cannot start: {0}")]
    Engine(std::io::Error),
    #[error("the files cannot be used")]
    Refused,
    #[error(transparent)]
    Feeding(#[from] FeedingError),
}

/// Runs until stopped, or until settled.
pub(super) async fn run(args: DevArgs, color: bool) -> Exit {
    // Before the broker is started: a mistake in a file should not take seconds to show.
    let loaded = match files::load(&args.files) {
        Ok(loaded) => loaded,
        Err(error) => {
            anstream::eprint!("{}", error.render(color));
            return Exit::Failed;
        }
    };
    match perform(args, loaded.desired, color).await {
        Ok(exit) => exit,
        Err(error) => {
            let mut text = error.to_string();
            let mut source = error.source();
            while let Some(cause) = source {
                // Writing into a String cannot fail.
                let _ = write!(text, ": {cause}");
                source = cause.source();
            }
            anstream::eprintln!("error: {text}");
            Exit::Failed
        }
    }
}

async fn perform(args: DevArgs, mut desired: Desired, color: bool) -> Result<Exit, DevError> {
    let command = Command::default();
    signals::obey(command.clone()).map_err(DevError::Signals)?;

    let starting = spinner("starting a private RabbitMQ");
    let sandbox = tokio::select! {
        sandbox = Sandbox::start(SandboxOptions::default()) => sandbox?,
        // What has started goes with the future.
        () = command.drain.cancelled() => return Ok(Exit::Failed),
    };
    starting.finish_and_clear();
    if desired.broker.vhost.as_str() != "/" {
        sandbox.create_vhost(desired.broker.vhost.as_str()).await?;
    }
    let broker = private_broker(&sandbox, &desired.broker)?;
    desired.broker = broker.clone();
    say_where(&sandbox, args.until_settled);

    let registry = Registry::new();
    let listening = Listening::start(&args.listen, registry.clone(), command.clone())?;
    let (server, requests, load) = listening.into_parts(loader(args.files, broker));
    let options = Options {
        load,
        registry: registry.clone(),
        watch: true,
        requests: Some(requests),
        alone: false,
        service: false,
    };
    let mut engine = pin!(Engine::run(options, command.clone()));
    let work = async {
        let balanced = match &args.feed {
            None => Ok(true),
            Some(feed) => {
                let fed = Feeding { desired: &desired, registry: &registry, command: &command };
                account(fed.run(feed, &args.exchange).await)
            }
        };
        if !args.until_settled && balanced.is_ok() {
            command.drain.cancelled().await;
        }
        balanced
    };
    let (mut balanced, mut ended) = (Ok(false), None);
    tokio::select! {
        outcome = &mut engine => ended = Some(outcome),
        done = work => balanced = done,
    }
    command.drain.cancel();
    let outcome = match ended {
        Some(outcome) => outcome,
        None => engine.await,
    };
    server.close().await;
    sandbox.stop().await;
    match outcome {
        Outcome::Stopped => {}
        Outcome::Refused(error) => {
            anstream::eprint!("{}", error.render(color));
            return Err(DevError::Refused);
        }
        Outcome::Failed(error) => return Err(DevError::Engine(error)),
    }
    let balanced = balanced?;
    Ok(if balanced || !args.until_settled { Exit::Done } else { Exit::Failed })
}

/// Shows the ledger, if it came to one, and says whether it balances.
fn account(ledger: Result<Option<Ledger>, FeedingError>) -> Result<bool, FeedingError> {
    let Some(ledger) = ledger? else { return Ok(false) };
    // The reader may have gone away; the exit code still answers.
    let _ = write!(anstream::stdout(), "\n{ledger}");
    Ok(ledger.faults().is_empty())
}

/// The broker section that takes the place of the files' own; their vhost stays.
fn private_broker(sandbox: &Sandbox, files: &BrokerSpec) -> Result<BrokerSpec, DevError> {
    let vhost = utf8_percent_encode(files.vhost.as_str(), NON_ALPHANUMERIC);
    let uri = format!("amqp://guest:guest@127.0.0.1:{}/{vhost}", sandbox.amqp_port());
    Ok(BrokerSpec {
        endpoints: vec![Endpoint {
            uri: uri.parse().map_err(DevError::Address)?,
            tls: TlsFiles::default(),
        }],
        management: Management::At {
            url: sandbox.management_url(),
            user: "guest".into(),
            password: SecretString::from("guest"),
            tls: TlsFiles::default(),
            explicit: true,
        },
        vhost: files.vhost.clone(),
    })
}

/// Loads the files as ever, but for the broker.
fn loader(
    paths: Vec<PathBuf>,
    broker: BrokerSpec,
) -> impl Fn() -> Result<Loaded, LoadError> + Send + Sync + 'static {
    move || {
        let loaded = files::load(&paths)?;
        let desired = Desired { broker: broker.clone(), ..loaded.desired };
        Ok(Loaded { desired, ..loaded })
    }
}

fn say_where(sandbox: &Sandbox, until_settled: bool) {
    let end = if until_settled { "" } else { "\n  Ctrl-C ends it and removes everything" };
    // On standard error: standard output is for the ledger.
    anstream::eprintln!(
        "RabbitMQ {} for this run alone\n  AMQP        {}\n  management  {}  (user guest, password guest){end}",
        sandbox.version(),
        sandbox.amqp_url(),
        sandbox.management_url(),
    );
}
