//! The `publish` and `reply` of an answer.
//!
//! Stricter than the rest of an answer: what is not known here could be what decides where a message
//! goes, and once the original is acked nobody could mend it.

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::ShortString;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::protocol::{Content, Headers, Output, Publication};

/// How many messages one answer can publish.
pub const MAX_PUBLICATIONS: usize = 1000;

/// How much JSON the headers and the properties of one message may be, bytes. No value is more than
/// three times as long in AMQP, so they fit the smallest frame that brokers are set to in practice.
pub const MAX_PUBLISHED_HEADERS: usize = 32 * 1024;

/// `delivery_mode` of a message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// What is wrong with the output of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum OutputFault {
    /// With another result than ack, or for several messages.
    #[error("`publish` and `reply` go with the result `ack` of one message")]
    Stray,
    /// No list, no object, or a key that does not belong there.
    #[error(
        "`publish` must be a list of objects with `exchange`, `routing_key`, `body`, `encoding`, \
         `headers` and `properties`, and `reply` an object with the last four"
    )]
    Shape,
    /// More than [`MAX_PUBLICATIONS`].
    #[error("an answer can publish at most {MAX_PUBLICATIONS} messages")]
    TooMany,
    /// An address that AMQP cannot carry.
    #[error("`exchange` and `routing_key` must have at most 255 bytes")]
    Address,
    /// No body, or one that is not encoded as it says.
    #[error(
        "what is published needs a `body`: a string, or with `\"encoding\":\"base64\"` bytes in base64, \
         or any other JSON value without an `encoding`"
    )]
    Body,
    /// What no AMQP table holds.
    #[error("`headers` must be an object of what AMQP headers can hold")]
    Headers,
    /// What is no property of a message.
    #[error(
        "`properties` must be an object of AMQP's properties, by the names with which messages come"
    )]
    Properties,
    /// More than [`MAX_PUBLISHED_HEADERS`].
    #[error("`headers` and `properties` must be shorter than 32 KiB")]
    TooLong,
}

/// One message as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<'a> {
    exchange: Option<String>,
    routing_key: Option<String>,
    #[serde(borrow)]
    body: Option<&'a RawValue>,
    encoding: Option<String>,
    #[serde(borrow)]
    headers: Option<&'a RawValue>,
    #[serde(borrow)]
    properties: Option<&'a RawValue>,
}

/// Reads both; `None` where there is neither.
pub(super) fn read(
    publish: Option<&str>,
    reply: Option<&str>,
) -> Result<Option<Output>, OutputFault> {
    let publish: Vec<Raw<'_>> = match publish {
        Some(text) => serde_json::from_str(text).map_err(|_| OutputFault::Shape)?,
        None => Vec::new(),
    };
    if publish.len() > MAX_PUBLICATIONS {
        return Err(OutputFault::TooMany);
    }
    let reply: Option<Raw<'_>> = match reply {
        Some(text) => Some(serde_json::from_str(text).map_err(|_| OutputFault::Shape)?),
        None => None,
    };
    if reply.as_ref().is_some_and(|raw| raw.exchange.is_some() || raw.routing_key.is_some()) {
        return Err(OutputFault::Shape);
    }
    if publish.is_empty() && reply.is_none() {
        return Ok(None);
    }
    let publish: Result<Vec<_>, _> = publish.into_iter().map(publication).collect();
    Ok(Some(Output { publish: publish?, reply: reply.as_ref().map(content).transpose()? }))
}

fn publication(raw: Raw<'_>) -> Result<Publication, OutputFault> {
    let content = content(&raw)?;
    let (exchange, routing_key) =
        (raw.exchange.unwrap_or_default(), raw.routing_key.unwrap_or_default());
    if exchange.len().max(routing_key.len()) > usize::from(u8::MAX) {
        return Err(OutputFault::Address);
    }
    Ok(Publication { exchange, routing_key, content })
}

fn content(raw: &Raw<'_>) -> Result<Content, OutputFault> {
    let json = raw.body.ok_or(OutputFault::Body)?.get();
    let (body, is_json) = match (json.starts_with('"'), raw.encoding.as_deref()) {
        (true, encoding) => {
            let text: String = serde_json::from_str(json).map_err(|_| OutputFault::Body)?;
            match encoding {
                None => (text.into_bytes(), false),
                Some("base64") => (STANDARD.decode(text).map_err(|_| OutputFault::Body)?, false),
                Some(_) => return Err(OutputFault::Body),
            }
        }
        (false, None) => (json.as_bytes().to_vec(), true),
        (false, Some(_)) => return Err(OutputFault::Body),
    };
    let long = |part: Option<&RawValue>| part.map_or(0, |part| part.get().len());
    if long(raw.headers) + long(raw.properties) > MAX_PUBLISHED_HEADERS {
        return Err(OutputFault::TooLong);
    }
    let given: Properties = match raw.properties {
        Some(json) => serde_json::from_str(json.get()).map_err(|_| OutputFault::Properties)?,
        None => Properties::default(),
    };
    let mut properties = given.into_amqp(is_json);
    if let Some(headers) = raw.headers {
        let Headers(table) =
            serde_json::from_str(headers.get()).map_err(|_| OutputFault::Headers)?;
        properties = properties.with_headers(table);
    }
    Ok(Content { body, properties })
}

/// A text that fits AMQP's short strings.
struct Short(ShortString);

impl<'de> Deserialize<'de> for Short {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        ShortString::try_new(text).map(Self).map_err(D::Error::custom)
    }
}

/// The properties by the names with which messages come.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Properties {
    content_type: Option<Short>,
    content_encoding: Option<Short>,
    #[serde(default, deserialize_with = "delivery_mode")]
    delivery_mode: Option<u8>,
    priority: Option<u8>,
    correlation_id: Option<Short>,
    reply_to: Option<Short>,
    #[serde(default, deserialize_with = "expiration")]
    expiration: Option<Short>,
    message_id: Option<Short>,
    timestamp: Option<u64>,
    r#type: Option<Short>,
    user_id: Option<Short>,
    app_id: Option<Short>,
    cluster_id: Option<Short>,
}

fn delivery_mode<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u8>, D::Error> {
    match Option::deserialize(deserializer)? {
        mode @ (None | Some(1 | 2)) => Ok(mode),
        Some(_) => Err(D::Error::custom("1 or 2")),
    }
}

/// The broker closes the channel over an expiration that is no number of milliseconds.
fn expiration<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Short>, D::Error> {
    let expiration: Option<Short> = Option::deserialize(deserializer)?;
    let fine = expiration.as_ref().is_none_or(|Short(text)| {
        text.as_str().bytes().all(|byte| byte.is_ascii_digit())
            && text.as_str().parse::<u32>().is_ok()
    });
    if fine { Ok(expiration) } else { Err(D::Error::custom("milliseconds")) }
}

impl Properties {
    fn into_amqp(self, is_json: bool) -> BasicProperties {
        let mode = self.delivery_mode.unwrap_or(PERSISTENT);
        let mut properties = BasicProperties::default().with_delivery_mode(mode);
        if is_json {
            properties = properties.with_content_type("application/json".into());
        }
        macro_rules! set {
            ($($field:ident => $with:ident),+) => {
                $(if let Some(Short(text)) = self.$field { properties = properties.$with(text); })+
            };
        }
        set!(
            content_type => with_content_type,
            content_encoding => with_content_encoding,
            correlation_id => with_correlation_id,
            reply_to => with_reply_to,
            expiration => with_expiration,
            message_id => with_message_id,
            r#type => with_type,
            user_id => with_user_id,
            app_id => with_app_id,
            cluster_id => with_cluster_id
        );
        if let Some(priority) = self.priority {
            properties = properties.with_priority(priority);
        }
        if let Some(timestamp) = self.timestamp {
            properties = properties.with_timestamp(timestamp);
        }
        properties
    }
}
