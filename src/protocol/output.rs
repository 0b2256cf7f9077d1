//! What an answer has published before its message is acked.

use amq_protocol::protocol::BasicProperties;

/// The output of one ack. The message is done only when all of it is confirmed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Output {
    /// To be published one after the other, in this order.
    pub publish: Vec<Publication>,
    /// The answer to whoever asked, to be published last: it may say that the rest is done.
    pub reply: Option<Content>,
}

/// A message that a child wants published.
#[derive(Clone, Debug, PartialEq)]
pub struct Publication {
    /// The exchange; empty for the default one.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// The message itself.
    pub content: Content,
}

/// A message without an address.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// The body.
    pub body: Vec<u8>,
    /// The properties, headers among them.
    pub properties: BasicProperties,
}

/// `delivery_mode` of a message that survives a restart of the broker.
const PERSISTENT: u8 = 2;

impl Output {
    /// The answer to whoever asked and nothing else: these bytes.
    pub fn reply(body: Vec<u8>) -> Self {
        let properties = BasicProperties::default().with_delivery_mode(PERSISTENT);
        Self { publish: Vec::new(), reply: Some(Content { body, properties }) }
    }

    /// Everything to publish, in order, where the message that is answered had those properties;
    /// and whether there is a reply that nobody asked for, which is not in it.
    ///
    /// The reply goes to the message's `reply_to` by the default exchange, and has its
    /// `correlation_id` unless the child gave another.
    pub fn addressed(self, asked: &BasicProperties) -> (Vec<Publication>, bool) {
        let mut all = self.publish;
        let Some(mut content) = self.reply else { return (all, false) };
        let Some(address) = asked.reply_to() else { return (all, true) };
        if let (None, Some(id)) = (content.properties.correlation_id(), asked.correlation_id()) {
            content.properties = content.properties.with_correlation_id(id.clone());
        }
        all.push(Publication {
            exchange: String::new(),
            routing_key: address.to_string(),
            content,
        });
        (all, false)
    }
}

#[cfg(test)]
mod tests;
