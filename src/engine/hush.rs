//! The commonest mistake of a consumer, noticed early: it answers, and its language keeps the
//! answers in a buffer until there are some kilobytes of them.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::{ConsumerSpec, Program, Replies};

/// How long a child may have a message and say nothing before it is worth a word.
const LONG: Duration = Duration::from_secs(5);

/// The silence of one child, from its first message to its first word.
#[derive(Debug)]
pub(super) struct Hush {
    long: Duration,
    /// When it has lasted for long.
    until: Option<Instant>,
    /// Whether there is nothing more to watch for.
    over: bool,
}

impl Default for Hush {
    fn default() -> Self {
        Self::of(LONG)
    }
}

impl Hush {
    /// One that is noticed when it has lasted for so long.
    fn of(long: Duration) -> Self {
        Self { long, until: None, over: false }
    }

    /// The child gets a message.
    pub(super) fn begins(&mut self) {
        if !self.over && self.until.is_none() {
            self.until = Some(Instant::now() + self.long);
        }
    }

    /// The child has said something.
    pub(super) fn broken(&mut self) {
        self.until = None;
        self.over = true;
    }

    /// Waits until it has lasted for long, once. Cancel-safe.
    pub(super) async fn lasts(&mut self) {
        match self.until {
            Some(until) => tokio::time::sleep_until(until).await,
            None => std::future::pending().await,
        }
        self.broken();
    }
}

/// Says what it probably is, and the mend.
pub(super) fn hint(spec: &ConsumerSpec, worker: u16) {
    let hint = mend(&spec.program, spec.replies);
    tracing::warn!(
        consumer = %spec.name,
        worker,
        hint,
        "it has had a message for {} s and has said nothing; if it has answered, it does not flush its output",
        LONG.as_secs()
    );
}

/// How the program's language is made to flush, as far as the command tells the language.
fn mend(program: &Program, replies: Replies) -> &'static str {
    if replies == Replies::Terminal {
        return "it writes to a terminal and holds back even there: flush after each answer";
    }
    let words: Vec<&str> = match program {
        Program::Command(words) => words.iter().map(String::as_str).collect(),
        Program::Shell(text) => text.split_whitespace().collect(),
    };
    let names = words.iter().map(|word| word.rsplit('/').next().unwrap_or(word));
    for name in names {
        let language = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.');
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        return match (language, ending) {
            ("python" | "pypy", _) | (_, "py") => {
                "`print(…, flush=True)`, or `python3 -u`, or `env: { PYTHONUNBUFFERED: 1 }`"
            }
            ("perl", _) | (_, "pl") => "`$| = 1;` at the top of the program",
            ("ruby", _) | (_, "rb") => "`$stdout.sync = true` at the top of the program",
            ("awk" | "gawk" | "mawk" | "nawk", _) | (_, "awk") => {
                "`fflush()` after each `print`; mawk also needs `-W interactive` to read line by line"
            }
            ("sed", _) => "`sed -u`",
            ("grep", _) => "`grep --line-buffered`",
            ("jq", _) => "`jq --unbuffered`",
            _ => continue,
        };
    }
    match replies {
        Replies::Fd3 => "flush what is written to descriptor 3 after each answer",
        Replies::Stdout | Replies::Terminal => {
            "flush standard output after each answer; for programs that cannot, `tty: true`"
        }
    }
}

#[cfg(test)]
mod tests;
