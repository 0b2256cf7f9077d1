//! One message to the bytes that a child reads.

use std::str;

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::ShortString;
use serde_json::value::RawValue;

use super::{MAX_HEADER_NESTING, json, table};
use crate::model::{BodyAs, Delimiter, WireProtocol};
use crate::protocol::{DeliveryId, Envelope};

/// Why a message cannot be handed to the child in the protocol of its consumer. Trying again would
/// end the same way: such a message is dead-lettered with this as the reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unencodable {
    /// In `lines`, a body that holds the delimiter would arrive as two messages.
    #[error("the body contains {}, which ends a message in protocol `lines`", delimiter_name(*.0))]
    ContainsDelimiter(Delimiter),
    /// Tables and arrays nested deeper than common JSON parsers follow.
    #[error("the headers are nested deeper than {MAX_HEADER_NESTING} levels")]
    HeadersTooDeep,
}

impl Unencodable {
    /// A short closed word for the reason header and for metrics.
    pub fn code(self) -> &'static str {
        match self {
            Self::ContainsDelimiter(_) => "contains_delimiter",
            Self::HeadersTooDeep => "headers_too_deep",
        }
    }
}

fn delimiter_name(delimiter: Delimiter) -> &'static str {
    match delimiter {
        Delimiter::Newline => "a newline",
        Delimiter::Nul => "a NUL",
    }
}

/// Writes messages in the protocol of one consumer.
#[derive(Clone, Copy, Debug)]
pub struct Encoder {
    protocol: WireProtocol,
}

impl Encoder {
    /// An encoder for that protocol.
    pub fn new(protocol: WireProtocol) -> Self {
        Self { protocol }
    }

    /// Appends what the child reads for one message: a JSON line, the body and a delimiter, a JSON
    /// line and the body and a newline, or for `exec` the body alone.
    ///
    /// # Errors
    /// [`Unencodable`]; `out` is then as it was.
    pub fn encode(&self, envelope: &Envelope<'_>, out: &mut Vec<u8>) -> Result<(), Unencodable> {
        let from = out.len();
        let encoded = match self.protocol {
            WireProtocol::Json { body_as } => object(envelope, out).map(|()| {
                body(envelope.body, body_as, out);
                out.extend_from_slice(b"}\n");
            }),
            WireProtocol::Frames => metadata(envelope, out).map(|()| {
                out.reserve(envelope.body.len() + 1);
                out.extend_from_slice(envelope.body);
                out.push(b'\n');
            }),
            WireProtocol::Lines { delimiter } => line(envelope.body, delimiter, out),
            WireProtocol::Exec => {
                out.extend_from_slice(envelope.body);
                Ok(())
            }
        };
        if encoded.is_err() {
            out.truncate(from);
        }
        encoded
    }

    /// Appends one JSON line with everything about the message but its body, whose length it gives.
    ///
    /// # Errors
    /// [`Unencodable`]; `out` is then as it was.
    pub fn metadata(envelope: &Envelope<'_>, out: &mut Vec<u8>) -> Result<(), Unencodable> {
        let from = out.len();
        metadata(envelope, out).inspect_err(|_| out.truncate(from))
    }
}

fn line(body: &[u8], delimiter: Delimiter, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let end = match delimiter {
        Delimiter::Newline => b'\n',
        Delimiter::Nul => 0,
    };
    if memchr::memchr(end, body).is_some() {
        return Err(Unencodable::ContainsDelimiter(delimiter));
    }
    out.reserve(body.len() + 1);
    out.extend_from_slice(body);
    out.push(end);
    Ok(())
}

/// A JSON line with everything but the body, whose length it gives.
fn metadata(envelope: &Envelope<'_>, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    object(envelope, out)?;
    out.extend_from_slice(b",\"length\":");
    json::number(envelope.body.len(), out);
    out.extend_from_slice(b"}\n");
    Ok(())
}

/// The members of the object that stand before the body; it is left open.
fn object(envelope: &Envelope<'_>, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    let DeliveryId { epoch, tag } = envelope.id;
    // As its `Display` has it.
    out.extend_from_slice(b"{\"id\":\"");
    json::number(epoch.0, out);
    out.push(b'-');
    json::number(tag, out);
    out.extend_from_slice(b"\",\"attempt\":");
    json::number(envelope.attempt, out);
    out.extend_from_slice(b",\"redelivered\":");
    out.extend_from_slice(if envelope.redelivered { b"true" } else { b"false" });
    out.extend_from_slice(b",\"queue\":");
    json::string(envelope.queue, out);
    out.extend_from_slice(b",\"exchange\":");
    json::string(envelope.exchange, out);
    out.extend_from_slice(b",\"routing_key\":");
    json::string(envelope.routing_key, out);
    if let Some(deadline) = envelope.deadline {
        out.extend_from_slice(b",\"deadline\":");
        json::string(deadline, out);
    }
    out.extend_from_slice(b",\"headers\":");
    match envelope.properties.headers() {
        Some(headers) => table::table(headers, MAX_HEADER_NESTING, out)?,
        None => out.extend_from_slice(b"{}"),
    }
    out.extend_from_slice(b",\"properties\":");
    properties(envelope.properties, out);
    Ok(())
}

/// The properties that the message has, by their AMQP names.
fn properties(properties: &BasicProperties, out: &mut Vec<u8>) {
    let mut object = Members { out, any: false };
    object.text(b",\"content_type\":", properties.content_type().as_ref());
    object.text(b",\"content_encoding\":", properties.content_encoding().as_ref());
    object.number(b",\"delivery_mode\":", properties.delivery_mode().map(u64::from));
    object.number(b",\"priority\":", properties.priority().map(u64::from));
    object.text(b",\"correlation_id\":", properties.correlation_id().as_ref());
    object.text(b",\"reply_to\":", properties.reply_to().as_ref());
    object.text(b",\"expiration\":", properties.expiration().as_ref());
    object.text(b",\"message_id\":", properties.message_id().as_ref());
    object.number(b",\"timestamp\":", *properties.timestamp());
    object.text(b",\"type\":", properties.kind().as_ref());
    object.text(b",\"user_id\":", properties.user_id().as_ref());
    object.text(b",\"app_id\":", properties.app_id().as_ref());
    object.text(b",\"cluster_id\":", properties.cluster_id().as_ref());
    object.end();
}

/// An object with the members that are there.
struct Members<'a> {
    out: &'a mut Vec<u8>,
    any: bool,
}

impl Members<'_> {
    fn text(&mut self, name: &[u8], value: Option<&ShortString>) {
        if let Some(value) = value {
            self.name(name);
            json::string(value.as_str(), self.out);
        }
    }

    fn number(&mut self, name: &[u8], value: Option<u64>) {
        if let Some(value) = value {
            self.name(name);
            json::number(value, self.out);
        }
    }

    /// `name` has a comma in front, and a colon behind it.
    fn name(&mut self, name: &[u8]) {
        let from = self.out.len();
        self.out.extend_from_slice(name);
        if !self.any {
            self.out[from] = b'{';
            self.any = true;
        }
    }

    fn end(self) {
        self.out.extend_from_slice(if self.any { b"}" } else { b"{}" });
    }
}

/// The body, and before it how it is encoded, where that is not the usual way.
fn body(body: &[u8], body_as: BodyAs, out: &mut Vec<u8>) {
    let Ok(text) = str::from_utf8(body) else {
        out.extend_from_slice(b",\"encoding\":\"base64\",\"body\":");
        return json::base64(body, out);
    };
    let mut encoding = "";
    if body_as == BodyAs::Json {
        if let Ok(value) = serde_json::from_str::<&RawValue>(text) {
            out.extend_from_slice(b",\"body\":");
            return json::verbatim(value.get(), out);
        }
        // Said, or else `abc` and `"abc"` would look the same.
        encoding = ",\"encoding\":\"text\"";
    }
    out.extend_from_slice(encoding.as_bytes());
    out.extend_from_slice(b",\"body\":");
    json::string(text, out);
}
