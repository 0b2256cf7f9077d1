//! Which host a queue with `single_active_consumer` gives its messages to.
//!
//! The broker takes a consumer of such a queue like any other and never tells it that it is not the
//! one. The management API knows, a few seconds late; it is asked while no messages come, since
//! whoever has some is the one. Where it cannot be asked, nobody knows, and nothing is claimed.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use tokio_util::task::AbortOnDropHandle;

use super::super::context::Tag;
use super::task::Task;
use crate::broker::management::ManagementClient;
use crate::model::{ArgValue, ConsumerSpec};
use crate::telemetry::ConsumerMeter;

/// How often it is asked.
const ASK: Duration = Duration::from_secs(5);

/// Looks whether another host is the active one.
pub(super) struct Activity {
    /// What is looked at: it is begun anew for another spec.
    of: Arc<ConsumerSpec>,
    elsewhere: watch::Receiver<bool>,
    _asker: AbortOnDropHandle<()>,
}

impl Activity {
    /// Waits until that is another than before. Cancel-safe.
    pub(super) async fn changed(&mut self) {
        if self.elsewhere.changed().await.is_err() {
            // The asker lives as long as this.
            std::future::pending::<()>().await;
        }
    }
}

impl Task {
    /// Looks after the queue of the spec in force, where it has one consumer at a time.
    pub(super) fn keep_asking(&mut self) {
        let version = self.filler();
        if self.activity.as_ref().is_some_and(|known| Arc::ptr_eq(&known.of, &version.spec)) {
            return;
        }
        let (spec, hands) = (version.spec.clone(), version.hands.clone());
        let queue = hands.topology.queue(&spec.vhost, &spec.queue);
        let single = queue.is_some_and(|queue| {
            queue.arguments.get("x-single-active-consumer") == Some(&ArgValue::Bool(true))
        });
        let client = hands.management.clone().filter(|_| single);
        self.activity = client.map(|client| {
            let (tx, elsewhere) = watch::channel(false);
            let (of, meter, tag) = (spec.clone(), self.meter.clone(), self.shared.tag.clone());
            let asker = tokio::spawn(ask(client, spec, meter, tag, tx));
            Activity { of, elsewhere, _asker: AbortOnDropHandle::new(asker) }
        });
    }

    /// Whether it is known that another host gets the messages.
    pub(super) fn stands_by(&self) -> bool {
        self.activity.as_ref().is_some_and(|activity| *activity.elsewhere.borrow())
    }
}

async fn ask(
    client: ManagementClient,
    spec: Arc<ConsumerSpec>,
    meter: ConsumerMeter,
    tag: Tag,
    tell: watch::Sender<bool>,
) {
    let path = ["queues".to_owned(), spec.vhost.to_string(), spec.queue.to_string()];
    let mut received = meter.received_so_far();
    loop {
        tokio::time::sleep(ASK).await;
        let before = std::mem::replace(&mut received, meter.received_so_far());
        let elsewhere = received == before
            && match client.read(&path).await {
                Ok(queue) => active_tag(&queue).is_some_and(|active| !tag.is_in(active)),
                Err(_) => false,
            };
        tell.send_if_modified(|known| std::mem::replace(known, elsewhere) != elsewhere);
    }
}

/// The tag of the consumer that gets the messages. Of a quorum queue, older brokers say it among the
/// details only.
fn active_tag(queue: &Value) -> Option<&str> {
    let consumers = queue["consumer_details"].as_array()?;
    let active = consumers.iter().find(|one| one["activity_status"] == "single_active")?;
    active["consumer_tag"].as_str()
}
