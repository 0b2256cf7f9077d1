//! When a stream of small pieces is read in gulps.
//!
//! A broker that has much to send writes it in many small pieces, and each of them wakes up three
//! threads, one after the other: the one that waits for sockets, the one that reads, the one whose
//! messages they are. On a machine that is busy, those wake-ups cost more than the messages.

use std::time::{Duration, Instant};

use super::PAUSE;

/// How long it is counted what comes, before it is decided how it is read.
const SPELL: Duration = Duration::from_millis(4);

/// Wake-ups in a [`PAUSE`] that are worth putting off.
const MANY: u128 = 4;

/// Bytes in a pause, at most: larger pieces are worth a wake-up each, and the socket has to hold
/// what is not read.
const ROOM: u128 = 64 * 1024;

/// Decides for one socket.
#[derive(Clone, Debug, Default)]
pub struct Gulps {
    since: Option<Instant>,
    /// How often nothing was left to read, and how much was read, since then.
    dry: u32,
    bytes: u64,
    /// While it is read in gulps: how many bytes must come in a pause to go on like that.
    least: Option<u128>,
}

impl Gulps {
    /// So many bytes were read.
    pub fn read(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
    }

    /// There is nothing to read any more: whether to look again only after a pause, rather than as
    /// soon as there is.
    pub fn dry(&mut self, now: Instant) -> bool {
        let since = *self.since.get_or_insert(now);
        self.dry += 1;
        let elapsed = now.saturating_duration_since(since);
        if elapsed >= SPELL {
            let in_a_pause = |count: u64| u128::from(count) * PAUSE.as_nanos() / elapsed.as_nanos();
            let (dry, bytes) = (in_a_pause(u64::from(self.dry)), in_a_pause(self.bytes));
            self.least = match self.least {
                None => (dry >= MANY).then_some(bytes / 4),
                goes_on => goes_on.filter(|least| bytes >= *least),
            };
            self.least = self.least.filter(|_| (1..=ROOM).contains(&bytes));
            (self.since, self.dry, self.bytes) = (Some(now), 0, 0);
        }
        self.in_gulps()
    }

    /// Whether it is read in gulps.
    pub fn in_gulps(&self) -> bool {
        self.least.is_some()
    }
}
