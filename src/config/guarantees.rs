//! What a consumer promises about each message, and which keys it makes meaningless.

use super::read::{Fields, Reading};
use crate::model::{AckMode, Origin, Problem, codes};

/// Keys that say what becomes of a message after an answer that `ack: auto` does not wait for.
const NEEDS_ANSWERS: &[&str] = &["retry", "dead_letter", "max_crashes"];

/// The keys of this file.
#[derive(Default)]
pub(super) struct Guarantees {
    pub(super) ack: AckMode,
}

impl Reading {
    /// Reads them. Every other key of the consumer has been read before.
    pub(super) fn guarantees(&mut self, fields: &mut Fields, owner: Origin) -> Guarantees {
        let words = [("each", AckMode::Each), ("auto", AckMode::Auto)];
        let ack = fields
            .read("ack", self, |r, key, node| r.choice(key, node, &words))
            .unwrap_or_default();
        if ack == AckMode::Auto {
            for key in NEEDS_ANSWERS {
                let hint = "remove one of the two: what was given to a process is done, whatever it answers";
                self.excludes(owner, "ack: auto", "ack", key, hint);
            }
            let hint = "remove one of the two: the one who asked would wait for an answer that may be lost";
            self.excludes(owner, "ack: auto", "ack", "reply", hint);
        }
        Guarantees { ack }
    }

    /// Where the consumer has that other key as well, says that the two exclude each other.
    fn excludes(&mut self, owner: Origin, shown: &str, key: &str, other: &'static str, hint: &str) {
        if self.noted(owner, other) {
            let (place, first) = (self.spots.find(owner, other), self.spots.find(owner, key));
            let message = format!("`{other}` means nothing with `{shown}`");
            self.push(
                Problem::error(codes::EXCLUSIVE, place, message)
                    .related(first, "given here")
                    .hint(hint),
            );
        }
    }
}
