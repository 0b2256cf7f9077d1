//! The window of what was handled, against a model that remembers everything.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::supervise::{Claim, Seen};

const WINDOW: Duration = Duration::from_secs(10);

#[test]
fn one_that_is_acked_is_known_and_one_that_failed_is_not() {
    let now = Instant::now();
    let mut seen = Seen::new(WINDOW, 100);
    assert_eq!(seen.claim(&1, now), Claim::Ours);
    assert_eq!(seen.claim(&1, now), Claim::Wait);
    seen.give_up(&1);
    assert_eq!(seen.claim(&1, now), Claim::Ours);
    seen.finish(&1, now);
    assert_eq!(seen.claim(&1, now + Duration::from_millis(9_999)), Claim::Duplicate);
    assert_eq!(seen.claim(&1, now + WINDOW), Claim::Ours);
}

#[test]
fn the_latest_are_remembered_where_there_are_too_many() {
    let now = Instant::now();
    let mut seen = Seen::new(WINDOW, 3);
    for key in 0..5 {
        assert_eq!(seen.claim(&key, now), Claim::Ours);
        seen.finish(&key, now);
    }
    assert_eq!(seen.remembered(), 3);
    let words: Vec<_> = (0..5).map(|key| seen.claim(&key, now)).collect();
    let (ours, known) = (Claim::Ours, Claim::Duplicate);
    assert_eq!(words, [ours, ours, known, known, known]);
    // Fewer from now on: those of before go when the next one comes.
    seen.set_limits(WINDOW, 1);
    assert_eq!([2, 3, 4].map(|key| seen.claim(&key, now)), [ours, ours, known]);
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Come(u8),
    Ack(u8),
    Fail(u8),
    Pass(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (0..12_u8).prop_map(Step::Come),
        (0..12_u8).prop_map(Step::Ack),
        (0..12_u8).prop_map(Step::Fail),
        (0..4_000_u64).prop_map(Step::Pass),
    ]
}

proptest! {
    #[test]
    fn it_answers_as_one_that_remembers_everything(
        most in 1..6_usize,
        steps in prop::collection::vec(step(), 1..300),
    ) {
        let mut now = Instant::now();
        let mut seen = Seen::new(WINDOW, most);
        // When each was acked, in order, and who is under way.
        let mut acked: Vec<(Instant, u8)> = Vec::new();
        let mut under_way: BTreeSet<u8> = BTreeSet::new();
        for step in steps {
            match step {
                Step::Pass(time) => now += Duration::from_millis(time),
                Step::Come(key) => {
                    let latest = acked.iter().rev().take(most);
                    let known = latest.into_iter().any(|(at, k)| *k == key && now - *at < WINDOW);
                    let expected = match (known, under_way.contains(&key)) {
                        (true, _) => Claim::Duplicate,
                        (false, true) => Claim::Wait,
                        (false, false) => Claim::Ours,
                    };
                    prop_assert_eq!(seen.claim(&key, now), expected);
                    if expected == Claim::Ours {
                        under_way.insert(key);
                    }
                }
                Step::Ack(key) if under_way.remove(&key) => {
                    seen.finish(&key, now);
                    acked.push((now, key));
                }
                Step::Fail(key) if under_way.remove(&key) => seen.give_up(&key),
                Step::Ack(_) | Step::Fail(_) => {}
            }
            prop_assert!(seen.remembered() <= most);
        }
    }
}
