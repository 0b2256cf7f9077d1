//! AMQP field tables to JSON.
//!
//! | AMQP | JSON |
//! |---|---|
//! | boolean, any integer | the same |
//! | float, double | a number with a fraction, or `{"@double":"NaN"}`, `"inf"`, `"-inf"` |
//! | string | a string, or `{"@string":BASE64}` where it is not UTF-8 |
//! | bytes | `{"@bytes":BASE64}` |
//! | timestamp | `{"@timestamp":SECONDS}` |
//! | decimal | `{"@decimal":{"scale":N,"value":N}}` |
//! | void | `null` |
//! | array, table | array, object |
//!
//! A key of a table that begins with `@` gets another `@` in front, so that only what is written
//! here begins with a single one.

use amq_protocol::types::{AMQPValue, FieldTable};

use super::{Unencodable, json};

/// How deep header tables and arrays may nest. Common JSON parsers follow twice as deep at least.
pub const MAX_HEADER_NESTING: usize = 32;

/// Appends the table as a JSON object, with `levels` of nesting left for its values.
pub(super) fn table(
    table: &FieldTable,
    levels: usize,
    out: &mut Vec<u8>,
) -> Result<(), Unencodable> {
    out.push(b'{');
    for (index, (key, value)) in table.inner().iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        key_of(key.as_str(), out);
        self::value(value, levels, out)?;
    }
    out.push(b'}');
    Ok(())
}

fn key_of(key: &str, out: &mut Vec<u8>) {
    let from = out.len();
    json::string(key, out);
    if key.starts_with('@') {
        out.insert(from + 1, b'@');
    }
    out.push(b':');
}

fn value(value: &AMQPValue, levels: usize, out: &mut Vec<u8>) -> Result<(), Unencodable> {
    match value {
        AMQPValue::Boolean(value) => {
            out.extend_from_slice(if *value { b"true" } else { b"false" });
        }
        AMQPValue::ShortShortInt(value) => json::number(*value, out),
        AMQPValue::ShortShortUInt(value) => json::number(*value, out),
        AMQPValue::ShortInt(value) => json::number(*value, out),
        AMQPValue::ShortUInt(value) => json::number(*value, out),
        AMQPValue::LongInt(value) => json::number(*value, out),
        AMQPValue::LongUInt(value) => json::number(*value, out),
        AMQPValue::LongLongInt(value) => json::number(*value, out),
        // As a double: the shortest text of a float names another double than the float is.
        AMQPValue::Float(value) => double(f64::from(*value), out),
        AMQPValue::Double(value) => double(*value, out),
        AMQPValue::DecimalValue(value) => {
            out.extend_from_slice(b"{\"@decimal\":{\"scale\":");
            json::number(value.scale, out);
            out.extend_from_slice(b",\"value\":");
            json::number(value.value, out);
            out.extend_from_slice(b"}}");
        }
        AMQPValue::ShortString(text) => json::string(text.as_str(), out),
        AMQPValue::LongString(text) => match std::str::from_utf8(text.as_bytes()) {
            Ok(text) => json::string(text, out),
            Err(_) => tagged(b"@string", out, |out| json::base64(text.as_bytes(), out)),
        },
        AMQPValue::ByteArray(bytes) => {
            tagged(b"@bytes", out, |out| json::base64(bytes.as_slice(), out));
        }
        AMQPValue::Timestamp(seconds) => {
            tagged(b"@timestamp", out, |out| json::number(*seconds, out));
        }
        AMQPValue::Void => out.extend_from_slice(b"null"),
        AMQPValue::FieldArray(values) => {
            let levels = levels.checked_sub(1).ok_or(Unencodable::HeadersTooDeep)?;
            out.push(b'[');
            for (index, value) in values.as_slice().iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                self::value(value, levels, out)?;
            }
            out.push(b']');
        }
        AMQPValue::FieldTable(values) => {
            let levels = levels.checked_sub(1).ok_or(Unencodable::HeadersTooDeep)?;
            table(values, levels, out)?;
        }
    }
    Ok(())
}

fn double(value: f64, out: &mut Vec<u8>) {
    let name = match value {
        _ if value.is_nan() => "NaN",
        f64::INFINITY => "inf",
        f64::NEG_INFINITY => "-inf",
        _ => return json::fraction(value, out),
    };
    tagged(b"@double", out, |out| json::string(name, out));
}

fn tagged(tag: &[u8], out: &mut Vec<u8>, value: impl FnOnce(&mut Vec<u8>)) {
    out.extend_from_slice(b"{\"");
    out.extend_from_slice(tag);
    out.extend_from_slice(b"\":");
    value(out);
    out.push(b'}');
}
