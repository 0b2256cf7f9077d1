//! Workers that crash over messages one after the other.

use std::time::{Duration, Instant};

use crate::model::RestartSpec;
use crate::supervise::{Backoff, Breaker, BreakerEffect, BreakerEvent, Turnstile};

#[test]
fn workers_pass_one_by_one_until_a_message_is_handled() {
    let start = Instant::now();
    let at = |seconds: f64| start + Duration::from_secs_f64(seconds);
    let restart = RestartSpec::default();
    let mut turnstile = Turnstile::default();
    assert_eq!(turnstile.pass(7, at(0.0)), Ok(()));
    turnstile.booked(1, 7, &restart, at(0.0));
    turnstile.booked(3, 7, &restart, at(0.0));
    // Four seconds, less a fifth.
    assert_eq!(turnstile.pass(7, at(1.0)), Err(at(3.2)));
    assert_eq!(turnstile.pass(7, at(3.2)), Ok(()));
    assert_eq!(turnstile.pass(7, at(3.2)), Err(at(6.4)));
    turnstile.booked(4, 7, &restart, at(4.0));
    assert_eq!(turnstile.pass(7, at(6.4)), Err(at(10.4)));
    // Somebody handles a message: all may.
    assert_eq!(turnstile.pass(8, at(7.0)), Ok(()));
    assert_eq!(turnstile.pass(8, at(7.0)), Ok(()));
    assert_eq!(turnstile.pass(7, at(7.0)), Ok(()));
    // The pause has an end.
    turnstile.booked(u32::MAX, 8, &restart, at(10.0));
    assert_eq!(turnstile.pass(8, at(10.0)), Err(at(58.0)));
}

/// However many workers there are, and whatever chance says.
#[test]
fn code_that_dies_of_every_message_starts_hardly_more_often_with_many_workers() {
    for workers in (1..=20_usize).chain([64, 1024]) {
        for chance in [0.0, 0.5, 1.0] {
            let start = Instant::now();
            let end = start + Duration::from_mins(5);
            let restart = RestartSpec::default();
            let mut turnstile = Turnstile::default();
            // Each is given a message at once, and dies of it at once.
            let backoff = Backoff::new(restart.backoff, restart.backoff_max);
            let mut waiting = vec![(start, backoff, false); workers];
            let (mut spawns, mut row) = (0, 0);
            while let Some((at, backoff, crashed)) = waiting.iter_mut().min_by_key(|next| next.0)
                && *at < end
            {
                if *crashed && let Err(later) = turnstile.pass(0, *at) {
                    *at = later;
                    continue;
                }
                spawns += 1;
                row += 1;
                turnstile.booked(row, 0, &restart, *at);
                (*at, *crashed) = (*at + backoff.next(chance), true);
            }
            assert!(spawns <= 12.max(workers + 6), "{spawns} with {workers} workers");
        }
    }
}

/// The other kind of crash loop, which reads no message: the breaker has a hand in it.
#[test]
fn what_ends_at_once_starts_no_more_often_either() {
    for workers in (1..=20_usize).chain([64, 1024]) {
        for chance in [0.0, 0.5, 1.0] {
            let start = Instant::now();
            let end = start + Duration::from_mins(5);
            let restart = RestartSpec::default();
            let mut breaker = Breaker::new(&restart, std::num::NonZeroU32::MIN);
            let fresh = || Backoff::new(restart.backoff, restart.backoff_max);
            // When each starts; it ends a moment later.
            let mut due: Vec<(Instant, Backoff)> = (0..workers).map(|_| (start, fresh())).collect();
            let moment = Duration::from_millis(10);
            let mut spawns = 0;
            loop {
                let ends = due.iter().map(|next| next.0 + moment);
                let Some(now) = ends.chain(breaker.next_tick()).min().filter(|at| *at < end) else {
                    break;
                };
                if breaker.on(BreakerEvent::Tick, now, chance) == Some(BreakerEffect::Probe) {
                    due.push((now, fresh()));
                }
                let ended = due.iter().position(|next| next.0 + moment <= now);
                let Some(place) = ended else { continue };
                if breaker.on(BreakerEvent::Restarted, now, chance) == Some(BreakerEffect::Cut) {
                    spawns += due.iter().filter(|next| next.0 <= now).count();
                    due.clear();
                } else {
                    spawns += 1;
                    let pause = due[place].1.next(chance);
                    due[place].0 = now + pause;
                }
            }
            assert!(spawns >= workers && spawns <= 12.max(workers + 6), "{spawns} of {workers}");
        }
    }
}
