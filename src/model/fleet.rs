//! What should run: consumers, and how each is fed, answered, retried, restarted and stopped.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use super::{
    AckMode, Arguments, Confinement, ConsumerName, DedupeSpec, Order, Origin, Problem, QueueName,
    QueueType, RetrySpec, Spots, Topology, VhostName, fleet_proof,
};

/// What to execute.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Program {
    /// A program and its arguments; no shell comes near it. Never empty.
    Command(Vec<String>),
    /// A text for `/bin/sh -c`.
    Shell(String),
}

/// How the body stands in a `json` envelope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum BodyAs {
    /// A JSON string; bytes that are not UTF-8 as base64 with `"encoding":"base64"`.
    #[default]
    String,
    /// A body that is valid JSON is embedded as it is, unparsed and unchanged.
    Json,
}

/// What ends a message of the `lines` protocol.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Delimiter {
    /// `\n`.
    #[default]
    Newline,
    /// A zero byte, for bodies with newlines in them.
    Nul,
}

/// How messages reach the child, see `docs/protocol.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireProtocol {
    /// One JSON object a line.
    Json {
        /// How the body is embedded.
        body_as: BodyAs,
    },
    /// The body and a delimiter, nothing else.
    Lines {
        /// What ends a message.
        delimiter: Delimiter,
    },
    /// A JSON line without the body but with its length, then the body as it is, then a newline.
    Frames,
    /// One process a message; its exit code answers.
    Exec,
}

/// Where the child answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Replies {
    /// On its standard output.
    #[default]
    Stdout,
    /// On its standard output, which is a pseudo terminal: programs that hold back what they write
    /// to a pipe do not hold it back there.
    Terminal,
    /// On a pipe that it finds as its descriptor 3; its standard output is log.
    Fd3,
}

/// What an exit code of an `exec` child means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExitVerdict {
    /// Done.
    Ack,
    /// Failed: the retry policy decides.
    Nack,
    /// Can never succeed: dead-letter.
    Reject,
    /// Give it back untouched.
    Requeue,
}

/// Exit codes and their meanings. The defaults are those of rabbitmq-cli-consumer, so that scripts
/// written for it work unchanged: 0 ack, 3 and 5 reject, 4 and 6 requeue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExitCodes {
    /// Meaning of single codes.
    pub codes: BTreeMap<u8, ExitVerdict>,
    /// Meaning of every other code and of death by a signal.
    pub default: ExitVerdict,
}

impl Default for ExitCodes {
    fn default() -> Self {
        use ExitVerdict::{Ack, Nack, Reject, Requeue};
        Self {
            codes: [(0, Ack), (3, Reject), (4, Requeue), (5, Reject), (6, Requeue)].into(),
            default: Nack,
        }
    }
}

/// Which workers are started again when their process has ended by itself; the words of OTP.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RestartPolicy {
    /// All.
    #[default]
    Permanent,
    /// Those that failed: not one that ended with exit code 0 and owed no answer.
    Transient,
    /// None.
    Temporary,
}

/// How often the workers of a consumer may be started again, all together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Intensity {
    /// So many times in a period; once more is too often.
    pub max: u32,
    /// The period.
    pub period: Duration,
}

/// When and how fast a worker that ended is started again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestartSpec {
    /// Whether it is.
    pub policy: RestartPolicy,
    /// Pause before the first restart; it doubles with each failure in a row.
    pub backoff: Duration,
    /// The longest pause.
    pub backoff_max: Duration,
    /// A worker that lived this long has proven itself: its failures are forgotten.
    pub reset_after: Duration,
    /// How often, before the consumer is cut off from its queue for a while.
    pub intensity: Intensity,
}

impl Default for RestartSpec {
    fn default() -> Self {
        Self {
            policy: RestartPolicy::default(),
            backoff: Duration::from_secs(1),
            backoff_max: Duration::from_mins(1),
            reset_after: Duration::from_mins(1),
            intensity: Intensity { max: 5, period: Duration::from_mins(1) },
        }
    }
}

/// How a new version of a consumer comes in.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum RolloutSpec {
    /// One worker after the other.
    #[default]
    Rolling,
    /// All at once: the new ones beside the old ones, which go when all new ones are ready.
    Replace,
    /// One new worker beside the old ones first, and the others only if it is as good as they are.
    Canary(CanarySpec),
}

/// When one new worker has shown that it is as good as the old ones.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CanarySpec {
    /// After it has handled so many messages,
    pub messages: NonZeroU32,
    /// or after so long.
    pub time: Duration,
    /// Failed messages in a hundred that are too many whatever the old ones do; `None` where only
    /// the comparison counts.
    pub max_error_percent: Option<u8>,
    /// How long its messages may take, in per cent of those of the old ones.
    pub max_latency_percent: u32,
}

impl Default for CanarySpec {
    fn default() -> Self {
        Self {
            messages: NonZeroU32::new(100).expect("100 is not 0"),
            time: Duration::from_mins(5),
            max_error_percent: None,
            max_latency_percent: 300,
        }
    }
}

/// Workers whose number follows the queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PoolSpec {
    /// Never fewer.
    pub min: NonZeroU16,
    /// Never more; not below `min`.
    pub max: NonZeroU16,
    /// Waiting messages for which there is one worker.
    pub backlog: NonZeroU32,
    /// For how long fewer workers must have sufficed before some go.
    pub cool_down: Duration,
}

/// When a worker has done its share and another takes its place; each limit by itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecycleSpec {
    /// Messages.
    pub messages: Option<NonZeroU32>,
    /// Time since its process was started.
    pub age: Option<Duration>,
    /// Time without a message, after it has had one.
    pub idle: Option<Duration>,
    /// Bytes of memory, its descendants included.
    pub memory: Option<u64>,
}

impl RecycleSpec {
    /// Whether there is any limit.
    pub fn is_wanted(&self) -> bool {
        *self != Self::default()
    }
}

/// The first signal of a stop, after end of input has not sufficed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StopSignal {
    /// `SIGTERM`.
    #[default]
    Term,
    /// `SIGINT`.
    Int,
    /// `SIGQUIT`.
    Quit,
    /// `SIGHUP`.
    Hup,
    /// `SIGUSR1`.
    Usr1,
    /// `SIGUSR2`.
    Usr2,
}

/// How a worker is stopped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StopSpec {
    /// What is sent to the process group when the grace time is over.
    pub signal: StopSignal,
    /// How long a worker may go on with what it holds.
    pub grace: Duration,
}

impl Default for StopSpec {
    fn default() -> Self {
        Self { signal: StopSignal::Term, grace: Duration::from_secs(30) }
    }
}

/// One consumer of the file, resolved: nothing in it is optional that has a default.
///
/// Two equal specs need the same processes; a reload replaces the workers of a consumer only where
/// its spec differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerSpec {
    /// Its key in the file.
    pub name: ConsumerName,
    /// The vhost of its queue.
    pub vhost: VhostName,
    /// What it consumes.
    pub queue: QueueName,
    /// The type of that queue, which decides what can be done with a message.
    pub queue_type: QueueType,
    /// Whether what is rejected goes anywhere: an argument or a policy of the files gives the
    /// queue a dead-letter exchange.
    pub dead_letters: bool,
    /// What to execute.
    pub program: Program,
    /// How messages reach the child.
    pub protocol: WireProtocol,
    /// Where the child answers.
    pub replies: Replies,
    /// How long a child may take to say that it is ready; `None` where it is when it runs.
    pub ready: Option<Duration>,
    /// With `exec`: whether what the child writes to its standard output is the reply to whoever
    /// asked, rather than log.
    pub reply_from_stdout: bool,
    /// With `exec`: whether the child finds everything about its message but the body on its
    /// descriptor 3.
    pub metadata: bool,
    /// Worker processes; with `exec`, processes at once. The least of them where they scale.
    pub workers: NonZeroU16,
    /// How their number follows the queue, if it does.
    pub pool: Option<PoolSpec>,
    /// When one is replaced.
    pub recycle: RecycleSpec,
    /// Messages in flight, per worker.
    pub prefetch: NonZeroU16,
    /// How long one message may take; `None` for no limit of ours.
    pub timeout: Option<Duration>,
    /// Retries, if any.
    pub retry: Option<RetrySpec>,
    /// After how many children that died over it a message is dead-lettered.
    pub max_crashes: NonZeroU32,
    /// Whether the broker does the dead-lettering, which leaves a message as it is, without a reason.
    pub dead_letter_by_broker: bool,
    /// Whether a rejected message may vanish where the queue dead-letters nowhere.
    pub discard: bool,
    /// Meaning of exit codes, for `exec`.
    pub exit_codes: ExitCodes,
    /// Who its processes are, what they see and how much they get.
    pub confinement: Confinement,
    /// Variables set for the child on top of those that pass.
    pub env: BTreeMap<String, String>,
    /// Working directory, absolute; by default the folder of the file that declares the consumer.
    pub cwd: PathBuf,
    /// Restarting.
    pub restart: RestartSpec,
    /// Stopping.
    pub stop: StopSpec,
    /// How this version comes in. Matters only then, so it is no reason for other processes.
    pub rollout: RolloutSpec,
    /// When the broker is told that a message is done.
    pub ack: AckMode,
    /// In which order messages are handled.
    pub order: Order,
    /// Which messages are acked unseen, because they were handled already.
    pub dedupe: Option<DedupeSpec>,
    /// Longest body handed to a child, bytes; longer ones are dead-lettered as `too_large`.
    pub max_message: NonZeroU32,
    /// Longest reply line of a child, bytes.
    pub max_reply: NonZeroU32,
    /// Arguments to `basic.consume`, `x-priority` among them.
    pub arguments: Arguments,
    /// Where it was declared.
    pub origin: Origin,
}

impl ConsumerSpec {
    /// Whether a failed message is tried again where it stands: what follows it must not overtake
    /// it, or it cannot be taken out.
    pub fn in_place(&self) -> bool {
        self.order == Order::Strict || self.queue_type == QueueType::Stream
    }
}

/// The consumers that should run, each on a queue that the topology has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fleet {
    pub(super) consumers: BTreeMap<ConsumerName, ConsumerSpec>,
}

impl Fleet {
    /// Proves the consumers against the topology, or gives every problem there is. What follows
    /// from the topology, `queue_type` and `dead_letters`, is settled here whatever was given.
    pub fn new(consumers: Vec<ConsumerSpec>, topology: &Topology) -> Result<Self, Vec<Problem>> {
        match fleet_proof::run(consumers, topology, &Spots::default()) {
            (fleet, problems) if problems.is_empty() => Ok(fleet),
            (_, problems) => Err(problems),
        }
    }

    /// Consumers by name.
    pub fn consumers(&self) -> impl ExactSizeIterator<Item = &ConsumerSpec> {
        self.consumers.values()
    }

    /// The consumer of that name.
    pub fn get(&self, name: &ConsumerName) -> Option<&ConsumerSpec> {
        self.consumers.get(name)
    }
}
