//! The worker's life: single stories, and a property over all of them.

use std::time::{Duration, Instant};

use proptest::prelude::*;

use crate::model::{RestartPolicy, RestartSpec, StopSpec};
use crate::supervise::{Effect, Event, Lifecycle, State};

/// An end that only the policy `temporary` takes as the last.
const EXITED: Event = Event::Exited { clean: false };

fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

fn lifecycle(now: Instant) -> Lifecycle {
    let stop = StopSpec { grace: seconds(10), ..StopSpec::default() };
    Lifecycle::new(&RestartSpec::default(), &stop, now)
}

/// Plays events at seconds since the start, and gives the effects of each.
fn play(events: &[(u64, Event)]) -> Vec<Vec<Effect>> {
    let start = Instant::now();
    let mut lifecycle = lifecycle(start);
    let play =
        |(at, event): &(u64, Event)| lifecycle.on(*event, start + seconds(*at), 0.5).to_vec();
    events.iter().map(play).collect()
}

#[test]
fn a_quiet_life_ends_with_its_input() {
    use Effect::{CloseInput, Consume, Finish, Pause, Release, Return, Spawn};
    let effects = play(&[
        (0, Event::Tick),
        (0, Event::Spawned),
        (5, Event::Stop),
        (6, Event::Drained),
        (7, EXITED),
    ]);
    let expected: [&[Effect]; 5] =
        [&[Spawn], &[Consume], &[Pause, Return], &[CloseInput], &[Pause, Release, Finish]];
    assert_eq!(effects, expected);
}

#[test]
fn a_child_that_will_not_go_is_asked_and_then_killed_within_the_grace() {
    use Effect::{CloseInput, Kill, Signal};
    let effects = play(&[
        (0, Event::Tick),
        (0, Event::Spawned),
        (5, Event::Stop),
        (12, Event::Tick),
        (13, Event::Tick),
        (14, Event::Tick),
        (15, Event::Tick),
    ]);
    let expected: [&[Effect]; 4] = [&[], &[CloseInput, Signal], &[], &[Kill]];
    assert_eq!(effects[3..], expected);
}

#[test]
fn a_crash_loop_pauses_longer_each_time_and_a_long_life_is_forgiven() {
    let start = Instant::now();
    let mut lifecycle = lifecycle(start);
    let mut now = start;
    let mut pauses = Vec::new();
    for _ in 0..8 {
        lifecycle.on(Event::Tick, now, 0.5);
        lifecycle.on(Event::Spawned, now, 0.5);
        lifecycle.on(EXITED, now, 0.5);
        let State::Waiting { until } = lifecycle.state() else { panic!("waits") };
        pauses.push(until.duration_since(now).as_secs());
        now = until;
    }
    assert_eq!(pauses, [1, 2, 4, 8, 16, 32, 60, 60]);

    lifecycle.on(Event::Tick, now, 0.5);
    lifecycle.on(Event::Spawned, now, 0.5);
    now += seconds(61);
    lifecycle.on(EXITED, now, 0.5);
    assert_eq!(lifecycle.state(), State::Waiting { until: now + seconds(1) });
}

#[test]
fn one_that_is_replaced_after_a_long_life_is_forgiven_as_well() {
    for event in [Event::Replace, Event::Deaf] {
        let now = Instant::now();
        let mut lifecycle = lifecycle(now);
        for _ in 0..4 {
            let State::Waiting { until } = lifecycle.state() else { panic!("waits") };
            lifecycle.on(Event::Tick, until, 0.5);
            lifecycle.on(Event::Spawned, until, 0.5);
            lifecycle.on(EXITED, until, 0.5);
        }
        let State::Waiting { until } = lifecycle.state() else { panic!("waits") };
        lifecycle.on(Event::Tick, until, 0.5);
        lifecycle.on(Event::Spawned, until, 0.5);
        let end = until + seconds(61);
        lifecycle.on(event, end, 0.5);
        lifecycle.on(EXITED, end, 0.5);
        assert_eq!(lifecycle.state(), State::Waiting { until: end + seconds(1) });
    }
}

#[test]
fn a_stop_shortens_the_time_of_one_that_is_being_replaced() {
    use Effect::{Ease, Kill, Return, Signal};
    let grace = StopSpec { grace: seconds(2), ..StopSpec::default() };
    let start = Instant::now();
    let mut lifecycle = Lifecycle::new(&RestartSpec::default(), &grace, start);
    lifecycle.on(Event::Tick, start, 0.5);
    lifecycle.on(Event::Spawned, start, 0.5);
    assert_eq!(lifecycle.on(Event::Replace, start, 0.5), [Signal, Ease]);
    assert_eq!(lifecycle.next_tick(), Some(start + seconds(10)));
    assert_eq!(lifecycle.on(Event::Stop, start + seconds(1), 0.5), [Return]);
    assert_eq!(lifecycle.on(Event::Tick, start + seconds(3), 0.5), [Kill]);
}

#[test]
fn one_that_wants_no_more_may_answer_what_it_has() {
    use Effect::{CloseInput, Consume, Ease, Spawn};
    let effects = play(&[
        (0, Event::Tick),
        (0, Event::Spawned),
        (5, Event::Deaf),
        (6, Event::Drained),
        (7, EXITED),
        (9, Event::Tick),
    ]);
    let expected: [&[Effect]; 6] =
        [&[Spawn], &[Consume], &[Ease], &[CloseInput], &[Ease], &[Spawn]];
    assert_eq!(effects, expected);
}

#[test]
fn one_that_must_be_ready_is_fed_only_then_and_has_a_limit() {
    use Effect::{CloseInput, Consume, Finish, Kill, Pause, Release, Return, Signal, Spawn};
    let play = |events: &[(u64, Event)]| -> Vec<Vec<Effect>> {
        let start = Instant::now();
        let mut lifecycle = lifecycle(start).awaiting_ready(Some(seconds(5)));
        let play =
            |(at, event): &(u64, Event)| lifecycle.on(*event, start + seconds(*at), 0.5).to_vec();
        events.iter().map(play).collect()
    };
    let born = [(0, Event::Tick), (0, Event::Spawned)];
    let after = |rest: &[(u64, Event)]| {
        let mut effects = play(&[&born, rest].concat());
        assert_eq!(effects[..2], [vec![Spawn], vec![]]);
        effects.split_off(2)
    };
    let ready = after(&[(4, Event::Ready), (6, Event::Ready), (6, Event::Tick)]);
    assert_eq!(ready, [vec![Consume], vec![], vec![]]);
    let late = after(&[(4, Event::Tick), (5, Event::Tick), (6, Event::Ready), (15, Event::Tick)]);
    assert_eq!(late, [vec![], vec![Signal], vec![], vec![Kill]]);
    let stopped = after(&[(1, Event::Stop), (1, Event::Drained), (2, EXITED)]);
    assert_eq!(stopped, [vec![Return], vec![CloseInput], vec![Pause, Release, Finish]]);
    // Nobody knows whether the next one gets any further.
    assert_eq!(after(&[(1, EXITED)]), [vec![Pause, Release]]);
}

#[test]
fn one_that_asks_for_it_is_replaced_without_hurry_and_without_a_pause() {
    use Effect::{CloseInput, Ease};
    let start = Instant::now();
    for (earned, pause) in [(true, 0), (false, 1)] {
        let mut lifecycle = lifecycle(start);
        lifecycle.on(Event::Tick, start, 0.5);
        lifecycle.on(Event::Spawned, start, 0.5);
        assert_eq!(lifecycle.on(Event::Recycle { earned }, start, 0.5), [Ease]);
        // The grace time of 10 s is for a stop.
        assert_eq!(lifecycle.next_tick(), None);
        let now = start + seconds(50);
        assert_eq!(lifecycle.on(Event::Tick, now, 0.5), []);
        assert_eq!(lifecycle.on(Event::Drained, now, 0.5), [CloseInput]);
        assert_eq!(lifecycle.on(EXITED, now, 0.5), [Ease]);
        assert_eq!(lifecycle.state(), State::Waiting { until: now + seconds(pause) });
        // The next one has earned nothing yet.
        let now = now + seconds(pause);
        for event in [Event::Tick, Event::Spawned, EXITED] {
            lifecycle.on(event, now, 0.5);
        }
        let State::Waiting { until } = lifecycle.state() else { panic!("waits") };
        assert!(until > now);
    }
}

fn with_policy(policy: RestartPolicy, now: Instant) -> Lifecycle {
    let stop = StopSpec { grace: seconds(10), ..StopSpec::default() };
    Lifecycle::new(&RestartSpec { policy, ..RestartSpec::default() }, &stop, now)
}

#[test]
fn the_policy_says_who_is_followed_by_another() {
    use RestartPolicy::{Permanent, Temporary, Transient};
    let crash = [Event::Exited { clean: false }].as_slice();
    let end = [Event::Exited { clean: true }].as_slice();
    let wish = [Event::Recycle { earned: false }, Event::Drained, Event::Exited { clean: true }];
    let again = [
        (Permanent, [true, true, true]),
        (Transient, [true, false, true]),
        (Temporary, [false, false, true]),
    ];
    for (policy, expected) in again {
        for (story, again) in [crash, end, &wish].into_iter().zip(expected) {
            let now = Instant::now();
            let mut lifecycle = with_policy(policy, now);
            lifecycle.on(Event::Tick, now, 0.5);
            lifecycle.on(Event::Spawned, now, 0.5);
            for event in story {
                lifecycle.on(*event, now, 0.5);
            }
            let follows = lifecycle.state() != State::Stopped;
            assert_eq!(follows, again, "{policy:?} after {story:?}");
        }
    }
    // What cannot even be started has failed.
    for (policy, again) in [(Transient, true), (Temporary, false)] {
        let now = Instant::now();
        let mut lifecycle = with_policy(policy, now);
        lifecycle.on(Event::Tick, now, 0.5);
        lifecycle.on(Event::CannotSpawn, now, 0.5);
        assert_eq!(lifecycle.state() != State::Stopped, again, "{policy:?}");
    }
}

#[test]
fn one_that_retires_may_take_its_time_until_a_stop_comes() {
    use Effect::{CloseInput, Pause, Return, Signal, WorkOff};
    let long =
        play(&[(0, Event::Tick), (0, Event::Spawned), (1, Event::Retire), (900, Event::Tick)]);
    assert_eq!(long[2..], [vec![WorkOff], vec![]]);
    let stopped = play(&[
        (0, Event::Tick),
        (0, Event::Spawned),
        (1, Event::Retire),
        (5, Event::Stop),
        (13, Event::Tick),
    ]);
    assert_eq!(stopped[3..], [vec![Pause, Return], vec![CloseInput, Signal]]);
}

#[test]
fn one_that_retires_works_off_what_has_come_unless_it_wants_no_more() {
    use Effect::{CloseInput, Finish, Pause, Release, Return, Signal};
    let cases: [(Event, &[Effect], bool); 4] = [
        (Event::Tick, &[], true),
        (Event::Recycle { earned: true }, &[Pause, Return], false),
        (Event::Deaf, &[Pause, Return], false),
        (Event::Replace, &[Signal], false),
    ];
    for (event, effects, fed) in cases {
        let start = Instant::now();
        let mut lifecycle = lifecycle(start);
        lifecycle.on(Event::Tick, start, 0.5);
        lifecycle.on(Event::Spawned, start, 0.5);
        lifecycle.on(Event::Retire, start, 0.5);
        assert_eq!(lifecycle.state(), State::Retiring);
        assert_eq!(lifecycle.on(event, start, 0.5), effects, "{event:?}");
        assert_eq!(lifecycle.state().is_fed(), fed, "{event:?}");
        if event != Event::Replace {
            assert_eq!(lifecycle.on(Event::Drained, start, 0.5), [CloseInput], "{event:?}");
        }
        assert_eq!(lifecycle.on(EXITED, start, 0.5), [Pause, Release, Finish], "{event:?}");
    }
}

#[test]
fn one_that_is_tried_takes_nothing_before_it_has_lived_for_a_while() {
    use Effect::{Consume, Pause, Release, Return, Signal, Spawn};
    let start = Instant::now();
    let tried = || {
        let mut lifecycle = lifecycle(start).proving(Some(seconds(10)));
        assert_eq!(lifecycle.on(Event::Tick, start, 0.5), [Spawn]);
        assert_eq!(lifecycle.on(Event::Spawned, start, 0.5), []);
        assert_eq!(lifecycle.next_tick(), Some(start + seconds(10)));
        lifecycle
    };
    assert_eq!(tried().on(Event::Tick, start + seconds(10), 0.5), [Consume]);
    let others: [(Event, &[Effect]); 5] = [
        (Event::Tick, &[]),
        (EXITED, &[Pause, Release]),
        (Event::Retire, &[Return]),
        (Event::Stop, &[Return]),
        (Event::Replace, &[Signal]),
    ];
    for (event, effects) in others {
        assert_eq!(tried().on(event, start + seconds(9), 0.5), effects, "{event:?}");
    }
    // Where it says by itself that it is ready, that counts.
    let mut ready = lifecycle(start).proving(Some(seconds(10))).awaiting_ready(Some(seconds(1)));
    ready.on(Event::Tick, start, 0.5);
    ready.on(Event::Spawned, start, 0.5);
    assert_eq!(ready.on(Event::Ready, start, 0.5), [Consume]);
}

fn policy() -> impl Strategy<Value = RestartPolicy> {
    use RestartPolicy::{Permanent, Temporary, Transient};
    prop_oneof![Just(Permanent), Just(Transient), Just(Temporary)]
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        1 => Just(Event::Spawned),
        1 => Just(Event::CannotSpawn),
        1 => (0_u64..50).prop_map(|count| Event::Postponed { until: Instant::now() + seconds(count) }),
        1 => any::<bool>().prop_map(|clean| Event::Exited { clean }),
        1 => Just(Event::Retire),
        1 => Just(Event::Drained),
        1 => Just(Event::Stop),
        1 => Just(Event::StopNow),
        1 => Just(Event::Replace),
        1 => Just(Event::Ready),
        1 => any::<bool>().prop_map(|earned| Event::Recycle { earned }),
        1 => Just(Event::Deaf),
        3 => Just(Event::Tick),
    ]
}

proptest! {
    /// Whatever happens in whatever order: after a stop nothing is spawned and the worker is over
    /// once its child is; it finishes once; and nothing is consumed without a child.
    #[test]
    fn every_story_can_be_ended(
        events in prop::collection::vec((0_u64..20, event()), 0..60),
        start_timeout in prop::option::of((1_u64..30).prop_map(seconds)),
        policy in policy(),
    ) {
        let mut now = Instant::now();
        let mut lifecycle = with_policy(policy, now).awaiting_ready(start_timeout);
        let (mut child, mut finished) = (false, 0);
        let mut stopping = false;
        let end = [(0, Event::Stop), (11, Event::Tick), (11, Event::Tick), (11, Event::Tick)];
        for (wait, event) in events.into_iter().chain(end) {
            now += seconds(wait);
            // Only what can happen: a child must be there to exit and be asked for to come.
            let possible = match event {
                Event::Exited { .. } => child,
                Event::Spawned | Event::CannotSpawn | Event::Postponed { .. } => lifecycle.state() == State::Starting,
                _ => true,
            };
            if !possible {
                continue;
            }
            stopping |= matches!(event, Event::Retire | Event::Stop | Event::StopNow);
            child = match event {
                Event::Spawned => true,
                Event::Exited { .. } => false,
                _ => child,
            };
            for effect in lifecycle.on(event, now, 0.5) {
                match effect {
                    Effect::Spawn => prop_assert!(!child && !stopping),
                    Effect::Consume => prop_assert!(child && !stopping),
                    Effect::Finish => finished += 1,
                    _ => {}
                }
            }
        }
        if lifecycle.state() == State::Starting {
            lifecycle.on(Event::CannotSpawn, now, 0.5);
            finished += 1;
        }
        if child {
            let effects = lifecycle.on(EXITED, now, 0.5);
            prop_assert!(effects.contains(&Effect::Finish));
            finished += 1;
        }
        prop_assert_eq!(lifecycle.state(), State::Stopped);
        prop_assert_eq!(finished, 1);
    }
}
