//! JSON to AMQP field tables: the inverse of how the encoder writes them.

use std::fmt;

use amq_protocol::types::{AMQPValue, DecimalValue, FieldArray, FieldTable, ShortString};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Unexpected, Visitor};

/// A field table read from JSON, for use inside other JSON documents.
///
/// A whole number becomes the narrower of AMQP's 32- and 64-bit integers that holds it, and a
/// number with a fraction a double: brokers and clients hold integers of every width equal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Headers(pub FieldTable);

/// Reads a JSON object as AMQP headers: the inverse of how the encoder writes them.
///
/// # Errors
/// The text is no JSON object, has a key twice, or holds what AMQP cannot: a key over 255 bytes, an
/// unknown `@` tag, a whole number that takes all 64 bits without a sign. One yet larger is a
/// double, as in most readers of JSON.
pub fn headers_from_json(text: &str) -> Result<FieldTable, serde_json::Error> {
    serde_json::from_str(text).map(|Headers(table)| table)
}

impl<'de> Deserialize<'de> for Headers {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match deserializer.deserialize_map(ValueVisitor)? {
            AMQPValue::FieldTable(table) => Ok(Self(table)),
            _ => Err(D::Error::custom("headers must be an object, not one tagged value")),
        }
    }
}

/// One value; what [`AMQPValue`] derives itself is another, internal form.
struct Value(AMQPValue);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ValueVisitor).map(Self)
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = AMQPValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value that AMQP headers can hold")
    }

    fn visit_bool<E>(self, value: bool) -> Result<AMQPValue, E> {
        Ok(AMQPValue::Boolean(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<AMQPValue, E> {
        Ok(i32::try_from(value).map_or(AMQPValue::LongLongInt(value), AMQPValue::LongInt))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<AMQPValue, E> {
        match i64::try_from(value) {
            Ok(value) => self.visit_i64(value),
            Err(_) => Err(E::invalid_value(Unexpected::Unsigned(value), &"a 64-bit integer")),
        }
    }

    fn visit_f64<E>(self, value: f64) -> Result<AMQPValue, E> {
        Ok(AMQPValue::Double(value))
    }

    fn visit_str<E>(self, text: &str) -> Result<AMQPValue, E> {
        Ok(AMQPValue::LongString(text.into()))
    }

    fn visit_unit<E>(self) -> Result<AMQPValue, E> {
        Ok(AMQPValue::Void)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<AMQPValue, A::Error> {
        let mut array = FieldArray::default();
        while let Some(Value(value)) = values.next_element()? {
            array.push(value);
        }
        Ok(AMQPValue::FieldArray(array))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<AMQPValue, A::Error> {
        let mut table = FieldTable::default();
        while let Some(key) = members.next_key::<String>()? {
            let name = match key.strip_prefix('@') {
                None => key.as_str(),
                Some(rest) if rest.starts_with('@') => rest,
                Some(tag) => {
                    let value = tagged(tag, &mut members)?;
                    if !table.inner().is_empty() || members.next_key::<String>()?.is_some() {
                        return Err(A::Error::custom(format_args!(
                            "`{key}` must be the only key of its object; write `@{key}` for a key \
                             that begins with `@`"
                        )));
                    }
                    return Ok(value);
                }
            };
            let name = ShortString::try_new(name).map_err(A::Error::custom)?;
            if table.contains_key(name.as_str()) {
                return Err(A::Error::custom(format_args!("the key `{name}` stands twice")));
            }
            let Value(value) = members.next_value()?;
            table.insert(name, value);
        }
        Ok(AMQPValue::FieldTable(table))
    }
}

/// The value of an object whose only key is `@` and this tag.
fn tagged<'de, A: MapAccess<'de>>(tag: &str, members: &mut A) -> Result<AMQPValue, A::Error> {
    #[derive(serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Decimal {
        scale: u8,
        value: u32,
    }
    Ok(match tag {
        "bytes" => AMQPValue::ByteArray(base64(members)?.into()),
        "string" => AMQPValue::LongString(base64(members)?.into()),
        "timestamp" => AMQPValue::Timestamp(members.next_value()?),
        "decimal" => {
            let Decimal { scale, value } = members.next_value()?;
            AMQPValue::DecimalValue(DecimalValue { scale, value })
        }
        "double" => match members.next_value::<String>()?.as_str() {
            "NaN" => AMQPValue::Double(f64::NAN),
            "inf" => AMQPValue::Double(f64::INFINITY),
            "-inf" => AMQPValue::Double(f64::NEG_INFINITY),
            other => {
                return Err(A::Error::invalid_value(
                    Unexpected::Str(other),
                    &"`NaN`, `inf` or `-inf`",
                ));
            }
        },
        _ => {
            return Err(A::Error::custom(format_args!(
                "unknown tag `@{tag}`: there are `@bytes`, `@string`, `@timestamp`, `@decimal` and \
                 `@double`; write `@@{tag}` for a key that begins with `@`"
            )));
        }
    })
}

fn base64<'de, A: MapAccess<'de>>(members: &mut A) -> Result<Vec<u8>, A::Error> {
    let text: String = members.next_value()?;
    STANDARD.decode(&text).map_err(|error| A::Error::custom(format_args!("bad base64: {error}")))
}
