//! What becomes of a failed message, case by case.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use crate::model::{
    AckMode, BodyAs, Confinement, ConsumerName, ConsumerSpec, DeadLetterTarget, ExchangeName,
    ExitCodes, FailureClass, Order, Origin, Program, QueueName, QueueType, RecycleSpec, Replies,
    RestartSpec, RetrySpec, RolloutSpec, RoutingKey, StopSpec, VhostName, WireProtocol,
};
use crate::supervise::{DeadLetterRoute, Disposition, Failure, Wish, dispose};

fn spec(delays: &[u64], discard: bool) -> ConsumerSpec {
    let delays: Vec<_> = delays.iter().map(|delay| Duration::from_secs(*delay)).collect();
    ConsumerSpec {
        name: ConsumerName::new("billing").unwrap(),
        vhost: VhostName::new("/").unwrap(),
        queue: QueueName::new("billing").unwrap(),
        queue_type: QueueType::Classic,
        dead_letters: true,
        program: Program::Command(vec!["true".into()]),
        protocol: WireProtocol::Json { body_as: BodyAs::String },
        replies: Replies::Stdout,
        ready: None,
        reply_from_stdout: false,
        metadata: false,
        workers: NonZeroU16::MIN,
        pool: None,
        recycle: RecycleSpec::default(),
        prefetch: NonZeroU16::MIN,
        timeout: None,
        retry: (!delays.is_empty()).then_some(RetrySpec { delays, ..RetrySpec::default() }),
        max_crashes: NonZeroU32::new(3).unwrap(),
        dead_letter_by_broker: false,
        discard,
        exit_codes: ExitCodes::default(),
        confinement: Confinement::default(),
        env: BTreeMap::new(),
        cwd: "/".into(),
        restart: RestartSpec::default(),
        stop: StopSpec::default(),
        rollout: RolloutSpec::default(),
        ack: AckMode::Each,
        order: Order::Any,
        dedupe: None,
        max_message: NonZeroU32::MAX,
        max_reply: NonZeroU32::MAX,
        arguments: BTreeMap::new(),
        origin: Origin::default(),
    }
}

/// `1s` for a retry, `dead`, `broker`, `gone` or `back`, with `!` where tries were used up.
fn word(disposition: &Disposition) -> String {
    let mark = |word: &str, exhausted: bool| format!("{word}{}", if exhausted { "!" } else { "" });
    match disposition {
        Disposition::Retry { delay } => crate::model::duration_label(*delay),
        Disposition::DeadLetter { exhausted, .. } => mark("dead", *exhausted),
        Disposition::RejectByBroker { exhausted } => mark("broker", *exhausted),
        Disposition::Discard { exhausted } => mark("gone", *exhausted),
        Disposition::Again => "again".into(),
        Disposition::Rest { delay: Some(delay) } => {
            format!("rest {}", crate::model::duration_label(*delay))
        }
        Disposition::Rest { delay: None } => "rest".into(),
        Disposition::Requeue => "back".into(),
    }
}

fn failed(attempt: u32, wish: Wish) -> Failure {
    Failure { attempt, class: FailureClass::Nack, crashes: 0, wish }
}

fn target() -> DeadLetterRoute {
    DeadLetterRoute::Publish(DeadLetterTarget {
        exchange: ExchangeName::default_exchange(),
        routing_key: RoutingKey::new("billing.dead").ok(),
    })
}

#[test]
fn the_first_tries_take_the_tiers_in_order_and_then_it_is_dead() {
    let spec = spec(&[1, 30, 300], false);
    let words: Vec<_> = (1..=5)
        .map(|attempt| word(&dispose(&spec, &target(), failed(attempt, Wish::Later))))
        .collect();
    assert_eq!(words, ["1s", "30s", "5m", "dead!", "dead!"]);
}

#[test]
fn an_asked_for_delay_takes_the_nearest_tier_that_is_not_shorter() {
    let spec = spec(&[1, 30, 300], false);
    let wish = |seconds, attempt| {
        let wish = Wish::After(Duration::from_secs(seconds));
        word(&dispose(&spec, &target(), failed(attempt, wish)))
    };
    assert_eq!(wish(0, 1), "1s");
    assert_eq!(wish(1, 1), "1s");
    assert_eq!(wish(2, 1), "30s");
    assert_eq!(wish(86_400, 1), "5m");
    assert_eq!(wish(1, 3), "1s");
    // Asking does not give more tries than the policy has.
    assert_eq!(wish(1, 4), "dead!");
}

#[test]
fn without_a_policy_or_a_target_nothing_is_lost_in_silence() {
    let cases = [
        // (delays, discard, route, wish, expected)
        (&[][..], false, target(), Wish::Later, "dead!"),
        (&[], false, DeadLetterRoute::Nowhere, Wish::Later, "back"),
        (&[], false, DeadLetterRoute::Nowhere, Wish::Never, "back"),
        (&[], true, DeadLetterRoute::Nowhere, Wish::Never, "gone"),
        // `discard` is about rejects and about retries used up, not about a first failure.
        (&[], true, DeadLetterRoute::Nowhere, Wish::Later, "back"),
        (&[1], true, DeadLetterRoute::Nowhere, Wish::Later, "1s"),
        (&[1], false, DeadLetterRoute::ByBroker, Wish::Never, "broker"),
        (&[1], false, target(), Wish::Never, "dead"),
    ];
    for (delays, discard, route, wish, expected) in cases {
        let failure = failed(1, wish);
        let disposition = dispose(&spec(delays, discard), &route, failure);
        assert_eq!(word(&disposition), expected, "{delays:?} {discard} {route:?} {wish:?}");
    }
    let failure = failed(2, Wish::Later);
    let nowhere = DeadLetterRoute::Nowhere;
    assert_eq!(word(&dispose(&spec(&[1], true), &nowhere, failure)), "gone!");
    assert_eq!(word(&dispose(&spec(&[1], false), &nowhere, failure)), "back");
}

#[test]
fn a_crash_is_tried_again_up_to_its_limit_whatever_the_policy() {
    let crash = |spec: &ConsumerSpec, crashes, attempt| {
        let class = FailureClass::Crash;
        word(&dispose(spec, &target(), Failure { attempt, class, crashes, wish: Wish::Later }))
    };
    let none = spec(&[], false);
    assert_eq!([1, 2, 3, 4].map(|n| crash(&none, n, n)), ["again", "again", "dead!", "dead!"]);
    let long = spec(&[1, 30, 300, 300], false);
    assert_eq!([1, 2, 3].map(|n| crash(&long, n, n)), ["1s", "30s", "dead!"]);
    let short = spec(&[1], false);
    assert_eq!([1, 2].map(|n| crash(&short, n, n)), ["1s", "dead!"]);
    let discard = spec(&[], true);
    let failure = Failure { attempt: 3, class: FailureClass::Crash, crashes: 3, wish: Wish::Later };
    assert_eq!(word(&dispose(&discard, &DeadLetterRoute::Nowhere, failure)), "gone!");
}

#[test]
fn what_keeps_its_place_rests_where_it_is() {
    let strict =
        |delays: &[u64], discard| ConsumerSpec { order: Order::Strict, ..spec(delays, discard) };
    let stream = ConsumerSpec { queue_type: QueueType::Stream, ..spec(&[], false) };
    let nowhere = DeadLetterRoute::Nowhere;
    let of = |spec: &ConsumerSpec, route: &DeadLetterRoute, attempt, wish| {
        word(&dispose(spec, route, failed(attempt, wish)))
    };
    let tiers = strict(&[1, 30], false);
    let words: Vec<_> =
        (1..=3).map(|attempt| of(&tiers, &target(), attempt, Wish::Later)).collect();
    assert_eq!(words, ["rest 1s", "rest 30s", "dead!"]);
    assert_eq!(of(&tiers, &target(), 1, Wish::After(Duration::from_secs(2))), "rest 30s");
    assert_eq!(of(&tiers, &target(), 1, Wish::Never), "dead");
    assert_eq!(of(&tiers, &DeadLetterRoute::ByBroker, 3, Wish::Later), "broker!");
    assert_eq!(of(&strict(&[1], true), &nowhere, 2, Wish::Later), "gone!");
    assert_eq!(of(&strict(&[], true), &nowhere, 1, Wish::Later), "rest");
    let crash = Failure { attempt: 1, class: FailureClass::Crash, crashes: 1, wish: Wish::Later };
    assert_eq!(word(&dispose(&strict(&[], false), &target(), crash)), "rest 0s");
    // What nobody tries any more is still in the stream.
    assert_eq!(of(&stream, &nowhere, 1, Wish::Later), "rest");
    assert_eq!(of(&stream, &nowhere, 1, Wish::Never), "gone");
    assert_eq!(word(&dispose(&stream, &nowhere, Failure { crashes: 3, ..crash })), "gone!");
}

#[test]
fn classes_have_delays_of_their_own_or_none() {
    let mut spec = spec(&[1, 30], false);
    let retry = spec.retry.as_mut().unwrap();
    retry.immediate = 2;
    retry.on = BTreeMap::from([
        (FailureClass::Timeout, vec![]),
        (FailureClass::Crash, vec![Duration::from_mins(1)]),
    ]);
    assert_eq!(retry.most_failures(), 4);
    assert_eq!(retry.distinct_delays().len(), 3);
    let tries = |class| {
        [1, 2, 3, 4, 5].map(|attempt| {
            let failure = Failure { attempt, class, crashes: 1, wish: Wish::Later };
            word(&dispose(&spec, &target(), failure))
        })
    };
    assert_eq!(tries(FailureClass::Nack), ["again", "again", "1s", "30s", "dead!"]);
    assert_eq!(tries(FailureClass::Timeout), ["dead!"; 5]);
    assert_eq!(tries(FailureClass::Crash), ["1m", "dead!", "dead!", "dead!", "dead!"]);
    // One that says how long it wants to wait has reason to.
    let wish = failed(1, Wish::After(Duration::from_secs(5)));
    assert_eq!(word(&dispose(&spec, &target(), wish)), "30s");
    let wish = failed(5, Wish::After(Duration::from_secs(5)));
    assert_eq!(word(&dispose(&spec, &target(), wish)), "dead!");
}
