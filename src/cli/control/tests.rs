//! What a report looks like.

use jiff::{SignedDuration, Timestamp};

use super::table::render;
use crate::admin::{Rates, Report};
use crate::model::{ConsumerName, VhostName};
use crate::telemetry::{
    ConnectionRole, ConnectionState, ConsumerState, Outcome, Reason, Registry, RestartReason, Role,
    WorkerState,
};

fn name(text: &str) -> ConsumerName {
    ConsumerName::new(text).expect("a name")
}

fn shown(registry: &Registry, rates: &[(&str, f64, f64)]) -> String {
    let rates = rates.iter().map(|(one, received, settled)| {
        (name(one), Rates { received: *received, settled: *settled })
    });
    let report = Report {
        stack: "orders".into(),
        pid: 4711,
        version: "0.1.0".into(),
        started_at: String::new(),
        uptime: 93_784,
        rates: rates.collect(),
        status: registry.status(),
    };
    let later = Timestamp::now() + SignedDuration::from_secs(75);
    anstream::adapter::strip_str(&render(&report, later)).to_string()
}

#[test]
fn one_that_has_only_begun() {
    insta::assert_snapshot!(shown(&Registry::new(), &[]), @r"
    orders    up 1d 2h, process 4711, warrener 0.1.0
    files     not in force yet
    broker    not connected yet
    topology  not looked at

    no consumers
    ");
}

#[test]
fn everything_at_once() {
    let registry = Registry::new();
    registry.in_force("orders", "3f9a1c2b4d5e6f708192");
    let home = VhostName::new("/").expect("a name");
    let consume = registry.connection(home.clone(), ConnectionRole::Consume);
    consume.set(ConnectionState::Up);
    let publish = registry.connection(home, ConnectionRole::Publish);
    let why = "low on memory".to_owned();
    publish.set(ConnectionState::Blocked { why });
    registry.set_control_groups(
        "/sys/fs/cgroup/system.slice/warrener.service/warrener.1f".into(),
        true,
    );
    registry.set_role(Role::StandsBy { holder: Some("run on host a".into()) });
    registry.looked(2);
    registry.healed();
    registry.reload_failed("error: one\n  two \u{1b}[31m");

    let billing = registry.consumer(&name("billing"));
    billing.set_state(ConsumerState::Running);
    billing.set_scaled(Some(2));
    let workers = [billing.worker(0), billing.worker(1)];
    workers[0].set_state(WorkerState::Running);
    workers[0].set_in_flight(12);
    workers[0].set_position(77);
    for _ in 0..12_345 {
        billing.settled(Outcome::Acked);
    }
    billing.settled(Outcome::Retried);
    billing.settled(Outcome::Released);
    billing.settled(Outcome::DeadLettered(Reason::Crashed));
    billing.settled(Outcome::Discarded(Reason::Rejected));
    billing.restarted(RestartReason::Signal);
    billing.failed("signal 11 (SIGSEGV)\nand more");
    let mails = registry.consumer(&name("a-long-name.for-mails"));
    mails.set_state(ConsumerState::Down { why: "it cannot be\u{7} started ".repeat(10) });
    registry.consumer(&name("idle")).set_state(ConsumerState::Paused);
    let rates = [("billing", 12_345.6, 3.25), ("idle", 0.0, 0.0)];
    insta::assert_snapshot!(shown(&registry, &rates), @r"
    orders    up 1d 2h, process 4711, warrener 0.1.0
    files     3f9a1c2b4d5e, in force for 1m 15s; the last change was refused 1m 15s ago
              error: one
                two  [31m
    broker    consume up, publish blocked: low on memory
    topology  2 differences left (looked 1m 15s ago); run on host a applies, this one stands by; mended once
    groups    /sys/fs/cgroup/system.slice/warrener.service/warrener.1f (limits memory as well)

    consumer               state    workers  in flight   in/s  out/s  acked  retried  back  dead  dropped  restarts
    a-long-name.for-mails  down         0/0          0      0      0      0        0     0     0        0         0
    billing                running     1/2*         12  12.3k    3.2  12345        1     1     1        1         1
    idle                   paused       0/0          0      0      0      0        0     0     0        0         0

    a-long-name.for-mails: down: it cannot be  started it cannot be  started it cannot be  started it cannot be  started it cannot be  started it cannot be  started it cannot be  started it can …
    billing: next offset (of worker) 77 (0)
    billing: * scaled to 2 workers by hand, until `warrener scale billing file` or another `workers` in the file
    billing: last error 1m 15s ago: signal 11 (SIGSEGV) …
    ");
}
