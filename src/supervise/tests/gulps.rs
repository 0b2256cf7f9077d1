//! When a socket is read in gulps.

use std::time::{Duration, Instant};

use crate::supervise::{Gulps, PAUSE};

/// Pieces of `bytes` that come `gap` apart, for 20 ms.
fn pieces(gulps: &mut Gulps, from: Instant, bytes: usize, gap: Duration) -> Instant {
    let mut now = from;
    while now < from + 20 * PAUSE {
        now += gap;
        gulps.read(bytes);
        gulps.dry(now);
    }
    now
}

#[test]
fn many_small_pieces_are() {
    for (bytes, micros, expected) in [
        (300, 20, true),
        (2000, 100, true),
        (300, 200, true),
        // A message a millisecond.
        (300, 1000, false),
        (300, 500, false),
        // Large ones.
        (20_000, 100, false),
        (65_000, 1000, false),
    ] {
        let mut gulps = Gulps::default();
        pieces(&mut gulps, Instant::now(), bytes, Duration::from_micros(micros));
        assert_eq!(gulps.in_gulps(), expected, "{bytes} B each {micros} µs");
    }
}

#[test]
fn it_stays_so_while_as_much_comes() {
    let mut gulps = Gulps::default();
    let now = pieces(&mut gulps, Instant::now(), 300, Duration::from_micros(50));
    // The same in one gulp a pause.
    let now = pieces(&mut gulps, now, 6000, PAUSE);
    assert!(gulps.in_gulps());
    let now = pieces(&mut gulps, now, 300, PAUSE);
    assert!(!gulps.in_gulps(), "a message a millisecond");
    pieces(&mut gulps, now, 300, PAUSE);
    assert!(!gulps.in_gulps());
}

#[test]
fn it_ends_soon_when_nothing_comes() {
    let mut gulps = Gulps::default();
    let mut now = pieces(&mut gulps, Instant::now(), 300, Duration::from_micros(50));
    let naps = std::iter::repeat_with(|| {
        now += PAUSE;
        gulps.dry(now)
    });
    assert!(naps.take_while(|nap| *nap).count() <= 8);
}

#[test]
fn after_a_long_silence_it_is_not() {
    let mut gulps = Gulps::default();
    let now = pieces(&mut gulps, Instant::now(), 300, PAUSE);
    gulps.read(300);
    assert!(!gulps.dry(now + Duration::from_hours(1)));
}
