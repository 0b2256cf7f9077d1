//! A channel with one owner.

use std::ops::Deref;

use futures_util::FutureExt;
use lapin::{Channel, Connection};

/// A channel that is closed when it is dropped.
///
/// lapin closes one when its last handle goes, but a call that is never answered keeps a handle for
/// ever: a consumer whose confirmation got lost would then hold messages that nobody works on.
pub struct OwnedChannel {
    channel: Channel,
    frame_max: u32,
}

impl OwnedChannel {
    /// Opens one.
    pub(crate) async fn open(connection: &Connection) -> lapin::Result<Self> {
        let channel = connection.create_channel().await?;
        Ok(Self { channel, frame_max: connection.configuration().frame_max() })
    }

    /// The largest frame that its connection takes, bytes with everything around the payload.
    pub(in crate::broker) fn frame_max(&self) -> u32 {
        self.frame_max
    }
}

impl Deref for OwnedChannel {
    type Target = Channel;

    fn deref(&self) -> &Channel {
        &self.channel
    }
}

impl Drop for OwnedChannel {
    fn drop(&mut self) {
        if self.channel.status().connected() {
            // The first poll queues the frame; the answer matters to nobody.
            let _ = self.channel.close(200, "OK".into()).now_or_never();
        }
    }
}
