//! Consumers.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::Path;
use std::time::Duration;

use super::node::{Entry, Node, Value};
use super::read::{Fields, Reading};
use crate::model::{
    ArgValue, ConsumerName, ConsumerSpec, Order, Problem, Program, QueueName, QueueType,
    RestartPolicy, StopSignal, StopSpec, VhostName, WireProtocol, codes,
};

/// How long a message may take where the file does not say: five minutes short of the 30 minutes
/// after which the broker would take back everything on the channel, the innocent included.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_mins(25);

/// Messages in flight per worker where the file does not say. One with `exec`, whose processes take
/// one message each.
const DEFAULT_PREFETCH: NonZeroU16 = NonZeroU16::new(64).expect("64 is not 0");

/// Longest body and longest reply where the file does not say.
const DEFAULT_MAX_MESSAGE: NonZeroU32 = NonZeroU32::new(16 << 20).expect("16 MiB is not 0");
const DEFAULT_MAX_REPLY: NonZeroU32 = NonZeroU32::new(1 << 20).expect("1 MiB is not 0");

/// Children that may die over one message where the file does not say.
const DEFAULT_MAX_CRASHES: NonZeroU32 = NonZeroU32::new(3).expect("3 is not 0");

/// The broker's own ceiling for one message.
const MAX_MESSAGE: u64 = 512 << 20;

/// Keys that later versions have.
const LATER: &[&str] = &["plugin", "with"];

/// A consumer of a file and whether it is to run.
pub(super) struct Draft {
    pub(super) spec: ConsumerSpec,
    pub(super) enabled: bool,
}

impl Reading {
    /// `consumers:`; `home` is the vhost of the broker's address, `folder` that of the file.
    pub(super) fn consumer(
        &mut self,
        entry: Entry,
        home: &VhostName,
        folder: &Path,
    ) -> Option<Draft> {
        let origin = entry.key_origin;
        let name = self.key_name(&entry, ConsumerName::new)?;
        let mut fields = self.fields(&entry.key, origin, entry.value)?;
        let vhost = fields.read("vhost", self, |r, key, node| r.name(key, node, VhostName::new));
        let queue = fields.read("queue", self, |r, key, node| r.name(key, node, QueueName::new));
        if queue.is_none() && !self.noted(origin, "queue") {
            let message = format!("consumer `{name}` has no `queue`");
            self.push(Problem::error(codes::MISSING, origin, message).hint("add `queue: NAME`"));
        }
        let program = self.program(&mut fields, &name);
        let wire = self.wire(&mut fields);
        let pool = fields.read("workers", self, Self::workers);
        let recycle = fields.read("recycle", self, Self::recycle);
        if recycle.is_some() {
            self.exec_has_nobody_to("recycle", wire.protocol, origin);
        }
        let prefetch = fields.read("prefetch", self, |r, key, node| r.count(key, node, u16::MAX));
        let timeout = fields.read("timeout", self, |r, key, node| match &node.value {
            Value::Scalar(scalar) if scalar.text == "none" => Some(None),
            _ => r.duration(key, node).map(Some),
        });
        let retry = fields.read("retry", self, Self::retry);
        let max_crashes = fields.read("max_crashes", self, |r, key, node| r.count(key, node, 1000));
        let by_broker = fields.read("dead_letter", self, Self::dead_letter_by);
        let discard = fields.read("discard", self, Self::boolean);
        let env = fields.read("env", self, |r, _, node| Some(r.env(node)));
        let confinement = self.confinement(&mut fields);
        let cwd = fields.read("cwd", self, Self::text);
        let restart = fields.read("restart", self, Self::restart);
        if restart.as_ref().is_some_and(|restart| restart.policy != RestartPolicy::Permanent) {
            self.exec_has_nobody_to("restart", wire.protocol, origin);
        }
        let stop = fields.read("stop", self, Self::stop);
        let rollout = fields.read("rollout", self, Self::rollout);
        let max_message =
            fields.read("max_message", self, |r, key, node| r.size(key, node, 1..=MAX_MESSAGE));
        let max_reply = fields.read("max_reply", self, |r, key, node| {
            r.size(key, node, 64..=u64::from(u32::MAX >> 2))
        });
        let mut arguments = fields
            .read("arguments", self, |r, key, node| Some(r.arguments(key, origin, node)))
            .unwrap_or_default();
        let priority = fields.read("priority", self, |r, key, node| {
            r.whole(key, node, i64::from(i32::MIN)..=i64::from(i32::MAX))
        });
        if let Some(priority) = priority {
            self.dedicated(
                origin,
                &mut arguments,
                "priority",
                "x-priority",
                ArgValue::Int(priority),
            );
        }
        let enabled = fields.read("enabled", self, Self::boolean).unwrap_or(true);
        let one = NonZeroU16::MIN;
        let guarantees = self.guarantees(&mut fields, origin);
        if guarantees.order == Order::Strict {
            let several = pool.as_ref().is_some_and(|pool| pool.max > one);
            let many = prefetch.is_some_and(|prefetch| prefetch > one);
            self.one_after_the_other(origin, several, many, rollout.as_ref());
        }
        fields.finish(self, LATER);
        let narrow = |size: Option<u64>, default: NonZeroU32| {
            size.and_then(|size| NonZeroU32::new(u32::try_from(size).ok()?)).unwrap_or(default)
        };
        let spec = ConsumerSpec {
            name,
            vhost: vhost.unwrap_or_else(|| home.clone()),
            queue: queue?,
            // Settled by the fleet, which sees the queue and the policies.
            queue_type: QueueType::Classic,
            dead_letters: false,
            // What could not be read is reported already; a stand-in lets the rest be judged too.
            program: program.unwrap_or(Program::Command(Vec::new())),
            protocol: wire.protocol,
            replies: wire.replies,
            ready: wire.ready,
            reply_from_stdout: wire.reply_from_stdout,
            metadata: wire.metadata,
            workers: pool.as_ref().map_or(one, |pool| pool.min),
            pool: pool.filter(|pool| pool.max > pool.min),
            recycle: recycle.unwrap_or_default(),
            prefetch: prefetch.unwrap_or(
                if wire.protocol == WireProtocol::Exec || guarantees.order == Order::Strict {
                    one
                } else {
                    DEFAULT_PREFETCH
                },
            ),
            timeout: timeout.unwrap_or(Some(DEFAULT_TIMEOUT)),
            retry,
            max_crashes: max_crashes.map_or(DEFAULT_MAX_CRASHES, NonZeroU32::from),
            dead_letter_by_broker: by_broker.unwrap_or(false),
            discard: discard.unwrap_or_else(|| self.noted(origin, "discard")),
            exit_codes: wire.exit_codes,
            confinement,
            env: env.unwrap_or_default(),
            cwd: cwd.map_or_else(|| folder.to_owned(), |cwd| folder.join(cwd)),
            restart: restart.unwrap_or_default(),
            stop: stop.unwrap_or_default(),
            rollout: rollout.unwrap_or_default(),
            ack: guarantees.ack,
            order: guarantees.order,
            dedupe: guarantees.dedupe,
            max_message: narrow(max_message, DEFAULT_MAX_MESSAGE),
            max_reply: narrow(max_reply, DEFAULT_MAX_REPLY),
            arguments,
            origin,
        };
        Some(Draft { spec, enabled })
    }

    fn program(&mut self, fields: &mut Fields, name: &ConsumerName) -> Option<Program> {
        let owner = fields.owner;
        let command = fields.take("command");
        let shell = fields.take("shell");
        if let (Some(command), Some(shell)) = (&command, &shell) {
            self.push(
                Problem::error(
                    codes::EXCLUSIVE,
                    shell.key_origin,
                    "`command` and `shell` exclude each other",
                )
                .related(command.key_origin, "also given here"),
            );
        }
        match (command, shell) {
            (Some(command), _) => self.command(&command.value),
            (None, Some(shell)) => {
                let text = self.text("shell", &shell.value)?;
                if !text.trim().is_empty() && !text.contains('\0') {
                    return Some(Program::Shell(text));
                }
                let message = "`shell` needs a text to run";
                self.push(Problem::error(codes::VALUE, shell.value.origin, message));
                None
            }
            (None, None) => {
                let message = format!("consumer `{name}` has no `command`");
                self.push(
                    Problem::error(codes::MISSING, owner, message)
                        .hint("add `command: [program, argument]` or `shell: \"…\"`"),
                );
                None
            }
        }
    }

    fn command(&mut self, node: &Node) -> Option<Program> {
        if let Value::Scalar(scalar) = &node.value {
            let words: Vec<_> = scalar.shown().split_whitespace().collect();
            let message = "`command` takes a list: the program and its arguments";
            self.push(Problem::error(codes::SHAPE, node.origin, message).hint(format!(
                "write `command: [{}]`, or `shell:` for a line that the shell takes apart",
                words.join(", ")
            )));
            return None;
        }
        let words = self.texts("command", node)?;
        let problem = match words.first() {
            None => "`command` needs a program",
            Some(program) if program.is_empty() => "the program of `command` is an empty text",
            Some(_) if words.iter().any(|word| word.contains('\0')) => {
                "an argument cannot contain a zero byte"
            }
            Some(_) => return Some(Program::Command(words)),
        };
        self.push(Problem::error(codes::VALUE, node.origin, problem));
        None
    }

    fn env(&mut self, node: &Node) -> BTreeMap<String, String> {
        let mut env = BTreeMap::new();
        let entry = Entry { key: "env".into(), key_origin: node.origin, value: node.clone() };
        for entry in self.section(entry) {
            if entry.key.is_empty() || entry.key.contains(['=', '\0']) {
                let message =
                    format!("`{}` cannot be the name of a variable", entry.key.escape_debug());
                self.push(Problem::error(codes::NAME, entry.key_origin, message));
            } else if let Some(value) = self.text(&entry.key, &entry.value) {
                if value.contains('\0') {
                    let message = format!("the value of `{}` contains a zero byte", entry.key);
                    self.push(Problem::error(codes::VALUE, entry.value.origin, message));
                }
                env.insert(entry.key, value);
            }
        }
        env
    }

    fn stop(&mut self, key: &str, node: &Node) -> Option<StopSpec> {
        let mut fields = self.fields(key, node.origin, node.clone())?;
        let default = StopSpec::default();
        let words = [
            ("TERM", StopSignal::Term),
            ("INT", StopSignal::Int),
            ("QUIT", StopSignal::Quit),
            ("HUP", StopSignal::Hup),
            ("USR1", StopSignal::Usr1),
            ("USR2", StopSignal::Usr2),
        ];
        let signal = fields.read("signal", self, |r, key, node| r.choice(key, node, &words));
        let grace =
            fields.read("grace", self, |r, key, node| r.duration_from(key, node, Duration::ZERO));
        fields.finish(self, &[]);
        Some(StopSpec {
            signal: signal.unwrap_or(default.signal),
            grace: grace.unwrap_or(default.grace),
        })
    }
}
