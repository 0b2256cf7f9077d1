//! The size of a pool: stories, and what holds for every load.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::model::PoolSpec;
use crate::supervise::{Load, Pool};

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn spec(min: u16, max: u16) -> PoolSpec {
    PoolSpec {
        min: NonZeroU16::new(min).unwrap(),
        max: NonZeroU16::new(max).unwrap(),
        backlog: NonZeroU32::new(100).unwrap(),
        cool_down: seconds(60),
    }
}

/// Plays looks at seconds since the start: ready messages and busy workers; gives the sizes.
fn play(looks: &[(u64, u32, u16)]) -> Vec<u16> {
    let start = Instant::now();
    let mut pool = Pool::new(spec(1, 8), 1);
    let look = |&(at, ready, busy): &(u64, u32, u16)| {
        let full = busy >= pool.size();
        pool.on(Load { ready, busy, full }, start + seconds(at))
    };
    looks.iter().map(look).collect()
}

#[test]
fn a_burst_brings_all_and_they_go_only_after_the_cool_down() {
    let sizes = play(&[
        (0, 0, 0),
        (1, 450, 1),
        (2, 5000, 5),
        (3, 300, 8),
        (10, 0, 0),
        (62, 0, 0),
        (63, 0, 0),
        (64, 0, 0),
        (70, 0, 0),
        (71, 0, 0),
    ]);
    // The eight were busy at 3 s, which is a minute ago at 64 s.
    assert_eq!(sizes, [1, 5, 8, 8, 8, 8, 8, 1, 1, 1]);
}

#[test]
fn it_goes_down_to_what_was_needed_meanwhile_and_never_below_what_is_busy() {
    let sizes = play(&[(0, 800, 0), (30, 250, 3), (61, 0, 3), (90, 0, 3), (91, 0, 3), (200, 0, 2)]);
    assert_eq!(sizes, [8, 8, 3, 3, 3, 2]);
}

#[test]
fn a_backlog_that_stands_brings_one_more_at_a_time() {
    let looks: Vec<_> = (0..=18).map(|n| (n * 10, 90, u16::MAX)).collect();
    // Full whatever the size; 90 wait and are no reason for a second worker by their number.
    let start = Instant::now();
    let mut pool = Pool::new(spec(1, 8), 1);
    let sizes: Vec<u16> = looks
        .iter()
        .map(|(at, ready, _)| {
            let load = Load { ready: *ready, busy: 0, full: true };
            pool.on(load, start + seconds(*at))
        })
        .collect();
    assert_eq!((sizes[5], sizes[6], sizes[11], sizes[12], sizes[18]), (1, 2, 2, 3, 4));
    // One that shrinks is left to those who are at it.
    let mut pool = Pool::new(spec(1, 8), 1);
    for at in 0..80 {
        let load = Load { ready: 90 - u32::try_from(at).unwrap(), busy: 1, full: true };
        assert_eq!(pool.on(load, start + seconds(at)), 1);
    }
}

proptest! {
    /// Whatever the load: within its limits, enough for the backlog and for what is busy, and what
    /// was needed at some moment is there for a whole cool-down, so that nothing flaps.
    #[test]
    fn it_is_always_enough_and_never_flaps(
        min in 1_u16..4,
        more in 0_u16..12,
        looks in prop::collection::vec((0_u64..30, 0_u32..3000, 0_u16..20, any::<bool>()), 1..80),
    ) {
        let max = min + more;
        let spec = spec(min, max);
        let mut pool = Pool::new(spec.clone(), min);
        let mut now = Instant::now();
        let mut past: Vec<(Instant, u16)> = Vec::new();
        for (wait, ready, busy, full) in looks {
            now += seconds(wait);
            let size = pool.on(Load { ready, busy, full }, now);
            prop_assert!((min..=max).contains(&size));
            let need = u16::try_from(ready.div_ceil(100)).unwrap().max(busy).clamp(min, max);
            prop_assert!(size >= need);
            past.push((now, need));
            for (at, need) in &past {
                if now.duration_since(*at) <= spec.cool_down {
                    prop_assert!(size >= *need);
                }
            }
        }
        now += spec.cool_down + seconds(1);
        prop_assert_eq!(pool.on(Load { ready: 0, busy: 0, full: false }, now), min);
    }
}
