//! When settlements are told to the broker.

use std::time::{Duration, Instant};

use crate::supervise::{PAUSE, Pace, Telling};

#[test]
fn where_nobody_would_wait_for_more_it_is_told_at_once() {
    let now = Instant::now();
    let mut pace = Pace::new(100);
    assert_eq!(pace.tell(0, 5, now), Telling::Nothing);
    // The first in a while.
    assert_eq!(pace.tell(1, 5, now), Telling::Now);
    // The child has answered everything.
    assert_eq!(pace.tell(1, 0, now), Telling::Now);
    // A pause has passed.
    assert_eq!(pace.tell(1, 5, now + PAUSE), Telling::Now);
    // Long after.
    assert_eq!(pace.tell(1, 5, now + Duration::from_hours(1)), Telling::Now);
}

#[test]
fn while_answers_keep_coming_they_gather_for_no_longer_than_a_pause() {
    let start = Instant::now();
    let mut pace = Pace::new(1000);
    let (mut decided, mut calls) = (0, 0);
    // An answer every 20 µs, for 100 ms.
    for nth in 0..5000_u32 {
        decided += 1;
        if pace.tell(decided, 900, start + nth * Duration::from_micros(20)) == Telling::Now {
            (decided, calls) = (0, calls + 1);
        }
    }
    assert_eq!(calls, 100, "one call a pause");
    assert!(decided < 50);
}

#[test]
fn it_is_said_until_when_they_gather() {
    let now = Instant::now();
    let mut pace = Pace::new(1000);
    assert_eq!(pace.tell(1, 9, now), Telling::Now);
    let later = now + PAUSE / 4;
    assert_eq!(pace.tell(1, 8, later), Telling::At(now + PAUSE));
    assert_eq!(pace.tell(2, 7, later), Telling::At(now + PAUSE), "more does not put it off");
}

#[test]
fn many_are_told_at_once() {
    for (prefetch, most) in [(1, 1), (4, 1), (8, 2), (100, 25), (256, 64), (u16::MAX, 64)] {
        let now = Instant::now();
        let mut pace = Pace::new(prefetch);
        assert_eq!(pace.tell(1, 9, now), Telling::Now);
        let gathers = (1..1000).take_while(|&many| pace.tell(many, 9, now) != Telling::Now).count();
        assert_eq!(gathers + 1, most, "prefetch {prefetch}");
    }
}

#[test]
fn only_a_busy_child_is_left_alone() {
    assert!(!Pace::may_rest(0));
    assert!(!Pace::may_rest(64));
    assert!(Pace::may_rest(1000));
}
