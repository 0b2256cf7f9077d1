//! AMQP 0-9-1 frames, as far as a proxy must understand them: where one ends, which method it
//! carries, and when a channel is in the middle of a message.

use std::collections::{HashMap, HashSet};

/// A method by its class and its number in the class, as the AMQP 0-9-1 reference counts them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Method(pub(crate) u16, pub(crate) u16);

impl Method {
    pub(crate) const START_OK: Self = Self(10, 11);
    pub(crate) const CONNECTION_OPEN: Self = Self(10, 40);
    pub(crate) const CHANNEL_CLOSE: Self = Self(20, 40);
    pub(crate) const QUEUE_DECLARE: Self = Self(50, 10);
    pub(crate) const QUEUE_BIND: Self = Self(50, 20);
    pub(crate) const BASIC_CONSUME: Self = Self(60, 20);
    pub(crate) const BASIC_CONSUME_OK: Self = Self(60, 21);
    pub(crate) const BASIC_CANCEL: Self = Self(60, 30);
    pub(crate) const BASIC_PUBLISH: Self = Self(60, 40);
    pub(crate) const BASIC_RETURN: Self = Self(60, 50);
    pub(crate) const BASIC_DELIVER: Self = Self(60, 60);
    pub(crate) const BASIC_GET_OK: Self = Self(60, 71);
    /// From the client it settles a delivery; from the server it confirms a publish.
    pub(crate) const BASIC_ACK: Self = Self(60, 80);

    /// Whether a header and a body follow it on its channel.
    fn has_content(self) -> bool {
        [Self::BASIC_PUBLISH, Self::BASIC_RETURN, Self::BASIC_DELIVER, Self::BASIC_GET_OK]
            .contains(&self)
    }
}

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const END: u8 = 0xce;
/// Type, channel and size before the payload.
const HEAD: usize = 7;

/// One frame with everything around its payload, or the protocol header that opens a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Frame(Vec<u8>);

impl Frame {
    /// Takes the first whole frame out of `buffer`; `None` where it is not complete yet.
    ///
    /// # Panics
    /// Where the bytes are no AMQP: a test must not go on with a proxy that has lost its place.
    pub(crate) fn take(buffer: &mut Vec<u8>) -> Option<Self> {
        let length = if buffer.starts_with(b"A") {
            8
        } else {
            let size = buffer.get(3..HEAD)?;
            HEAD + u32::from_be_bytes(size.try_into().expect("four bytes")) as usize + 1
        };
        if buffer.len() < length {
            return None;
        }
        let rest = buffer.split_off(length);
        let frame = Self(std::mem::replace(buffer, rest));
        assert!(frame.is_opening() || frame.0[length - 1] == END, "no frame end in {frame:?}");
        Some(frame)
    }

    /// A frame with a method and its encoded arguments.
    pub(crate) fn method(channel: u16, method: Method, arguments: &[u8]) -> Self {
        let mut payload = [method.0.to_be_bytes(), method.1.to_be_bytes()].concat();
        payload.extend_from_slice(arguments);
        Self::new(METHOD, channel, &payload)
    }

    /// The header of a message of `size` bytes without properties.
    pub(crate) fn header(channel: u16, size: u64) -> Self {
        let payload = [&60_u16.to_be_bytes()[..], &[0, 0], &size.to_be_bytes(), &[0, 0]].concat();
        Self::new(HEADER, channel, &payload)
    }

    /// A piece of a message.
    pub(crate) fn body(channel: u16, bytes: &[u8]) -> Self {
        Self::new(BODY, channel, bytes)
    }

    /// `connection.blocked`: the broker takes no more messages, and says why.
    pub(crate) fn connection_blocked(reason: &str) -> Self {
        Self::method(0, Method(10, 60), &short_string(reason))
    }

    /// `connection.unblocked`.
    pub(crate) fn connection_unblocked() -> Self {
        Self::method(0, Method(10, 61), &[])
    }

    /// `basic.cancel` from the server: the consumer is no more, for its queue is gone.
    pub(crate) fn basic_cancel(channel: u16, tag: &str) -> Self {
        let mut arguments = short_string(tag);
        arguments.push(1);
        Self::method(channel, Method::BASIC_CANCEL, &arguments)
    }

    fn new(kind: u8, channel: u16, payload: &[u8]) -> Self {
        let size = u32::try_from(payload.len()).expect("a small payload");
        let mut bytes = vec![kind];
        bytes.extend_from_slice(&channel.to_be_bytes());
        bytes.extend_from_slice(&size.to_be_bytes());
        bytes.extend_from_slice(payload);
        bytes.push(END);
        Self(bytes)
    }

    /// All of it, as it goes over the wire.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }

    fn is_opening(&self) -> bool {
        self.0.starts_with(b"AMQP")
    }

    fn kind(&self) -> u8 {
        self.0[0]
    }

    /// Its channel; 0 for what concerns the whole connection.
    pub(crate) fn channel(&self) -> u16 {
        if self.is_opening() { 0 } else { u16::from_be_bytes([self.0[1], self.0[2]]) }
    }

    fn payload(&self) -> &[u8] {
        &self.0[HEAD..self.0.len() - 1]
    }

    /// The method it carries, if it is a method frame.
    pub(crate) fn carries(&self) -> Option<Method> {
        let word = |at: usize| {
            let bytes = self.payload().get(at..at + 2)?;
            Some(u16::from_be_bytes(bytes.try_into().expect("two bytes")))
        };
        if self.is_opening() || self.kind() != METHOD {
            return None;
        }
        Some(Method(word(0)?, word(2)?))
    }
}

fn short_string(text: &str) -> Vec<u8> {
    let length = u8::try_from(text.len()).expect("a short text");
    [&[length], text.as_bytes()].concat()
}

/// Follows one direction of a connection and knows which channels are inside a message: nothing
/// may be put there, and who drops the method must drop the rest.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    /// Channels that wait for a header (`None`) or for so many bytes of a body.
    awaited: HashMap<u16, Option<u64>>,
    dropped: HashSet<u16>,
}

impl Contents {
    /// Takes note of a frame that arrived. `drops` says whether a method is to be dropped. True
    /// where the frame is to be forwarded.
    pub(crate) fn admit(&mut self, frame: &Frame, drops: impl FnOnce(Method) -> bool) -> bool {
        let channel = frame.channel();
        if let Some(method) = frame.carries() {
            let dropped = drops(method);
            if method.has_content() {
                self.awaited.insert(channel, None);
                if dropped {
                    self.dropped.insert(channel);
                }
            }
            return !dropped;
        }
        let left = match (frame.kind(), self.awaited.get(&channel)) {
            (HEADER, Some(None)) => {
                let size = &frame.payload()[4..12];
                u64::from_be_bytes(size.try_into().expect("eight bytes"))
            }
            (BODY, Some(Some(left))) => left.saturating_sub(frame.payload().len() as u64),
            // A heartbeat, or the protocol header.
            _ => return true,
        };
        let forwarded = !self.dropped.contains(&channel);
        if left == 0 {
            self.awaited.remove(&channel);
            self.dropped.remove(&channel);
        } else {
            self.awaited.insert(channel, Some(left));
        }
        forwarded
    }

    /// Whether a method may be put on that channel now.
    pub(crate) fn between_messages(&self, channel: u16) -> bool {
        !self.awaited.contains_key(&channel)
    }
}
