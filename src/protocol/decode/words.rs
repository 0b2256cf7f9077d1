//! Replies as words: `ack 3-42`.

use std::borrow::Cow;
use std::str;

use super::{Fault, FaultKind, Level, Line, Reply, Target, Verb, Verdict, duration, excerpt};
use crate::protocol::DeliveryId;

/// Reads a line without its end that does not begin with `{`.
pub(super) fn read(line: &[u8]) -> Line<'_> {
    let (verb, rest) = split(line);
    match verb {
        b"ack" => bare(line, rest, Verb::Ack, Verdict::Ack),
        b"requeue" => bare(line, rest, Verb::Requeue, Verdict::Requeue),
        b"nack" => with_reason(line, rest, |reason| Verdict::Nack { reason }),
        b"reject" => with_reason(line, rest, |reason| Verdict::Reject { reason }),
        b"retry" | b"extend" => timed(line, verb, rest),
        b"log" => log(line, rest),
        b"ready" if rest.is_empty() => Line::Ready,
        b"stop" if rest.is_empty() => Line::Stop,
        _ => Line::Log(line),
    }
}

/// The first word, and the rest from the word after it.
fn split(text: &[u8]) -> (&[u8], &[u8]) {
    let end = text.iter().position(|&byte| is_blank(byte)).unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let blanks = rest.iter().take_while(|&&byte| is_blank(byte)).count();
    (word, &rest[blanks..])
}

fn is_blank(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// The id that the words begin with, if they do, and the words after it.
fn target(rest: &[u8]) -> (Target, &[u8]) {
    let (word, after) = split(rest);
    match DeliveryId::parse(word) {
        Some(id) => (Target::Id(id), after),
        None => (Target::Oldest, rest),
    }
}

/// `ack` and `requeue`: an id or nothing.
fn bare<'a>(line: &'a [u8], rest: &'a [u8], verb: Verb, verdict: Verdict) -> Line<'a> {
    let (target, rest) = target(rest);
    if rest.is_empty() { reply(target, verdict) } else { misshapen(line, target, verb) }
}

/// `nack` and `reject`: whatever follows the id is the reason.
fn with_reason<'a>(
    line: &'a [u8],
    rest: &'a [u8],
    verdict: impl FnOnce(Option<Box<str>>) -> Verdict,
) -> Line<'a> {
    let (target, rest) = target(rest);
    match reason(rest) {
        Ok(reason) => reply(target, verdict(reason)),
        Err(kind) => Line::Fault(Fault { kind, line }),
    }
}

/// `retry` and `extend`: a duration must come.
fn timed<'a>(line: &'a [u8], verb: &[u8], rest: &'a [u8]) -> Line<'a> {
    let (target, rest) = target(rest);
    let (word, rest) = split(rest);
    let duration = str::from_utf8(word).ok().and_then(duration::parse);
    match (duration, verb) {
        (Some(delay), b"retry") => match reason(rest) {
            Ok(reason) => reply(target, Verdict::Retry { delay, reason }),
            Err(kind) => Line::Fault(Fault { kind, line }),
        },
        (Some(time), _) if rest.is_empty() => reply(target, Verdict::Extend(time)),
        (_, b"retry") => misshapen(line, target, Verb::Retry),
        (_, _) => misshapen(line, target, Verb::Extend),
    }
}

/// `log LEVEL text`.
fn log<'a>(line: &'a [u8], rest: &'a [u8]) -> Line<'a> {
    let (word, text) = split(rest);
    match (level(word), str::from_utf8(text)) {
        (Some(level), Ok(text)) => {
            Line::Structured { level, text: Cow::Borrowed(text), json: None }
        }
        _ => Line::Log(line),
    }
}

/// The names of log levels, in the spellings that are about.
pub(super) fn level(word: &[u8]) -> Option<Level> {
    Some(match word.to_ascii_lowercase().as_slice() {
        b"error" | b"err" | b"critical" | b"fatal" => Level::Error,
        b"warn" | b"warning" => Level::Warn,
        b"info" | b"notice" => Level::Info,
        b"debug" => Level::Debug,
        b"trace" => Level::Trace,
        _ => return None,
    })
}

fn reason(words: &[u8]) -> Result<Option<Box<str>>, FaultKind> {
    if words.is_empty() {
        return Ok(None);
    }
    str::from_utf8(words).map_err(|_| FaultKind::NotUtf8)?;
    Ok(Some(excerpt(words).into()))
}

fn reply(target: Target, verdict: Verdict) -> Line<'static> {
    Line::Reply(Reply { target, multiple: false, verdict })
}

/// A verb in the wrong company. With an id it can only be meant as an answer.
fn misshapen(line: &[u8], target: Target, verb: Verb) -> Line<'_> {
    match target {
        Target::Id(_) => Line::Fault(Fault { kind: FaultKind::Words(verb), line }),
        Target::Oldest => Line::Log(line),
    }
}
