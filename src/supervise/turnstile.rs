//! How soon the workers of a consumer whose messages kill them may start again.
//!
//! Each worker pauses by itself, and longer each time. But several of them, each over a message of its
//! own, could start far too often together before it is clear that it is the code which dies of every
//! message. So while crashes are booked on messages in a row, without any handled in between, the
//! workers go one by one, with the pauses that a single worker would have.

use std::time::{Duration, Instant};

use crate::model::RestartSpec;

/// Lets workers pass one by one, for as long as a row of crashes lasts.
#[derive(Clone, Debug, Default)]
pub struct Turnstile(Option<Row>);

/// Crashes without a message handled in between.
#[derive(Clone, Copy, Debug)]
struct Row {
    /// What had been handled when the last of them was.
    handled: u64,
    /// Between one worker and the next.
    pause: Duration,
    /// When the next worker may start.
    next: Instant,
}

impl Turnstile {
    /// A crash was booked on a message, the last of so many in a row. `handled` is any number that
    /// changes when a message is handled.
    pub fn booked(&mut self, crashes: u32, handled: u64, restart: &RestartSpec, now: Instant) {
        let doubled = 2_u32.saturating_pow(crashes.saturating_sub(1));
        // A worker that is alone has had its own pause, which is spread; it should not wait twice.
        let pause = restart.backoff.saturating_mul(doubled).min(restart.backoff_max).mul_f64(0.8);
        self.0 = Some(Row { handled, pause, next: now + pause });
    }

    /// A worker that has crashed over a message would start again, having paused by itself.
    ///
    /// # Errors
    /// When it may ask again.
    pub fn pass(&mut self, handled: u64, now: Instant) -> Result<(), Instant> {
        match &mut self.0 {
            Some(row) if row.handled == handled => {
                if now < row.next {
                    return Err(row.next);
                }
                row.next = now + row.pause;
            }
            _ => self.0 = None,
        }
        Ok(())
    }
}
