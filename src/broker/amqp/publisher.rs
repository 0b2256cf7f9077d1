//! Publishing that is known to have arrived: mandatory, confirmed, time-limited.
//!
//! A few lanes, each a channel with one message under way. Pipelining on one channel would be
//! faster, but lapin attributes a returned message to whichever publish it looks at next; with one
//! at a time there is nobody else it could belong to.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::time::Duration;

use amq_protocol::frame::WriteContext;
use amq_protocol::protocol::basic::gen_properties;
use bytes::Bytes;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::{CALL_TIMEOUT, Link, OwnedChannel};

/// Messages under way at once.
const LANES: usize = 16;

/// Messages that wait for each lane.
const QUEUED_PER_LANE: usize = 64;

/// How long a publish may take, from being handed over to being confirmed. A message whose fate is
/// unknown after that is given back to its queue, at the price of a possible duplicate.
const PUBLISH_TIMEOUT: Duration = Duration::from_secs(30);

/// How long the broker may take to confirm one. Less than the whole, so that it is known what the
/// time was lost on.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(25);

/// The largest frame of a broker that is not told otherwise, bytes.
const USUAL_FRAME: u32 = 128 << 10;

/// What a content header takes besides the properties: type, channel, size and end of its frame;
/// class, weight and size of the body in it.
const AROUND: u64 = 8 + 12;

/// What a broker may add to the headers of a message that expires: an entry of `x-death` and three
/// headers more, with names of up to 255 bytes in them.
const GROWTH: u64 = 2048;

/// A message to publish.
#[derive(Debug)]
pub struct Outgoing {
    /// The exchange; empty for the default one.
    pub exchange: String,
    /// The routing key.
    pub routing_key: String,
    /// Properties, complete.
    pub properties: BasicProperties,
    /// The body.
    pub body: Bytes,
    /// Whether brokers will add to its headers on its way, as they do to what expires.
    pub grows: bool,
}

/// Why a message is not known to have arrived.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PublishError {
    /// No queue takes messages with this key from this exchange.
    #[error("no queue takes it: {0}")]
    Returned(String),
    /// The broker could not store it.
    #[error("the broker refused to store it")]
    Nacked,
    /// Properties travel in one frame, and the broker ends the connection for a larger one; so it
    /// was not sent.
    #[error("its properties and headers take {size} bytes, and the broker's frames hold {most}")]
    TooLarge {
        /// What they take.
        size: u64,
        /// What there is room for.
        most: u64,
    },
    /// Nobody knows: it may have arrived or not.
    #[error("its fate is unknown: {0}")]
    Unknown(String),
}

struct Job {
    message: Outgoing,
    outcome: oneshot::Sender<Result<(), PublishError>>,
}

/// Publishes over one link. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    lanes: Arc<Vec<(mpsc::Sender<Job>, AbortOnDropHandle<()>)>>,
    next: Arc<AtomicUsize>,
    /// The largest frame of the last connection.
    frame_max: Arc<AtomicU32>,
}

impl Publisher {
    /// Starts the lanes on a link of role `publish`.
    pub fn start(link: &Arc<Link>) -> Self {
        let frame_max = Arc::new(AtomicU32::new(USUAL_FRAME));
        let lane = |_| {
            let (tx, rx) = mpsc::channel(QUEUED_PER_LANE);
            let running = run_lane(link.clone(), frame_max.clone(), rx);
            (tx, AbortOnDropHandle::new(tokio::spawn(running)))
        };
        let lanes = Arc::new((0..LANES).map(lane).collect());
        Self { lanes, next: Arc::default(), frame_max }
    }

    /// Whether the frame for its properties holds them, and what brokers will add. What has no room
    /// is not published.
    pub fn has_room(&self, message: &Outgoing) -> bool {
        fits(message, self.frame_max.load(Ordering::Relaxed)).is_ok()
    }

    /// Publishes and waits for the confirm, at most 30 s in all.
    pub async fn publish(&self, message: Outgoing) -> Result<(), PublishError> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let lane = &self.lanes[turn % self.lanes.len()].0;
        let (outcome, fate) = oneshot::channel();
        let job = async {
            let unknown = || PublishError::Unknown("the publisher has stopped".into());
            lane.send(Job { message, outcome }).await.map_err(|_| unknown())?;
            fate.await.map_err(|_| unknown())?
        };
        timeout(PUBLISH_TIMEOUT, job).await.unwrap_or_else(|_| {
            let limit = PUBLISH_TIMEOUT.as_secs();
            Err(PublishError::Unknown(format!("no confirm within {limit} s")))
        })
    }
}

async fn run_lane(link: Arc<Link>, frame_max: Arc<AtomicU32>, mut jobs: mpsc::Receiver<Job>) {
    let mut channel = None;
    while let Some(Job { message, mut outcome }) = jobs.recv().await {
        let work = async {
            let open = match channel.take() {
                Some(channel) => channel,
                None => confirmed_channel(&link).await?,
            };
            frame_max.store(open.frame_max(), Ordering::Relaxed);
            let result = match timeout(CONFIRM_TIMEOUT, publish_on(&open, message)).await {
                Ok(result @ (Ok(()) | Err(PublishError::Returned(_) | PublishError::Nacked))) => {
                    link.confirmed();
                    result
                }
                Ok(result) => result,
                Err(_) => {
                    link.doubt();
                    let limit = CONFIRM_TIMEOUT.as_secs();
                    Err(PublishError::Unknown(format!("no confirm within {limit} s")))
                }
            };
            // After an unknown fate the next confirm on this channel could be the late one.
            if !matches!(result, Err(PublishError::Unknown(_))) {
                channel = Some(open);
            }
            result
        };
        tokio::select! {
            // The caller has given up; the channel goes with the work that is dropped.
            () = outcome.closed() => {}
            result = work => drop(outcome.send(result)),
        }
    }
}

fn unknown(error: impl std::fmt::Display) -> PublishError {
    PublishError::Unknown(error.to_string())
}

async fn confirmed_channel(link: &Link) -> Result<OwnedChannel, PublishError> {
    let channel = link.open_channel().await;
    let select = channel.confirm_select(ConfirmSelectOptions::default());
    timeout(CALL_TIMEOUT, select).await.map_err(unknown)?.map_err(unknown)?;
    Ok(channel)
}

/// What the properties of a message take on the wire, bytes.
pub fn encoded_size(properties: &BasicProperties) -> u64 {
    // Writing to memory cannot fail.
    gen_properties(properties)(WriteContext::from(Vec::new())).map_or(u64::MAX, |end| end.position)
}

/// Whether properties fit a content header of that many bytes at most, frame and all.
pub fn fits_frame(properties: &BasicProperties, frame_max: u32) -> bool {
    encoded_size(properties) <= u64::from(frame_max).saturating_sub(AROUND)
}

/// Whether the properties fit the one frame they travel in.
fn fits(message: &Outgoing, frame_max: u32) -> Result<(), PublishError> {
    let room = if message.grows { GROWTH } else { 0 };
    let most = u64::from(frame_max).saturating_sub(AROUND + room);
    let size = encoded_size(&message.properties);
    if size > most { Err(PublishError::TooLarge { size, most }) } else { Ok(()) }
}

async fn publish_on(channel: &OwnedChannel, message: Outgoing) -> Result<(), PublishError> {
    fits(&message, channel.frame_max())?;
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let confirm = channel
        .basic_publish(
            message.exchange.into(),
            message.routing_key.into(),
            options,
            &message.body,
            message.properties,
        )
        .await
        .map_err(unknown)?;
    match confirm.await.map_err(unknown)? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(returned)) | Confirmation::Nack(Some(returned)) => {
            Err(PublishError::Returned(returned.reply_text.to_string()))
        }
        Confirmation::Nack(None) => Err(PublishError::Nacked),
        Confirmation::NotRequested => Err(unknown("confirms are off on this channel")),
    }
}
