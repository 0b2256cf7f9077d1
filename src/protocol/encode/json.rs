//! JSON text straight into the output, with no string in between.
//!
//! `serde_json` would write the same strings but for one thing: U+2028 and U+2029 are legal inside
//! JSON strings, yet some line readers (Node's among them) take them for the end of a line.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// What stands for a byte in a JSON string: itself, or how it is escaped.
const PLAIN: u8 = 0;
/// `\u00XX`.
const HEX: u8 = b'u';
/// Perhaps the beginning of U+2028 or U+2029.
const SEPARATOR: u8 = 0xe2;

/// By byte: [`PLAIN`], [`HEX`], [`SEPARATOR`], or the letter after the backslash.
const ESCAPES: [u8; 256] = {
    let mut table = [PLAIN; 256];
    let mut byte = 0;
    while byte < 0x20 {
        table[byte] = HEX;
        byte += 1;
    }
    table[0x7f] = HEX;
    table[0x08] = b'b';
    table[b'\t' as usize] = b't';
    table[b'\n' as usize] = b'n';
    table[0x0c] = b'f';
    table[b'\r' as usize] = b'r';
    table[b'"' as usize] = b'"';
    table[b'\\' as usize] = b'\\';
    table[SEPARATOR as usize] = SEPARATOR;
    table
};

/// Appends a JSON string.
pub(super) fn string(text: &str, out: &mut Vec<u8>) {
    let bytes = text.as_bytes();
    // One allocation in the common case of nothing to escape.
    out.reserve(bytes.len() + 2);
    out.push(b'"');
    let mut start = 0;
    let mut at = 0;
    loop {
        at += plain(&bytes[at..]);
        let Some(byte) = bytes.get(at) else { break };
        match ESCAPES[usize::from(*byte)] {
            SEPARATOR => {
                if let Some(escape) = separator(&bytes[at..]) {
                    out.extend_from_slice(&bytes[start..at]);
                    out.extend_from_slice(escape);
                    start = at + 3;
                }
                at += 3;
            }
            HEX => {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                let (high, low) = (byte >> 4, byte & 15);
                out.extend_from_slice(&bytes[start..at]);
                out.extend_from_slice(b"\\u00");
                out.push(DIGITS[usize::from(high)]);
                out.push(DIGITS[usize::from(low)]);
                at += 1;
                start = at;
            }
            letter => {
                out.extend_from_slice(&bytes[start..at]);
                out.extend_from_slice(&[b'\\', letter]);
                at += 1;
                start = at;
            }
        }
    }
    out.extend_from_slice(&bytes[start..]);
    out.push(b'"');
}

/// Bytes that are looked at together.
const BLOCK: usize = 16;

/// How many bytes at the beginning stand for themselves.
fn plain(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    let clean = blocks.iter().take_while(|block| is_plain(block)).count() * BLOCK;
    let rest = &bytes[clean..];
    clean + rest.iter().take_while(|&&byte| ESCAPES[usize::from(byte)] == PLAIN).count()
}

/// Whether all of a block does. The comparisons stand here rather than in the table, so that a
/// processor makes sixteen of them at once.
#[expect(clippy::needless_bitwise_bool, reason = "with a way out between them they are one by one")]
fn is_plain(block: &[u8; BLOCK]) -> bool {
    let special = |byte: u8| {
        (byte < 0x20) | (byte == 0x7f) | (byte == b'"') | (byte == b'\\') | (byte == SEPARATOR)
    };
    !block.iter().fold(false, |any, &byte| any | special(byte))
}

/// The escape of a line or paragraph separator, if the bytes begin with one.
fn separator(bytes: &[u8]) -> Option<&'static [u8]> {
    match bytes {
        [0xe2, 0x80, 0xa8, ..] => Some(b"\\u2028"),
        [0xe2, 0x80, 0xa9, ..] => Some(b"\\u2029"),
        _ => None,
    }
}

/// Appends a valid JSON text as it is, but on one line. Outside strings a line end can only be
/// blank space, so a space takes its place; a separator can only be in a string, where its escape
/// means the same.
pub(super) fn verbatim(text: &str, out: &mut Vec<u8>) {
    let from = out.len();
    let bytes = text.as_bytes();
    out.reserve(bytes.len());
    let mut start = 0;
    for at in memchr::memchr_iter(SEPARATOR, bytes) {
        if let Some(escape) = separator(&bytes[at..]) {
            out.extend_from_slice(&bytes[start..at]);
            out.extend_from_slice(escape);
            start = at + 3;
        }
    }
    out.extend_from_slice(&bytes[start..]);
    for byte in &mut out[from..] {
        if matches!(byte, b'\n' | b'\r') {
            *byte = b' ';
        }
    }
}

/// Appends a JSON string of the bytes in base64.
pub(super) fn base64(bytes: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let from = out.len();
    // Four characters for every three bytes begun: more than this cannot be asked for.
    out.resize(from + bytes.len().div_ceil(3) * 4, 0);
    let written = STANDARD
        .encode_slice(bytes, &mut out[from..])
        .expect("base64 writes four characters for every three bytes begun");
    out.truncate(from + written);
    out.push(b'"');
}

/// Appends a whole number.
pub(super) fn number(number: impl itoa::Integer, out: &mut Vec<u8>) {
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
}

/// Appends a number with a fraction, which must be finite.
pub(super) fn fraction(number: f64, out: &mut Vec<u8>) {
    serde_json::to_writer(out, &number).expect("a number can be serialized and a Vec written to");
}
