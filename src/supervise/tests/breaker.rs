//! Restarts that are too many, and what follows.

use std::num::NonZeroU32;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::model::{Intensity, RestartSpec, StopSpec};
use crate::supervise::{Breaker, BreakerEffect, BreakerEvent, BreakerState, Event, Lifecycle};

/// As many crashes as a message has by default.
const THREE: NonZeroU32 = NonZeroU32::new(3).unwrap();

/// At which second what happens, and what follows.
type Step = (u64, BreakerEvent, Option<BreakerEffect>);

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

#[test]
fn one_more_than_allowed_within_the_period_cuts_and_a_probe_that_holds_restores() {
    let start = Instant::now();
    let at = |second| start + seconds(second);
    let mut breaker = Breaker::new(&RestartSpec::default(), THREE);
    for second in [0, 1, 2, 3, 4] {
        assert_eq!(breaker.on(BreakerEvent::Restarted, at(second), 0.5), None);
    }
    // The first has been forgotten after a minute, so this is the fifth and the next the sixth.
    assert_eq!(breaker.on(BreakerEvent::Restarted, at(61), 0.5), None);
    let cut = breaker.on(BreakerEvent::Restarted, at(61), 0.5);
    assert_eq!(cut, Some(BreakerEffect::Cut));
    assert_eq!(breaker.state(), BreakerState::Open { until: at(121) });

    // What was on its way when it was cut counts no more.
    assert_eq!(breaker.on(BreakerEvent::Restarted, at(62), 0.5), None);
    assert_eq!(breaker.on(BreakerEvent::Up, at(62), 0.5), None);
    assert_eq!(breaker.on(BreakerEvent::Tick, at(120), 0.5), None);
    assert_eq!(breaker.on(BreakerEvent::Tick, at(121), 0.5), Some(BreakerEffect::Probe));
    // A probe that fails: the next pause is longer.
    let cut = breaker.on(BreakerEvent::Restarted, at(122), 0.5);
    assert_eq!(cut, Some(BreakerEffect::Cut));
    assert_eq!(breaker.state(), BreakerState::Open { until: at(242) });

    assert_eq!(breaker.on(BreakerEvent::Tick, at(242), 0.5), Some(BreakerEffect::Probe));
    assert_eq!(breaker.next_tick(), None, "it is not up yet");
    assert_eq!(breaker.on(BreakerEvent::Up, at(250), 0.5), None);
    // It pauses and comes back, which is no news.
    assert_eq!(breaker.on(BreakerEvent::Up, at(280), 0.5), None);
    assert_eq!(breaker.on(BreakerEvent::Tick, at(309), 0.5), None);
    assert_eq!(breaker.on(BreakerEvent::Tick, at(310), 0.5), Some(BreakerEffect::Restore));
    assert_eq!(breaker.state(), BreakerState::Closed);
    assert_eq!(breaker.on(BreakerEvent::Restarted, at(311), 0.5), None);
}

#[test]
fn crashes_that_are_booked_on_messages_count_in_a_row_only_and_explain_earlier_ones() {
    use BreakerEvent::{Restarted, Tick, Up};
    let booked = |crashes, worked| BreakerEvent::Booked { crashes, worked };
    let (cut, probe) = (Some(BreakerEffect::Cut), Some(BreakerEffect::Probe));
    let rows: &[(&str, &[Step])] = &[
        (
            "five restarts are allowed, of which one is explained, and then one more",
            &[
                (0, Restarted, None),
                (0, Restarted, None),
                (0, Restarted, None),
                (0, Restarted, None),
                (0, Restarted, None),
                (1, booked(2, true), None),
                (1, Restarted, None),
                (2, booked(1, true), None),
                (2, Restarted, cut),
            ],
        ),
        (
            "fifteen in a row are allowed, whatever time lies between, and explained ones are of the row",
            &[
                (0, booked(5, true), None),
                (600, booked(5, false), None),
                (1200, booked(5, false), None),
                (1201, booked(1, true), None),
                (1202, booked(14, false), None),
                (1203, booked(2, false), cut),
            ],
        ),
        (
            "a probe is not blamed for a message, and holds from the next child on",
            &[
                (0, Restarted, None),
                (0, Restarted, None),
                (0, Restarted, None),
                (0, Restarted, None),
                (0, Restarted, None),
                (0, Restarted, cut),
                (60, Tick, probe),
                (61, Up, None),
                (62, booked(1, false), None),
                (122, Tick, None),
                (123, Up, None),
                (182, Tick, None),
                (183, Tick, Some(BreakerEffect::Restore)),
            ],
        ),
        (
            "what was cut for a row is cut again at once, until something is handled",
            &[
                (0, booked(16, false), cut),
                (1, booked(1, true), None),
                (60, Tick, probe),
                (61, Up, None),
                (61, booked(1, false), cut),
                (181, Tick, probe),
                (182, booked(1, true), None),
                (183, booked(14, false), None),
            ],
        ),
    ];
    for (name, row) in rows {
        let start = Instant::now();
        let mut breaker = Breaker::new(&RestartSpec::default(), THREE);
        for (step, (second, event, expected)) in row.iter().enumerate() {
            let effect = breaker.on(*event, start + seconds(*second), 0.5);
            assert_eq!(effect, *expected, "{name}: step {step}");
        }
    }
}

/// Plays workers that crash as soon as they run; gives how many were started in that time.
fn spawns(workers: usize, restart: &RestartSpec, time: Duration, chance: f64) -> u32 {
    let start = Instant::now();
    let mut breaker = Breaker::new(restart, THREE);
    let new = |now| Lifecycle::new(restart, &StopSpec::default(), now);
    let mut crew: Vec<Lifecycle> = (0..workers).map(|_| new(start)).collect();
    let (mut now, mut spawns) = (start, 0);
    while now < start + time {
        let (mut next, mut cut) = (0, false);
        while next < crew.len() && !cut {
            let worker = &mut crew[next];
            if worker.next_tick().is_some_and(|at| at <= now) {
                worker.on(Event::Tick, now, chance);
                worker.on(Event::Spawned, now, chance);
                worker.on(Event::Exited { clean: false }, now, chance);
                spawns += 1;
                breaker.on(BreakerEvent::Up, now, chance);
                cut = breaker.on(BreakerEvent::Restarted, now, chance) == Some(BreakerEffect::Cut);
            }
            next += 1;
        }
        if cut {
            crew.clear();
        }
        if breaker.on(BreakerEvent::Tick, now, chance) == Some(BreakerEffect::Probe) {
            crew.push(new(now));
        }
        let ticks = crew.iter().map(Lifecycle::next_tick).chain([breaker.next_tick()]);
        now = ticks.flatten().min().expect("something always follows");
    }
    spawns
}

#[test]
fn at_most_twelve_spawns_in_five_minutes_of_crashing_whatever_the_jitter() {
    for workers in 1..=4 {
        for chance in [0.0, 0.25, 0.5, 0.75, 1.0] {
            let spawns = spawns(workers, &RestartSpec::default(), seconds(300), chance);
            assert!(spawns <= 12, "{spawns} spawns of {workers} workers at {chance}");
        }
    }
}

proptest! {
    /// Whatever is set: each worker is started once, then at most as often in a period as the
    /// intensity allows, of which five minutes touch six; and then there are the probes, with
    /// pauses of 8 s at the least, 16 s, 32 s, 64 s and 80 s between.
    #[test]
    fn a_crash_loop_is_bounded_by_what_is_set(
        workers in 1_usize..20,
        max in 0_u32..20,
        backoff in 1_u64..2_000,
        chance in 0.0..1.0,
    ) {
        let restart = RestartSpec {
            backoff: Duration::from_millis(backoff),
            backoff_max: seconds(10),
            intensity: Intensity { max, period: seconds(60) },
            ..RestartSpec::default()
        };
        let spawns = spawns(workers, &restart, seconds(300), chance);
        let most = u32::try_from(workers).unwrap() + 6 * max + 7;
        prop_assert!(spawns <= most, "{} > {}", spawns, most);
    }

    /// It cuts exactly where more restarts than allowed lie within a period.
    #[test]
    fn it_cuts_where_otp_would_give_up(
        waits in prop::collection::vec(0_u64..30, 1..40),
        max in 0_u32..6,
        period in 1_u64..60,
    ) {
        let intensity = Intensity { max, period: seconds(period) };
        let mut breaker = Breaker::new(&RestartSpec { intensity, ..RestartSpec::default() }, THREE);
        let mut now = Instant::now();
        let mut times: Vec<Instant> = Vec::new();
        for wait in waits {
            now += seconds(wait);
            times.push(now);
            let recent = times.iter().filter(|at| now.duration_since(**at) <= seconds(period));
            let expected = recent.count() > max as usize;
            let effect = breaker.on(BreakerEvent::Restarted, now, 0.5);
            prop_assert_eq!(effect == Some(BreakerEffect::Cut), expected);
            if expected {
                break;
            }
        }
    }

    /// However bad messages and good ones follow each other: those that are cut off are those of
    /// which more than allowed have died in a row.
    #[test]
    fn only_a_long_row_of_booked_crashes_cuts(
        steps in prop::collection::vec((0_u64..300, 1_u32..3, prop::bool::weighted(0.2)), 1..200),
        max in 0_u32..6,
        max_crashes in 1_u32..6,
    ) {
        let intensity = Intensity { max, period: seconds(60) };
        let restart = RestartSpec { intensity, ..RestartSpec::default() };
        let mut breaker = Breaker::new(&restart, NonZeroU32::new(max_crashes).unwrap());
        let (mut now, mut row) = (Instant::now(), 0);
        for (wait, crashes, worked) in steps {
            now += seconds(wait);
            row = if worked { 0 } else { row } + crashes;
            let effect = breaker.on(BreakerEvent::Booked { crashes, worked }, now, 0.5);
            prop_assert_eq!(effect == Some(BreakerEffect::Cut), row > max * max_crashes);
            if effect.is_some() {
                break;
            }
        }
    }
}
