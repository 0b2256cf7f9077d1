//! A message as a child gets it, before it is bytes.

use amq_protocol::protocol::BasicProperties;

use super::DeliveryId;

/// Everything about one message that a child may see, borrowed from where it lies.
#[derive(Clone, Copy, Debug)]
pub struct Envelope<'a> {
    /// What the child calls it in its answer.
    pub id: DeliveryId,
    /// Which try this is, from 1.
    pub attempt: u32,
    /// Whether the broker has delivered it before.
    pub redelivered: bool,
    /// The queue it was consumed from.
    pub queue: &'a str,
    /// The exchange it was published to; empty for the default exchange.
    pub exchange: &'a str,
    /// The routing key it was published with.
    pub routing_key: &'a str,
    /// When its time is over, RFC 3339; `None` where there is no limit.
    pub deadline: Option<&'a str>,
    /// Its properties, headers among them.
    pub properties: &'a BasicProperties,
    /// Its body.
    pub body: &'a [u8],
}

/// The environment of an `exec` child: what the message is, but not its body.
///
/// A property that the message lacks has no variable, and neither has a value that holds a NUL,
/// which no environment can carry.
pub fn exec_environment(envelope: &Envelope<'_>) -> Vec<(&'static str, String)> {
    let properties = envelope.properties;
    let text = |value: &Option<amq_protocol::types::ShortString>| {
        value.as_ref().map(|value| value.as_str().to_owned())
    };
    [
        ("WARRENER_ID", Some(envelope.id.to_string())),
        ("WARRENER_QUEUE", Some(envelope.queue.to_owned())),
        ("WARRENER_EXCHANGE", Some(envelope.exchange.to_owned())),
        ("WARRENER_ROUTING_KEY", Some(envelope.routing_key.to_owned())),
        ("WARRENER_ATTEMPT", Some(envelope.attempt.to_string())),
        ("WARRENER_REDELIVERED", Some(envelope.redelivered.to_string())),
        ("WARRENER_MESSAGE_ID", text(properties.message_id())),
        ("WARRENER_CORRELATION_ID", text(properties.correlation_id())),
        ("WARRENER_CONTENT_TYPE", text(properties.content_type())),
        ("WARRENER_REPLY_TO", text(properties.reply_to())),
        ("WARRENER_DEADLINE", envelope.deadline.map(str::to_owned)),
    ]
    .into_iter()
    .filter_map(|(name, value)| Some((name, value?)))
    .filter(|(_, value)| !value.contains('\0'))
    .collect()
}
