//! Deleting over AMQP, and the look before it.

use lapin::options::{
    ExchangeDeleteOptions, ExchangeUnbindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::FieldTable;

use super::declare::{DeclareError, Declarer, field_table, short};
use crate::model::{Binding, Destination, ExchangeName, Queue, QueueName, QueueType};
use crate::plan::Usage;

impl Declarer {
    /// How much a queue is used at this moment; `None` where there is no such queue. Messages that
    /// are out with a consumer are not counted, but then that consumer is.
    pub async fn usage(&self, name: &QueueName) -> Result<Option<Usage>, DeclareError> {
        let name = short(name.as_str())?;
        let options = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let found = self
            .call(async |channel| channel.queue_declare(name, options, FieldTable::default()).await)
            .await;
        match found {
            Ok(queue) => Ok(Some(Usage {
                messages: queue.message_count().into(),
                consumers: queue.consumer_count().into(),
            })),
            Err(DeclareError::Missing(text)) if text.contains("no queue '") => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Deletes a queue; without `force` a classic one only if the broker finds it unused. Quorum
    /// queues refuse such a condition, and streams ignore it.
    pub async fn delete_queue(&self, queue: &Queue, force: bool) -> Result<(), DeclareError> {
        let name = short(queue.name.as_str())?;
        let guarded = !force && queue.kind == QueueType::Classic;
        let options = QueueDeleteOptions {
            if_unused: guarded,
            if_empty: guarded,
            ..QueueDeleteOptions::default()
        };
        gone(self.call(async |channel| channel.queue_delete(name, options).await.map(drop)).await)
    }

    /// Deletes an exchange; without `force` only if nothing is bound to it.
    pub async fn delete_exchange(
        &self,
        name: &ExchangeName,
        force: bool,
    ) -> Result<(), DeclareError> {
        let name = short(name.as_str())?;
        let options =
            ExchangeDeleteOptions { if_unused: !force, ..ExchangeDeleteOptions::default() };
        gone(self.call(async |channel| channel.exchange_delete(name, options).await).await)
    }

    /// Removes a binding.
    pub async fn unbind(&self, binding: &Binding) -> Result<(), DeclareError> {
        let source = short(binding.source.as_str())?;
        let destination = short(binding.destination.name())?;
        let key = short(binding.routing_key.as_str())?;
        let arguments = field_table(&binding.arguments)?;
        let unbound = self
            .call(async |channel| match binding.destination {
                Destination::Queue(_) => {
                    channel.queue_unbind(destination, source, key, arguments).await
                }
                Destination::Exchange(_) => {
                    let options = ExchangeUnbindOptions::default();
                    channel.exchange_unbind(destination, source, key, options, arguments).await
                }
            })
            .await;
        gone(unbound)
    }
}

/// What is not there any more is as it should be.
fn gone(deleted: Result<(), DeclareError>) -> Result<(), DeclareError> {
    match deleted {
        Err(DeclareError::Missing(_)) => Ok(()),
        other => other,
    }
}
