//! Replies as JSON objects: `{"id":"3-42","result":"ack"}`.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::str;
use std::time::Duration;

use serde::Deserializer as _;
use serde::de::{MapAccess, Visitor};
use serde_json::value::RawValue;

use super::{
    Fault, FaultKind, Level, Line, MAX_NESTING, OutputFault, Reply, Target, Verdict, duration,
    excerpt, output, words,
};
use crate::protocol::DeliveryId;

/// Reads a line without its end that begins with `{`.
pub(super) fn read(line: &[u8]) -> Line<'_> {
    match understand(line) {
        Ok(understood) => understood,
        Err(kind) => Line::Fault(Fault { kind, line }),
    }
}

fn understand(line: &[u8]) -> Result<Line<'_>, FaultKind> {
    let text = str::from_utf8(line).map_err(|_| FaultKind::NotUtf8)?;
    if is_deep(line) {
        return Err(FaultKind::TooDeep);
    }
    let fields = Fields::parse(text).ok_or(FaultKind::NotJson)?;
    // `log` of another type than text is how some loggers nest their own fields.
    let log = fields.log.and_then(string);
    // Likewise a status line may have a `ready` or `stop` of its own; only a true one is meant here.
    let (ready, stop) = (fields.ready == Some("true"), fields.stop == Some("true"));
    let verbs = [fields.result.is_some(), fields.extend.is_some(), log.is_some(), ready, stop];
    match verbs.iter().filter(|&&verb| verb).count() {
        0 => return Ok(Line::Log(line)),
        1 => {}
        _ => return Err(FaultKind::SeveralVerbs),
    }
    if let Some(log) = log {
        let level = fields.level.and_then(string).and_then(|name| words::level(&name));
        return Ok(Line::Structured {
            level: level.unwrap_or(Level::Info),
            text: lossy(log),
            json: fields.says_more().then_some(text),
        });
    }
    if fields.duplicate {
        return Err(FaultKind::DuplicateKey);
    }
    if ready {
        return Ok(Line::Ready);
    }
    if stop {
        return Ok(Line::Stop);
    }
    fields.answer().map(Line::Reply)
}

/// The fields that mean something, each as the JSON text of its value.
#[derive(Default)]
struct Fields<'a> {
    id: Option<&'a str>,
    result: Option<&'a str>,
    extend: Option<&'a str>,
    log: Option<&'a str>,
    level: Option<&'a str>,
    reason: Option<&'a str>,
    delay: Option<&'a str>,
    multiple: Option<&'a str>,
    publish: Option<&'a str>,
    reply: Option<&'a str>,
    ready: Option<&'a str>,
    stop: Option<&'a str>,
    /// Keys without a meaning here. No room is taken for them until there is one.
    others: HashSet<Cow<'a, str>>,
    /// Whether any key came twice.
    duplicate: bool,
}

impl<'a> Fields<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut json = serde_json::Deserializer::from_str(text);
        let fields = json.deserialize_map(FieldsVisitor).ok()?;
        json.end().ok()?;
        Some(fields)
    }

    fn set(&mut self, key: Cow<'a, str>, value: &'a str) {
        let field = match &*key {
            "id" => &mut self.id,
            "result" => &mut self.result,
            "extend" => &mut self.extend,
            "log" => &mut self.log,
            "level" => &mut self.level,
            "reason" => &mut self.reason,
            "delay" => &mut self.delay,
            "multiple" => &mut self.multiple,
            "publish" => &mut self.publish,
            "reply" => &mut self.reply,
            "ready" => &mut self.ready,
            "stop" => &mut self.stop,
            _ => {
                self.duplicate |= !self.others.insert(key);
                return;
            }
        };
        self.duplicate |= field.replace(value).is_some();
    }

    /// Whether a log object has more than its text and level.
    fn says_more(&self) -> bool {
        let rest = [self.id, self.reason, self.delay, self.multiple, self.publish, self.reply];
        let rest = rest.iter().chain([&self.ready, &self.stop]);
        !self.others.is_empty() || rest.into_iter().any(Option::is_some)
    }

    /// The reply, where there is a `result` or an `extend`.
    fn answer(&self) -> Result<Reply, FaultKind> {
        let target = match self.id {
            None => Target::Oldest,
            Some(id) => {
                let id = string(id).and_then(|id| DeliveryId::parse(&id));
                Target::Id(id.ok_or(FaultKind::BadId)?)
            }
        };
        let multiple = match self.multiple {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(FaultKind::BadMultiple),
        };
        if multiple && (target == Target::Oldest || self.extend.is_some()) {
            return Err(FaultKind::LoneMultiple);
        }
        let mut verdict = match self.extend {
            Some(time) => Verdict::Extend(time_of(time)?),
            None => self.verdict()?,
        };
        let given = |part: Option<&'a str>| part.filter(|json| *json != "null");
        let (publish, reply) = (given(self.publish), given(self.reply));
        if publish.is_some() || reply.is_some() {
            if multiple || verdict != Verdict::Ack {
                return Err(FaultKind::Output(OutputFault::Stray));
            }
            if let Some(output) = output::read(publish, reply).map_err(FaultKind::Output)? {
                verdict = Verdict::AckAfter(Box::new(output));
            }
        }
        Ok(Reply { target, multiple, verdict })
    }

    fn verdict(&self) -> Result<Verdict, FaultKind> {
        let result = self.result.and_then(string).ok_or(FaultKind::BadResult)?;
        if self.delay.is_some() && &*result != b"retry" {
            return Err(FaultKind::StrayDelay);
        }
        Ok(match &*result {
            b"ack" => Verdict::Ack,
            b"requeue" => Verdict::Requeue,
            b"nack" => Verdict::Nack { reason: self.reason()? },
            b"reject" => Verdict::Reject { reason: self.reason()? },
            b"retry" => Verdict::Retry {
                delay: time_of(self.delay.ok_or(FaultKind::BadDuration)?)?,
                reason: self.reason()?,
            },
            _ => return Err(FaultKind::BadResult),
        })
    }

    fn reason(&self) -> Result<Option<Box<str>>, FaultKind> {
        match self.reason {
            None | Some("null") => Ok(None),
            Some(reason) => {
                let reason = string(reason).ok_or(FaultKind::BadReason)?;
                let reason = excerpt(&reason);
                Ok((!reason.is_empty()).then(|| reason.into()))
            }
        }
    }
}

struct FieldsVisitor;

impl<'de> Visitor<'de> for FieldsVisitor {
    type Value = Fields<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Fields::default();
        while let Some(Key(key)) = map.next_key()? {
            fields.set(key, map.next_value::<&RawValue>()?.get());
        }
        Ok(fields)
    }
}

/// A key, borrowed unless it is written with escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

/// The content of a JSON string, or nothing where the value is of another type. As bytes: a lone
/// surrogate is legal JSON, and Python writes one for each byte it could not decode.
fn string(json: &str) -> Option<Cow<'_, [u8]>> {
    let content = json.strip_prefix('"')?.strip_suffix('"')?;
    if memchr::memchr(b'\\', content.as_bytes()).is_none() {
        return Some(Cow::Borrowed(content.as_bytes()));
    }
    serde_json::Deserializer::from_str(json).deserialize_bytes(BytesVisitor).ok().map(Cow::Owned)
}

struct BytesVisitor;

impl Visitor<'_> for BytesVisitor {
    type Value = Vec<u8>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Self::Value, E> {
        Ok(bytes.to_vec())
    }
}

fn lossy(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
    }
}

fn time_of(json: &str) -> Result<Duration, FaultKind> {
    let text = string(json).ok_or(FaultKind::BadDuration)?;
    str::from_utf8(&text).ok().and_then(duration::parse).ok_or(FaultKind::BadDuration)
}

/// Whether brackets outside strings nest deeper than allowed. Asked before parsing, so that no
/// parser has to go there.
fn is_deep(json: &[u8]) -> bool {
    let mut depth = 0_usize;
    let mut in_string = false;
    let mut escaped = false;
    for &byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                if depth > MAX_NESTING {
                    return true;
                }
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}
