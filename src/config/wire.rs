//! How a consumer's processes are spoken with: the protocol, and the keys that go with it.

use std::time::Duration;

use super::node::Node;
use super::read::{Fields, Reading, misshapen};
use crate::model::{
    BodyAs, Delimiter, ExitCodes, ExitVerdict, Origin, Problem, Replies, WireProtocol, codes,
};

/// How long a process may take to say that it is ready, where the file does not say.
const DEFAULT_START_TIMEOUT: Duration = Duration::from_secs(30);

/// The keys of a consumer that are about its wire, resolved.
pub(super) struct Wire {
    pub(super) protocol: WireProtocol,
    pub(super) exit_codes: ExitCodes,
    pub(super) replies: Replies,
    pub(super) ready: Option<Duration>,
    pub(super) reply_from_stdout: bool,
    pub(super) metadata: bool,
}

/// For which protocols a key means something.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Json,
    Lines,
    Frames,
    Exec,
}

/// The keys that only some protocols have: key, protocols, and their names for a person.
const KEYS: [(&str, &[Kind], &str); 9] = [
    ("body_as", &[Kind::Json], "`protocol: json`"),
    ("delimiter", &[Kind::Lines], "`protocol: lines`"),
    ("exit_codes", &[Kind::Exec], "`protocol: exec`"),
    ("reply", &[Kind::Exec], "`protocol: exec`"),
    ("metadata_fd", &[Kind::Exec], "`protocol: exec`"),
    ("replies", STREAMS, STREAMS_SHOWN),
    ("tty", STREAMS, STREAMS_SHOWN),
    ("ready", STREAMS, STREAMS_SHOWN),
    ("start_timeout", STREAMS, STREAMS_SHOWN),
];

/// The protocols in which one process takes many messages.
const STREAMS: &[Kind] = &[Kind::Json, Kind::Lines, Kind::Frames];
const STREAMS_SHOWN: &str = "`protocol: json`, `lines` or `frames`";

impl Reading {
    /// Reads all of them.
    pub(super) fn wire(&mut self, fields: &mut Fields) -> Wire {
        let owner = fields.owner;
        let kinds = [
            ("json", Kind::Json),
            ("lines", Kind::Lines),
            ("frames", Kind::Frames),
            ("exec", Kind::Exec),
        ];
        let kind = fields.read("protocol", self, |r, key, node| r.choice(key, node, &kinds));
        let kind = kind.unwrap_or(Kind::Json);
        let words = [("string", BodyAs::String), ("json", BodyAs::Json)];
        let body_as = fields.read("body_as", self, |r, key, node| r.choice(key, node, &words));
        let words = [("newline", Delimiter::Newline), ("nul", Delimiter::Nul)];
        let delimiter = fields.read("delimiter", self, |r, key, node| r.choice(key, node, &words));
        let exit_codes = self.exit_codes(fields);
        let words = [("stdout", Replies::Stdout), ("fd3", Replies::Fd3)];
        let replies = fields.read("replies", self, |r, key, node| r.choice(key, node, &words));
        let tty = fields.read("tty", self, Self::boolean).unwrap_or(false);
        if tty && replies == Some(Replies::Fd3) {
            let message =
                "with `tty` the answers come on the terminal, with `replies: fd3` elsewhere";
            let place = self.spots.find(owner, "tty");
            self.push(
                Problem::error(codes::EXCLUSIVE, place, message)
                    .related(self.spots.find(owner, "replies"), "given here")
                    .hint("remove one of the two"),
            );
        }
        let ready = fields.read("ready", self, Self::boolean);
        let start_timeout = fields.read("start_timeout", self, Self::duration);
        let reply = fields.read("reply", self, |r, key, node| {
            r.choice(key, node, &[("none", false), ("stdout", true)])
        });
        let metadata = fields.read("metadata_fd", self, Self::metadata_fd);
        for (key, protocols, shown) in KEYS {
            if self.noted(owner, key) && !protocols.contains(&kind) {
                self.foreign(owner, key, shown);
            }
        }
        if self.noted(owner, "start_timeout") && !self.noted(owner, "ready") {
            self.foreign(owner, "start_timeout", "`ready: true`");
        }
        let ready = ready.unwrap_or(false);
        Wire {
            protocol: match kind {
                Kind::Json => WireProtocol::Json { body_as: body_as.unwrap_or_default() },
                Kind::Lines => WireProtocol::Lines { delimiter: delimiter.unwrap_or_default() },
                Kind::Frames => WireProtocol::Frames,
                Kind::Exec => WireProtocol::Exec,
            },
            exit_codes,
            replies: if tty { Replies::Terminal } else { replies.unwrap_or_default() },
            ready: ready.then(|| start_timeout.unwrap_or(DEFAULT_START_TIMEOUT)),
            reply_from_stdout: reply.unwrap_or(false),
            metadata: metadata.is_some(),
        }
    }

    /// A key that means something only beside another.
    fn foreign(&mut self, owner: Origin, key: &str, needed: &str) {
        let place = self.spots.find(owner, key);
        let message = format!("`{key}` means something only with {needed}");
        self.push(
            Problem::error(codes::PROTOCOL, place, message)
                .hint(format!("remove it, or set {needed}")),
        );
    }

    /// The descriptor for the metadata: a key that says where, so that the program's author need
    /// not look it up, and so far always the same.
    fn metadata_fd(&mut self, key: &str, node: &Node) -> Option<i64> {
        let number = self.whole(key, node, 0..=i64::from(i32::MAX))?;
        if number != 3 {
            let problem = misshapen(key, "the descriptor 3 and no other", node);
            self.push(Problem { code: codes::VALUE, ..problem });
        }
        Some(number)
    }

    fn exit_codes(&mut self, fields: &mut Fields) -> ExitCodes {
        let mut codes = ExitCodes::default();
        let owner = fields.owner;
        let Some(entry) = fields.take("exit_codes") else { return codes };
        self.spots.note(owner, "exit_codes", entry.key_origin);
        let words = [
            ("ack", ExitVerdict::Ack),
            ("nack", ExitVerdict::Nack),
            ("reject", ExitVerdict::Reject),
            ("requeue", ExitVerdict::Requeue),
        ];
        for entry in self.section(entry) {
            let verdict = self.choice(&entry.key, &entry.value, &words);
            let code = entry.key.parse::<u8>();
            match (entry.key.as_str(), code, verdict) {
                (_, _, None) => {}
                ("default", _, Some(verdict)) => codes.default = verdict,
                (_, Ok(code), Some(verdict)) => {
                    codes.codes.insert(code, verdict);
                }
                (key, Err(_), _) => {
                    let message = format!("`{key}` is no exit code");
                    self.push(
                        Problem::error(crate::model::codes::VALUE, entry.key_origin, message)
                            .hint("exit codes are 0 to 255; `default` stands for all others"),
                    );
                }
            }
        }
        codes
    }
}
