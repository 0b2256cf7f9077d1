//! The lock of a stack: of all that would apply it to one broker, one does.
//!
//! The lock is an exclusive queue. The broker lets one connection have it, tells every other one
//! so, and deletes it when that connection ends in whatever way, so no lock is left behind by a
//! `kill -9`. It is in no export and no listing of what a stack has. A queue with a single active
//! consumer would do as well, but it stays behind for good, and where a cluster is torn apart it
//! lets a second consumer become active while the first still believes to be; an exclusive queue
//! lives on the node that its connection leads to, and whoever cannot reach it has lost it.
//!
//! What is applied over AMQP goes over the connection that holds the lock, so whoever has lost the
//! lock has lost the means to apply as well.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{BasicConsumeOptions, QueueDeclareOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Consumer, ErrorKind};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::amqp::{CALL_TIMEOUT, ConnectError, OwnedChannel, Wire};
use super::declare::field_table;
use super::management::{ManagementClient, ManagementError};
use super::wires::dial;
use crate::model::{ArgValue, Arguments, Desired, QueueName, StackName, VhostName};

/// What the names of all locks begin with.
const PREFIX: &str = "warrener.lock.";

/// The argument that says who has a lock. Brokers keep arguments that they do not know.
const HOLDER: &str = "x-warrener-holder";

/// How often a connection that reports nothing by itself is looked at.
const LOOK: Duration = Duration::from_secs(1);

/// Why the lock was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockError {
    /// There is no connection.
    #[error("{0}")]
    Connect(ConnectError),
    /// Somebody else has it.
    #[error("another one has the lock of the stack")]
    Held,
    /// The broker will not let this user have it.
    #[error("{0}")]
    Denied(String),
    /// The connection was lost on the way.
    #[error("the connection was lost: {0}")]
    Lost(String),
}

/// The lock, held for as long as this lives and its connection does.
pub struct Lock {
    home: VhostName,
    wire: Arc<Wire>,
    lost: CancellationToken,
    _watch: AbortOnDropHandle<()>,
}

impl Lock {
    /// Connects and takes the lock of the stack in the vhost of its broker's address. `holder` is
    /// shown to those who find it taken.
    pub async fn take(desired: &Desired, holder: &str) -> Result<Self, LockError> {
        let home = &desired.broker.vhost;
        let connected = dial(&desired.broker, home, desired.stack.as_str()).await;
        let wire = Arc::new(connected.map_err(LockError::Connect)?);
        let taken = Self::take_on(&wire, home, &desired.stack, holder).await;
        if taken.is_err() {
            wire.close().await;
        }
        taken
    }

    async fn take_on(
        wire: &Arc<Wire>,
        home: &VhostName,
        stack: &StackName,
        holder: &str,
    ) -> Result<Self, LockError> {
        let name = lock_name(stack);
        let declared = timeout(CALL_TIMEOUT, declare(wire, &name, holder)).await;
        let (channel, consumer) = match declared {
            Ok(Ok(consuming)) => consuming,
            Ok(Err(error)) => return Err(classify(&error)),
            Err(_) => {
                let limit = CALL_TIMEOUT.as_secs();
                return Err(LockError::Lost(format!("no answer from the broker within {limit} s")));
            }
        };
        let lost = CancellationToken::new();
        let watch = tokio::spawn(watch(wire.clone(), channel, consumer, lost.clone()));
        Ok(Self {
            home: home.clone(),
            wire: wire.clone(),
            lost,
            _watch: AbortOnDropHandle::new(watch),
        })
    }

    /// The connection that holds it.
    pub fn wire(&self) -> &Arc<Wire> {
        &self.wire
    }

    /// The vhost that it is in.
    pub fn home(&self) -> &VhostName {
        &self.home
    }

    /// Waits until it is lost.
    pub async fn lost(&self) {
        self.lost.cancelled().await;
    }

    /// Lets go of it.
    pub async fn release(self) {
        self.wire.close().await;
    }
}

/// Who this process is, to those who find a lock taken: `warrener run on HOST, process 123`.
pub fn holder(command: &str) -> String {
    let host = nix::unistd::gethostname().ok();
    let host = host.as_deref().and_then(std::ffi::OsStr::to_str).unwrap_or("an unnamed host");
    format!("`warrener {command}` on {host}, process {}", std::process::id())
}

/// What can be seen of a lock from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LockSight {
    /// Nobody has it.
    Free,
    /// Somebody has it; in their own words who, where they say.
    Taken(Option<String>),
    /// It cannot be seen.
    Unseen,
}

/// Looks whether somebody has the lock, without trying to take it: the broker logs an error for
/// every try that fails.
pub async fn look_at_lock(desired: &Desired, management: Option<&ManagementClient>) -> LockSight {
    let Some(client) = management else { return LockSight::Unseen };
    match client.queue(&desired.broker.vhost, &lock_name(&desired.stack)).await {
        Ok(queue) => LockSight::Taken(
            queue.arguments.get(HOLDER).and_then(|v| v.as_str()).map(str::to_owned),
        ),
        Err(ManagementError::NotFound { what }) if !what.starts_with("vhost") => LockSight::Free,
        Err(_) => LockSight::Unseen,
    }
}

fn lock_name(stack: &StackName) -> QueueName {
    QueueName::new(format!("{PREFIX}{stack}")).unwrap_or_else(|_| {
        // Only its length can be at fault.
        let hash = blake3::hash(stack.as_str().as_bytes()).to_hex();
        QueueName::new(format!("{PREFIX}{hash}")).expect("79 letters and digits")
    })
}

async fn declare(
    wire: &Wire,
    name: &QueueName,
    holder: &str,
) -> lapin::Result<(OwnedChannel, Consumer)> {
    let channel = OwnedChannel::open(&wire.connection).await?;
    let arguments = Arguments::from([
        (HOLDER.into(), ArgValue::Str(holder.into())),
        // Whatever the vhost's default is: no other type can be exclusive.
        ("x-queue-type".into(), ArgValue::Str("classic".into())),
    ]);
    let arguments = field_table(&arguments).unwrap_or_else(|_| {
        let mut bare = FieldTable::default();
        bare.insert("x-queue-type".into(), AMQPValue::LongString("classic".into()));
        bare
    });
    let options = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
    channel.queue_declare(name.as_str().into(), options, arguments).await?;
    // A policy may expire queues that nobody consumes; and the end of the consumer tells that
    // somebody has deleted the queue.
    let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
    let consumer = channel
        .basic_consume(name.as_str().into(), "".into(), options, FieldTable::default())
        .await?;
    Ok((channel, consumer))
}

/// Waits for the end of the lock, and ends its connection then: nothing more is applied on it.
async fn watch(
    wire: Arc<Wire>,
    _channel: OwnedChannel,
    mut consumer: Consumer,
    lost: CancellationToken,
) {
    loop {
        tokio::select! {
            message = consumer.next() => if !matches!(message, Some(Ok(_))) { break },
            () = tokio::time::sleep(LOOK) => if !wire.connection.status().connected() { break },
        }
    }
    wire.cut();
    lost.cancel();
}

fn classify(error: &lapin::Error) -> LockError {
    let ErrorKind::ProtocolError(amqp) = error.kind() else {
        return LockError::Lost(error.to_string());
    };
    match amqp.kind() {
        AMQPErrorKind::Soft(AMQPSoftError::RESOURCELOCKED) => LockError::Held,
        AMQPErrorKind::Soft(_) => LockError::Denied(amqp.get_message().to_string()),
        AMQPErrorKind::Hard(_) => LockError::Lost(amqp.get_message().to_string()),
    }
}
