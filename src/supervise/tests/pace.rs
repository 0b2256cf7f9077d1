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
fn short_processes_are_told_of_together_and_longer_ones_at_once() {
    for (each, processes, calls) in [(1, 100, 25), (4, 100, 100), (50, 100, 100)] {
        let (start, mut pace) = (Instant::now(), Pace::of_processes(100));
        let mut decided = 0;
        let mut told = 0;
        for nth in 0..processes {
            decided += 1;
            let now = start + nth * Duration::from_millis(each);
            if pace.tell(decided, 1, now) == Telling::Now {
                (decided, told) = (0, told + 1);
            }
        }
        assert_eq!(told, calls, "processes of {each} ms");
    }
}

#[test]
fn a_child_with_plenty_to_do_is_left_alone() {
    let (pace, now) = (Pace::new(1000), Instant::now());
    assert!(!pace.may_rest(0, 0, now));
    assert!(!pace.may_rest(64, 0, now));
    assert!(pace.may_rest(1000, 0, now));
    assert!(pace.may_rest(1000, 50, now));
}

/// A pace after 20 ms with so many answers each millisecond, and when that was.
fn after(prefetch: u16, each: u32) -> (Pace, Instant) {
    let (mut pace, mut now) = (Pace::new(prefetch), Instant::now());
    for _ in 0..20 {
        now += PAUSE;
        pace.passed(each, now);
    }
    (pace, now)
}

#[test]
fn where_messages_pass_fast_they_gather() {
    for (prefetch, each, rests) in [
        (1000, 1, false),
        (1000, 7, false),
        (1000, 9, true),
        (1000, 120, true),
        // The broker would wait for room.
        (1000, 200, false),
        (100, 9, true),
        (100, 20, false),
        (20, 9, false),
        (1, 9, false),
    ] {
        let (pace, now) = after(prefetch, each);
        assert_eq!(pace.may_rest(0, 0, now), rests, "prefetch {prefetch}, {each} a millisecond");
    }
}

#[test]
fn a_child_that_waits_for_the_rest_of_its_input_is_not_left_alone() {
    let (pace, now) = after(1000, 20);
    assert!(pace.may_rest(10, 0, now));
    assert!(!pace.may_rest(10, 3, now), "ten last for half a millisecond");
    assert!(pace.may_rest(40, 3, now));
}

#[test]
fn when_nothing_passes_any_more_nothing_gathers() {
    let (mut pace, now) = after(1000, 50);
    let later = now + 10 * PAUSE;
    assert!(!pace.may_rest(1, 0, later));
    pace.passed(1, later);
    assert!(!pace.may_rest(1, 0, later));
}

#[test]
fn it_does_not_go_back_and_forth_between_both() {
    let (mut pace, mut now) = after(1000, 20);
    for _ in 0..20 {
        now += PAUSE;
        pace.passed(5, now);
        assert!(pace.may_rest(0, 0, now));
    }
    for _ in 0..20 {
        now += PAUSE;
        pace.passed(3, now);
    }
    assert!(!pace.may_rest(0, 0, now));
}
