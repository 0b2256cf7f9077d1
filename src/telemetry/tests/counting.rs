//! Whoever counts, the books must balance; and they must show it when they do not.

use crate::model::{ConsumerName, VhostName};
use crate::telemetry::{
    ConnectionRole, ConnectionState, ConsumerMeter, ConsumerState, Outcome, Reason, Registry,
    RestartReason, Role, Status, WorkerState,
};

fn name(text: &str) -> ConsumerName {
    ConsumerName::new(text).expect("a valid name")
}

/// One message of each fate.
fn every_fate(meter: &ConsumerMeter) -> u64 {
    let mut outcomes = vec![Outcome::Acked, Outcome::Retried, Outcome::Requeued, Outcome::Released];
    outcomes.extend(Reason::ALL.iter().map(|reason| Outcome::DeadLettered(*reason)));
    outcomes.extend(Reason::ALL.iter().map(|reason| Outcome::Discarded(*reason)));
    for outcome in &outcomes {
        meter.received(false);
        meter.settled(*outcome);
    }
    outcomes.len() as u64
}

#[test]
fn each_fate_balances_one_delivery() {
    let registry = Registry::new();
    let meter = registry.consumer(&name("billing"));
    let settled = every_fate(&meter);

    let status = registry.status();
    let billing = &status.consumers[&name("billing")];
    assert_eq!(billing.received, settled);
    assert_eq!(billing.settled.total(), settled);
    assert_eq!(billing.settled.dead_lettered[&Reason::TooLarge], 1);
    assert_eq!(billing.settled.discarded[&Reason::Rejected], 1);
    assert_eq!(status.imbalance(), 0);
    assert_eq!(status.settled(), billing.settled);
}

#[test]
fn what_is_held_or_lost_with_a_channel_is_accounted_for() {
    let registry = Registry::new();
    let meter = registry.consumer(&name("billing"));
    let (first, second) = (meter.worker(0), meter.worker(1));
    for _ in 0..5 {
        meter.received(true);
    }
    first.set_in_flight(2);
    second.set_in_flight(3);
    let billing = registry.status().consumers[&name("billing")].clone();
    assert_eq!((billing.in_flight, billing.redelivered, billing.imbalance()), (5, 5, 0));

    drop(second);
    assert_eq!(registry.status().imbalance(), 3, "a worker that vanishes takes nothing along");
    meter.lost_to_channel(3);
    assert_eq!(registry.status().imbalance(), 0);
}

#[test]
fn opposite_mistakes_of_two_consumers_do_not_cancel_out() {
    let registry = Registry::new();
    registry.consumer(&name("lost-one")).received(false);
    registry.consumer(&name("counted-twice")).settled(Outcome::Acked);

    let status = registry.status();
    assert_eq!(status.consumers[&name("lost-one")].imbalance(), 1);
    assert_eq!(status.consumers[&name("counted-twice")].imbalance(), -1);
    assert_eq!(status.imbalance(), 2);
}

#[test]
fn a_reload_goes_on_counting_until_the_consumer_is_forgotten() {
    let registry = Registry::new();
    registry.consumer(&name("billing")).received(false);
    registry.consumer(&name("billing")).received(false);
    assert_eq!(registry.status().consumers[&name("billing")].received, 2);

    registry.forget(&name("billing"));
    assert!(registry.status().consumers.is_empty());
    assert_eq!(registry.consumer(&name("billing")).name(), &name("billing"));
    assert_eq!(registry.status().consumers[&name("billing")].received, 0);
}

#[test]
fn a_failed_reload_keeps_the_time_of_the_last_good_one() {
    let registry = Registry::new();
    registry.reload_succeeded("2 consumers");
    let good = registry.status().config;
    assert_eq!(good.last_reload_ok, Some(true));
    assert_eq!(good.last_reload_at, good.last_success_at);

    registry.reload_failed("orders.yaml:3:1: tab");
    let bad = registry.status().config;
    assert_eq!(bad.last_reload_ok, Some(false));
    assert_eq!(bad.message, "orders.yaml:3:1: tab");
    assert_eq!(bad.last_success_at, good.last_success_at);
}

#[test]
fn counting_from_many_threads_misses_nothing() {
    let registry = Registry::new();
    std::thread::scope(|scope| {
        for slot in 0..4 {
            let meter = registry.consumer(&name("billing"));
            scope.spawn(move || {
                let worker = meter.worker(slot);
                for held in 0..10_000 {
                    meter.received(false);
                    worker.set_in_flight(held % 2);
                    meter.settled(Outcome::Acked);
                }
            });
        }
    });
    let status = registry.status();
    assert_eq!(status.consumers[&name("billing")].received, 40_000);
    assert_eq!(status.imbalance(), 0);
}

#[test]
fn the_snapshot_as_json() {
    let registry = Registry::new();
    let meter = registry.consumer(&name("billing"));
    meter.set_state(ConsumerState::Waiting { why: "restarts in 4s".into() });
    let worker = meter.worker(1);
    worker.set_pid(Some(4711));
    worker.set_state(WorkerState::Running);
    worker.set_in_flight(1);
    meter.received(true);
    meter.received(false);
    meter.settled(Outcome::DeadLettered(Reason::Exhausted));
    meter.restarted(RestartReason::Signal);
    meter.stale_reply();
    meter.protocol_error();
    meter.log_lines_dropped(12);
    let home = VhostName::new("/").expect("a name");
    let consume = registry.connection(home.clone(), ConnectionRole::Consume);
    consume.set(ConnectionState::Up);
    let publish = registry.connection(home, ConnectionRole::Publish);
    publish.set(ConnectionState::Blocked { why: "low on memory".into() });
    registry.set_role(Role::StandsBy { holder: None });
    registry.looked(2);
    registry.healed();
    let mut status = registry.status();
    status.topology.last_look_at = None;
    let json = serde_json::to_string_pretty(&status).expect("plain data");
    assert_eq!(serde_json::from_str::<Status>(&json).expect("its own words"), status);
    insta::assert_snapshot!(json, @r#"
    {
      "consumers": {
        "billing": {
          "state": "waiting",
          "why": "restarts in 4s",
          "received": 2,
          "redelivered": 1,
          "settled": {
            "acked": 0,
            "retried": 0,
            "requeued": 0,
            "released": 0,
            "duplicates": 0,
            "dead_lettered": {
              "exhausted": 1
            },
            "discarded": {}
          },
          "in_flight": 1,
          "lost_to_channel": 0,
          "stale_replies": 1,
          "protocol_errors": 1,
          "restarts": {
            "signal": 1
          },
          "log_lines_dropped": 12,
          "scaled": null,
          "last_error": null,
          "workers": [
            {
              "slot": 1,
              "state": "running",
              "pid": 4711,
              "in_flight": 1
            }
          ]
        }
      },
      "connections": {
        "/": {
          "consume": {
            "state": "up"
          },
          "publish": {
            "state": "blocked",
            "why": "low on memory"
          }
        }
      },
      "config": {
        "last_reload_ok": null,
        "message": "",
        "last_reload_at": null,
        "last_success_at": null,
        "in_force": null
      },
      "topology": {
        "role": "stands_by",
        "holder": null,
        "drift": 2,
        "drifted": 2,
        "healed": 1,
        "last_look_at": null
      }
    }
    "#);
}
