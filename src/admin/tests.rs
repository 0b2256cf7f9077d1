//! The socket's file, the lines that go over it, and rates.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixListener;
use std::time::{Duration, Instant};

use super::rates::Sampler;
use super::socket::bind;
use super::wire::{Answered, Asked};
use super::{Answer, Request, SocketError, VERSION};
use crate::engine::ReloadOutcome;
use crate::model::ConsumerName;
use crate::telemetry::{Outcome, Registry};

fn name(text: &str) -> ConsumerName {
    ConsumerName::new(text).expect("a name")
}

#[test]
fn a_socket_is_for_its_user_alone_and_goes_with_its_owner() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.sock");
    let (listener, bound) = bind(&path).expect("a socket");
    let mode = fs::metadata(&path).expect("it is there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert!(matches!(bind(&path), Err(SocketError::Taken(_))));
    drop(listener);
    drop(bound);
    assert!(!path.exists());
}

#[test]
fn a_socket_that_nobody_listens_on_is_replaced_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.sock");
    drop(UnixListener::bind(&path).expect("a socket"));
    assert!(path.exists(), "closing leaves the file");
    let (_listener, first) = bind(&path).expect("a left-over is replaced");
    // Somebody else has put another in its place: that one stays.
    fs::remove_file(&path).expect("it is there");
    let other = UnixListener::bind(&path).expect("a socket");
    drop(first);
    assert!(path.exists());
    drop(other);

    let file = folder.path().join("precious");
    fs::write(&file, "text").expect("a file");
    let error = bind(&file).map(drop).expect_err("it is no socket").to_string();
    assert!(error.contains("is no socket\nhint: remove it"), "{error}");
    assert_eq!(fs::read_to_string(&file).expect("it is there"), "text");
}

#[test]
fn of_many_that_start_at_once_one_gets_the_socket() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("x.sock");
    for _ in 0..20 {
        drop(UnixListener::bind(&path));
        let won = std::thread::scope(|scope| {
            let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| bind(&path).ok())).collect();
            let all: Vec<_> =
                tries.into_iter().filter_map(|one| one.join().expect("ends")).collect();
            all.len()
        });
        assert_eq!(won, 1);
        let _ = fs::remove_file(&path);
    }
}

/// Others may have written programs for these.
#[test]
fn the_lines() {
    let consumer = name("billing");
    let ask = |request| serde_json::to_string(&Asked { version: VERSION, request }).expect("data");
    let say = |answer| serde_json::to_string(&Answered { version: VERSION, answer }).expect("data");
    let refused = vec![(consumer.clone(), "not ready".to_owned())];
    let lines = [
        ask(Request::Status),
        ask(Request::Pause { consumer: consumer.clone() }),
        ask(Request::Scale { consumer: consumer.clone(), workers: std::num::NonZeroU16::new(3) }),
        ask(Request::Scale { consumer: consumer.clone(), workers: None }),
        ask(Request::Reload),
        say(Answer::Done),
        say(Answer::NoConsumer { known: vec![consumer] }),
        say(Answer::Refused { why: "busy".into() }),
        say(Answer::Reloaded { outcome: ReloadOutcome::Unchanged }),
        say(Answer::Reloaded {
            outcome: ReloadOutcome::Partly { summary: "1 refused".into(), refused },
        }),
    ];
    insta::assert_snapshot!(lines.join("\n"), @r#"
    {"version":1,"request":{"do":"status"}}
    {"version":1,"request":{"do":"pause","consumer":"billing"}}
    {"version":1,"request":{"do":"scale","consumer":"billing","workers":3}}
    {"version":1,"request":{"do":"scale","consumer":"billing","workers":null}}
    {"version":1,"request":{"do":"reload"}}
    {"version":1,"answer":{"said":"done"}}
    {"version":1,"answer":{"said":"no_consumer","known":["billing"]}}
    {"version":1,"answer":{"said":"refused","why":"busy"}}
    {"version":1,"answer":{"said":"reloaded","outcome":{"outcome":"unchanged"}}}
    {"version":1,"answer":{"said":"reloaded","outcome":{"outcome":"partly","summary":"1 refused","refused":[["billing","not ready"]]}}}
    "#);
}

#[test]
fn rates_are_those_of_the_last_seconds() {
    let registry = Registry::new();
    let meter = registry.consumer(&name("billing"));
    let mut sampler = Sampler::default();
    let start = Instant::now();
    let at = |seconds: u64| start + Duration::from_secs(seconds);
    let rate = |sampler: &Sampler, now| {
        let rates = sampler.rates(now, &registry.status())[&name("billing")];
        (rates.received, rates.settled)
    };
    assert_eq!(rate(&sampler, at(0)), (0.0, 0.0));
    for second in 0..30 {
        sampler.note(at(second), &registry.status());
        // Faster after a while.
        for _ in 0..if second < 10 { 1 } else { 5 } {
            meter.received(false);
        }
        meter.settled(Outcome::Acked);
    }
    assert_eq!(rate(&sampler, at(30)), (5.0, 1.0));
}
