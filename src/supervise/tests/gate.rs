//! Who tries to connect when.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::supervise::{Gate, Leave, Miss};

const HELD: Duration = Duration::from_secs(10);

#[test]
fn one_tries_for_all_and_all_follow_when_it_succeeds() {
    let now = Instant::now();
    let mut gate = Gate::new(1);
    assert_eq!(gate.ask(now), Leave::Now(0));
    assert_eq!(gate.ask(now), Leave::Later);
    gate.failed(0, Miss::Unreachable, now, 0.5);
    let next = now + Duration::from_millis(500);
    assert_eq!(gate.ask(now), Leave::At(next));
    assert_eq!(gate.ask(next), Leave::Now(0));
    assert_eq!(gate.ask(next), Leave::Later);
    gate.connected(0);
    assert_eq!(gate.ask(next), Leave::Now(0));
    assert_eq!(gate.ask(next), Leave::Now(0));
}

#[test]
fn one_that_gives_up_leaves_it_to_the_next() {
    let now = Instant::now();
    let mut gate = Gate::new(1);
    assert_eq!(gate.ask(now), Leave::Now(0));
    gate.abandoned();
    assert_eq!(gate.ask(now), Leave::Now(0));
}

#[test]
fn the_next_endpoint_is_tried_and_the_one_that_answers_is_kept() {
    let now = Instant::now();
    let mut gate = Gate::new(3);
    gate.failed(0, Miss::Unreachable, now, 0.0);
    gate.failed(1, Miss::Refused, now, 0.0);
    let later = now + HELD;
    assert_eq!(gate.ask(later), Leave::Now(2));
    gate.connected(2);
    gate.lost(2, HELD, false, later, 0.0);
    assert_eq!(gate.ask(later + HELD), Leave::Now(2));
    gate.connected(2);
    gate.lost(2, HELD, true, later, 0.0);
    // One that noticed later, and one that failed at another one, move nothing on.
    gate.lost(2, HELD, true, later, 0.0);
    gate.failed(2, Miss::Unreachable, later, 0.0);
    assert_eq!(gate.ask(later + HELD), Leave::Now(0));
}

#[test]
fn a_refusal_is_tried_again_later_than_silence() {
    let now = Instant::now();
    let mut gate = Gate::new(1);
    gate.failed(0, Miss::Refused, now, 0.5);
    assert_eq!(gate.ask(now), Leave::At(now + Duration::from_secs(5)));
}

#[test]
fn a_connection_that_held_begins_the_pauses_anew() {
    let now = Instant::now();
    let after = |held: Duration| {
        let mut gate = Gate::new(1);
        for _ in 0..8 {
            gate.failed(0, Miss::Unreachable, now, 0.5);
        }
        gate.connected(0);
        gate.lost(0, held, false, now, 0.5);
        gate.ask(now)
    };
    assert_eq!(after(Duration::from_secs(1)), Leave::At(now + Duration::from_secs(3)));
    assert_eq!(after(HELD), Leave::At(now + Duration::from_millis(500)));
}

proptest! {
    /// However many want to, and however they ask: while nobody answers there are never more than
    /// two attempts in a second, and there always is a next one.
    #[test]
    fn an_absent_broker_sees_two_attempts_a_second_at_most(
        wanting in 1_usize..20,
        steps in prop::collection::vec((0_u64..40, 0.0_f64..1.0), 200..600),
    ) {
        let begin = Instant::now();
        let (mut now, mut gate, mut attempts) = (begin, Gate::new(2), Vec::new());
        gate.connected(0);
        for number in 0..wanting {
            gate.lost(0, HELD, false, now, 0.5);
            prop_assert!(number == 0 || !matches!(gate.ask(now), Leave::Now(_)));
        }
        for (millis, chance) in steps {
            now += Duration::from_millis(millis);
            for _ in 0..wanting {
                if let Leave::Now(endpoint) = gate.ask(now) {
                    attempts.push(now);
                    gate.failed(endpoint, Miss::Unreachable, now, chance);
                }
            }
        }
        for pair in attempts.windows(3) {
            prop_assert!(pair[2] - pair[0] > Duration::from_millis(800), "{attempts:?}");
        }
        let waited = now - attempts.last().copied().unwrap_or(begin);
        prop_assert!(waited < Duration::from_secs(4));
    }
}
