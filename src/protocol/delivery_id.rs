//! What a message is called in the conversation with a child.

use std::fmt;
use std::str::FromStr;

use crate::model::Epoch;

/// A delivery, named for the life of a worker: the channel's generation and the delivery tag on
/// that channel. Written `3-42`; to the child it is an opaque string.
///
/// The order is that of delivery: all of one channel come before all of the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeliveryId {
    /// The generation of the channel that delivered it.
    pub epoch: Epoch,
    /// The delivery tag, from 1.
    pub tag: u64,
}

/// A text that is no [`DeliveryId`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a delivery id is two whole numbers joined by a hyphen, such as `3-42`")]
pub struct BadDeliveryId;

impl DeliveryId {
    /// Reads an id exactly as it is written by `Display`: no sign, no leading zero, no blank. Two
    /// spellings of one id would make "already answered" a matter of taste.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let hyphen = text.iter().position(|&byte| byte == b'-')?;
        let epoch = u32::try_from(number(&text[..hyphen])?).ok()?;
        let tag = number(&text[hyphen + 1..]).filter(|&tag| tag > 0)?;
        Some(Self { epoch: Epoch(epoch), tag })
    }
}

/// A canonical decimal number.
fn number(digits: &[u8]) -> Option<u64> {
    match digits {
        [] | [b'0', _, ..] => None,
        _ => digits.iter().try_fold(0_u64, |number, &digit| {
            let digit = digit.is_ascii_digit().then(|| u64::from(digit - b'0'))?;
            number.checked_mul(10)?.checked_add(digit)
        }),
    }
}

impl fmt::Display for DeliveryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.tag)
    }
}

impl FromStr for DeliveryId {
    type Err = BadDeliveryId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text.as_bytes()).ok_or(BadDeliveryId)
    }
}
