//! A channel with one owner.

use std::ops::Deref;

use futures_util::FutureExt;
use lapin::Channel;

/// A channel that is closed when it is dropped.
///
/// lapin closes one when its last handle goes, but a call that is never answered keeps a handle for
/// ever: a consumer whose confirmation got lost would then hold messages that nobody works on.
pub struct OwnedChannel(Channel);

impl OwnedChannel {
    pub(crate) fn new(channel: Channel) -> Self {
        Self(channel)
    }
}

impl Deref for OwnedChannel {
    type Target = Channel;

    fn deref(&self) -> &Channel {
        &self.0
    }
}

impl Drop for OwnedChannel {
    fn drop(&mut self) {
        if self.0.status().connected() {
            // The first poll queues the frame; the answer matters to nobody.
            let _ = self.0.close(200, "OK".into()).now_or_never();
        }
    }
}
