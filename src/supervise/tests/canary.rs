//! When a new version takes over: tables, and how often chance misleads.

use std::num::NonZeroU32;
use std::time::Duration;

use proptest::prelude::*;

use crate::model::CanarySpec;
use crate::supervise::canary::judge;
use crate::supervise::evidence::{at_least, by_chance};
use crate::supervise::{Judgement, Sample};
use crate::telemetry::Times;

fn millis(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn spec() -> CanarySpec {
    CanarySpec { messages: NonZeroU32::new(100).unwrap(), ..CanarySpec::default() }
}

/// Messages, of which so many failed, each of which took that long.
fn sample(messages: u64, failed: u64, time: Duration) -> Sample {
    let mut times = Times::default();
    times.0[Times::range(time)] = messages;
    Sample { messages, failed, times }
}

#[test]
fn the_tests_are_the_textbooks() {
    // Fisher's lady tasting tea: all four right is 1 of 70, three or more 17 of 70.
    let close = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found}");
    close(by_chance((4, 4), (0, 4)), 1.0 / 70.0);
    close(by_chance((3, 4), (1, 4)), 17.0 / 70.0);
    close(by_chance((0, 10), (0, 1000)), 1.0);
    close(at_least(8, 10, 0.5), 56.0 / 1024.0);
    close(at_least(1, 3, 0.1), 1.0 - 0.9_f64.powi(3));
    close(at_least(0, 3, 0.1), 1.0);
    // Large numbers neither overflow nor lose their sum.
    close(by_chance((0, 100_000), (5_000, 1_000_000)), 1.0);
    assert!(at_least(60_000, 100_000, 0.5) < 1e-300);
}

#[test]
fn failures_table() {
    let cases = [
        // new, old, over; what is said
        ((0, 100), (0, 300), true, "go on"),
        ((30, 100), (0, 300), true, "roll back"),
        ((30, 100), (90, 300), true, "go on"),
        ((3, 100), (3, 300), true, "go on"),
        ((5, 100), (1, 300), true, "roll back"),
        // One bad message of the first is no reason; several are.
        ((1, 1), (0, 10), false, "wait"),
        ((1, 3), (0, 1000), false, "wait"),
        ((3, 3), (0, 100), false, "roll back"),
        ((9, 30), (0, 90), false, "roll back"),
        ((0, 99), (0, 300), false, "wait"),
        // Nothing to compare with.
        ((6, 6), (0, 0), false, "wait"),
        ((7, 7), (0, 0), false, "roll back"),
        ((0, 0), (0, 0), true, "go on"),
        ((2, 100), (0, 0), true, "go on"),
        ((8, 100), (0, 0), true, "roll back"),
    ];
    for (new, old, over, expected) in cases {
        let elapsed = if over { spec().time } else { Duration::ZERO };
        let take = |(failed, messages)| sample(messages, failed, millis(5));
        let found = match judge(&spec(), &take(new), &take(old), elapsed) {
            Judgement::Wait => "wait",
            Judgement::GoOn => "go on",
            Judgement::RollBack(_) => "roll back",
        };
        assert_eq!(found, expected, "{new:?} beside {old:?}");
    }
    let reason = judge(&spec(), &sample(10, 6, millis(1)), &sample(50, 1, millis(1)), millis(9));
    let expected = "it failed 6 of 10 messages, the old version 1 of 50 messages";
    assert_eq!(reason, Judgement::RollBack(expected.into()));
}

#[test]
fn a_rate_of_the_file_holds_even_where_the_old_version_is_as_bad() {
    let spec = CanarySpec { max_error_percent: Some(5), ..spec() };
    let bad = sample(100, 30, millis(5));
    let reason = judge(&spec, &bad, &sample(300, 90, millis(5)), spec.time);
    let expected = "it failed 30 of 100 messages, and 5 % are allowed";
    assert_eq!(reason, Judgement::RollBack(expected.into()));
    let fair = sample(100, 7, millis(5));
    assert_eq!(judge(&spec, &fair, &fair, spec.time), Judgement::GoOn);
}

#[test]
fn times_table() {
    let slow = "half of its messages take over 114ms, of the old version's 28ms";
    let cases = [
        ((100, 25), (100, 25), None),
        ((100, 60), (100, 25), None),
        ((100, 100), (100, 25), Some(slow)),
        // Nobody notices.
        ((100, 1), (100, 0), None),
        // Too few to say.
        ((19, 1000), (100, 25), None),
        ((100, 1000), (19, 25), None),
    ];
    for (new, old, expected) in cases {
        let take = |(count, time)| sample(count, 0, millis(time));
        let found = judge(&spec(), &take(new), &take(old), spec().time);
        let expected = expected.map_or(Judgement::GoOn, |why| Judgement::RollBack(why.into()));
        assert_eq!(found, expected, "{new:?} beside {old:?}");
    }
    // A few that hang are no difference, and neither is it before the window is over.
    let mut some = sample(70, 0, millis(25));
    some.times.0[Times::range(millis(9000))] = 30;
    let old = sample(100, 0, millis(25));
    assert_eq!(judge(&spec(), &some, &old, spec().time), Judgement::GoOn);
    let early = judge(&spec(), &sample(50, 0, millis(900)), &old, Duration::ZERO);
    assert_eq!(early, Judgement::Wait);
}

/// Plays a window with looks after every few messages.
fn play(seed: u64, new_rate: f64, old_rate: f64) -> Judgement {
    let mut chance = seed | 1;
    let mut draw = || {
        // Marsaglia's xorshift: chance that comes again with its seed.
        chance ^= chance << 13;
        chance ^= chance >> 7;
        chance ^= chance << 17;
        f64::from(u32::try_from(chance >> 32).unwrap()) / f64::from(u32::MAX)
    };
    let (mut new, mut old) = (Sample::default(), Sample::default());
    loop {
        for _ in 0..5 {
            new.messages += 1;
            new.failed += u64::from(draw() < new_rate);
        }
        for _ in 0..15 {
            old.messages += 1;
            old.failed += u64::from(draw() < old_rate);
        }
        let judgement = judge(&spec(), &new, &old, Duration::ZERO);
        if judgement != Judgement::Wait {
            return judgement;
        }
    }
}

#[test]
fn chance_seldom_condemns_an_equal_and_a_bad_one_never_passes() {
    for rate in [0.0, 0.02, 0.1, 0.3] {
        let condemned = (1..=400)
            .filter(|seed| play(seed * 0x9E37_79B9, rate, rate) != Judgement::GoOn)
            .count();
        assert!(condemned <= 400 * 7 / 100, "{condemned} of 400 at {rate}");
    }
    for (new, old) in [(0.3, 0.0), (0.3, 0.05), (1.0, 0.3)] {
        let passed =
            (1..=400).filter(|seed| play(seed * 0x9E37_79B9, new, old) == Judgement::GoOn).count();
        assert!(passed <= 1, "{passed} of 400 at {new} beside {old}");
    }
}

proptest! {
    /// Probabilities they are, and more failures of the new version never speak for it.
    #[test]
    fn more_failures_are_never_better(
        tries in 1_u64..300, hits in 0_u64..300, others in 0_u64..3000, other_hits in 0_u64..3000,
    ) {
        let (hits, other_hits) = (hits % tries, other_hits.min(others));
        let chance = by_chance((hits, tries), (other_hits, others));
        let more = by_chance((hits + 1, tries), (other_hits, others));
        prop_assert!((0.0..=1.0).contains(&chance) && more <= chance + 1e-9);
        prop_assert!(at_least(hits + 1, tries, 0.3) <= at_least(hits, tries, 0.3) + 1e-9);
    }

    /// Every time has its range, which begins no later and ends after it.
    #[test]
    fn every_time_has_its_range(micros in 4_u64..1 << 32) {
        let time = Duration::from_micros(micros);
        let mut times = Times::default();
        times.0[Times::range(time)] = 1;
        let end = times.median();
        prop_assert!(time < end && end <= time * 2, "{:?} {:?}", time, end);
    }
}
