//! One line of a feed.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::broker::amqp::Outgoing;
use crate::model::{ArgValue, Arguments};

/// `delivery_mode` of a message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

/// What the AMQP frames have room for in a name, bytes.
const LONGEST_NAME: usize = 255;

/// A message to publish, as a line of a feed describes it:
///
/// `{"exchange":"orders","routing_key":"order.created","message_id":"…","headers":{…},"body":…}`
///
/// Only `body` is required. A string is the body itself, or with `"encoding":"base64"` its bytes in
/// base64; any other JSON value is published as it is written, as `application/json`.
#[derive(Debug)]
pub struct FeedLine {
    /// The exchange, where the line names one.
    pub exchange: Option<String>,
    /// The routing key; empty where the line has none.
    pub routing_key: String,
    headers: serde_json::Map<String, Value>,
    message_id: Option<String>,
    json: bool,
    body: Vec<u8>,
}

/// Why a line is no message.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadLine(pub String);

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw<'a> {
    exchange: Option<String>,
    #[serde(default)]
    routing_key: String,
    message_id: Option<String>,
    #[serde(default)]
    headers: serde_json::Map<String, Value>,
    encoding: Option<String>,
    #[serde(borrow)]
    body: &'a RawValue,
}

impl FeedLine {
    /// Reads one line.
    pub fn parse(line: &str) -> Result<Self, BadLine> {
        // It is always line 1 of a line; which line of the feed it is, the caller says.
        let fault = |error: serde_json::Error| {
            BadLine(error.to_string().replace(" at line 1 column ", " at column "))
        };
        let raw: Raw<'_> = serde_json::from_str(line).map_err(fault)?;
        let text: Option<String> = serde_json::from_str(raw.body.get()).ok();
        let body = match (&text, raw.encoding.as_deref()) {
            (Some(text), None) => text.clone().into_bytes(),
            (None, None) => raw.body.get().as_bytes().to_vec(),
            (Some(text), Some("base64")) => STANDARD
                .decode(text)
                .map_err(|error| BadLine(format!("`body` is not base64: {error}")))?,
            (None, Some("base64")) => return Err(BadLine("a `body` in base64 is a string".into())),
            (_, Some(other)) => {
                return Err(BadLine(format!("`encoding` can be `base64`, not `{other}`")));
            }
        };
        let names = [
            ("exchange", raw.exchange.as_deref()),
            ("routing_key", Some(raw.routing_key.as_str())),
            ("message_id", raw.message_id.as_deref()),
        ];
        for (name, value) in names {
            if value.is_some_and(|value| value.len() > LONGEST_NAME) {
                return Err(BadLine(format!("`{name}` is longer than {LONGEST_NAME} bytes")));
            }
        }
        if let Some(key) = raw.headers.keys().find(|key| key.len() > LONGEST_NAME) {
            return Err(BadLine(format!("header `{key}` has a name over {LONGEST_NAME} bytes")));
        }
        Ok(Self {
            exchange: raw.exchange,
            routing_key: raw.routing_key,
            headers: raw.headers,
            message_id: raw.message_id,
            json: text.is_none(),
            body,
        })
    }

    /// The headers, as far as bindings can match them.
    pub fn header_arguments(&self) -> Arguments {
        let known = self.headers.iter();
        known.filter_map(|(key, value)| Some((key.clone(), ArgValue::from_json(value)?))).collect()
    }

    /// The message, to its own exchange or else to that one.
    pub fn into_outgoing(self, exchange: &str) -> Outgoing {
        let mut properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        if self.json {
            properties = properties.with_content_type("application/json".into());
        }
        if let Some(id) = self.message_id {
            properties = properties.with_message_id(id.into());
        }
        if !self.headers.is_empty() {
            properties = properties.with_headers(table(&self.headers));
        }
        Outgoing {
            exchange: self.exchange.unwrap_or_else(|| exchange.to_owned()),
            routing_key: self.routing_key,
            properties,
            body: self.body.into(),
            grows: false,
        }
    }
}

fn table(map: &serde_json::Map<String, Value>) -> FieldTable {
    let mut table = FieldTable::default();
    for (key, value) in map {
        table.insert(key.as_str().into(), field(value));
    }
    table
}

fn field(value: &Value) -> AMQPValue {
    match value {
        Value::Null => AMQPValue::Void,
        Value::Bool(value) => AMQPValue::Boolean(*value),
        Value::Number(number) => match number.as_i64() {
            Some(int) => AMQPValue::LongLongInt(int),
            None => AMQPValue::Double(number.as_f64().unwrap_or(f64::MAX)),
        },
        Value::String(text) => AMQPValue::LongString(text.as_str().into()),
        Value::Array(values) => {
            AMQPValue::FieldArray(values.iter().map(field).collect::<Vec<_>>().into())
        }
        Value::Object(map) => AMQPValue::FieldTable(table(map)),
    }
}
