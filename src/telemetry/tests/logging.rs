//! What a log line looks like, and what it never contains.

use std::io;
use std::sync::{Arc, Mutex};

use crate::telemetry::LogFormat;
use crate::telemetry::apart::apart;
use crate::telemetry::log::{CHILD_TARGET, subscriber};

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().expect("no test panics inside").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What `events` leave in the log.
fn logged(format: LogFormat, verbosity: i8, color: bool, events: impl FnOnce()) -> String {
    let sink = Sink::default();
    let writer = sink.clone();
    let subscriber = subscriber(format, verbosity, color, move || writer.clone());
    tracing::subscriber::with_default(subscriber, events);
    let bytes = sink.0.lock().expect("no test panics inside").clone();
    String::from_utf8(bytes).expect("log lines are UTF-8")
}

/// The lines without their time of day.
fn timeless(log: &str) -> String {
    log.split_inclusive('\n').map(|line| &line["12:03:04.123 ".len()..]).collect()
}

#[test]
fn text_lines() {
    let log = logged(LogFormat::Text, 0, false, || {
        tracing::info!("3 queues, 2 consumers");
        tracing::info!(pid = 4711, consumer = "billing", "started");
        tracing::warn!(consumer = "billing", why = "no such queue", "waits");
        tracing::info!(target: CHILD_TARGET, consumer = "billing", worker = 0, stream = "stderr", "hello");
        tracing::info!(target: CHILD_TARGET, consumer = "billing", worker = 0, stream = "stdout", "stray");
        tracing::debug!("too fine");
    });
    insta::assert_snapshot!(timeless(&log), @r#"
    INFO  3 queues, 2 consumers
    INFO  billing: started pid=4711
    WARN  billing: waits why="no such queue"
    INFO  billing[0]: hello
    INFO  billing[0] stdout: stray
    "#);
    let log = logged(LogFormat::Text, 1, false, || {
        tracing::error!(target: "lapin", "socket closed");
    });
    assert_eq!(timeless(&log), "ERROR lapin: socket closed\n");
    let time: String =
        log.chars().take(13).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(time, "00:00:00.000 ");
}

#[test]
fn text_of_others_cannot_forge_a_line_or_steer_a_terminal() {
    let log = logged(LogFormat::Text, 0, false, || {
        tracing::info!(
            target: CHILD_TARGET,
            consumer = "billing",
            note = "a \"b\"\r\n12:00:00.000 ERROR forged",
            "\u{1b}[2J\nred\u{7}\u{9b}31m \u{202e}txt.exe\u{2028}ünïcode stays"
        );
    });
    assert_eq!(log.lines().count(), 1);
    insta::assert_snapshot!(timeless(&log), @r#"INFO  billing: \u{1b}[2J\nred\u{7}\u{9b}31m \u{202e}txt.exe\u{2028}ünïcode stays note="a \"b\"\r\n12:00:00.000 ERROR forged""#);
}

#[test]
fn an_error_is_shown_with_its_causes() {
    #[derive(Debug, thiserror::Error)]
    #[error("cannot read `orders.yaml`")]
    struct Outer(#[source] io::Error);

    let error = Outer(io::Error::other("permission denied"));
    let log = logged(LogFormat::Text, 0, false, || {
        tracing::error!(error = &error as &dyn std::error::Error, "reload failed");
    });
    assert_eq!(
        timeless(&log),
        "ERROR reload failed error=\"cannot read `orders.yaml`: permission denied\"\n"
    );
}

#[test]
fn one_json_object_a_line() {
    let log = logged(LogFormat::Json, 0, true, || {
        tracing::info!(target: CHILD_TARGET, consumer = "billing", worker = 0, stream = "stderr", "two\nlines\u{1b}[31m");
    });
    assert_eq!(log.lines().count(), 1);
    assert!(!log.trim_end().contains(char::is_control), "{log:?}");
    let line: serde_json::Value = serde_json::from_str(&log).expect("a JSON object");
    assert_eq!(line["message"], "two\nlines\u{1b}[31m");
    assert_eq!(line["consumer"], "billing");
    assert_eq!(line["worker"], 0);
    assert_eq!(line["stream"], "stderr");
    assert_eq!(line["target"], "warrener::child");
    assert_eq!(line["level"], "INFO");
}

#[test]
fn verbosity_chooses_whose_words_are_shown() {
    let count = |verbosity| {
        let log = logged(LogFormat::Text, verbosity, false, || {
            tracing::error!("ours");
            tracing::warn!("ours");
            tracing::info!("ours");
            tracing::debug!("ours");
            tracing::trace!("ours");
            tracing::error!(target: "lapin", "theirs");
            tracing::warn!(target: "lapin", "theirs");
            tracing::debug!(target: "lapin", "theirs");
            tracing::trace!(target: "lapin", "theirs");
        });
        (log.matches("ours").count(), log.matches("theirs").count())
    };
    let shown: Vec<_> = (-3..=4).map(count).collect();
    assert_eq!(shown, [(1, 0), (1, 0), (2, 0), (3, 0), (4, 2), (5, 3), (5, 4), (5, 4)]);
}

#[test]
fn colour_only_where_asked_for() {
    let event = || tracing::warn!(consumer = "billing", "x");
    assert!(logged(LogFormat::Text, 0, true, event).contains("\u{1b}["));
    assert!(!logged(LogFormat::Text, 0, false, event).contains('\u{1b}'));
}

/// Takes what is written when it is allowed to.
struct Gate {
    open: std::sync::mpsc::Receiver<()>,
    sink: Sink,
}

impl io::Write for Gate {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Once the other end is gone, all may pass.
        let _ = self.open.recv();
        self.sink.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn whoever_logs_never_waits_and_what_is_dropped_is_told() {
    for (format, told) in [
        (LogFormat::Text, "WARN  7 log lines dropped, nobody read them"),
        (LogFormat::Json, r#""level":"WARN","message":"7 log lines dropped, nobody read them""#),
    ] {
        let sink = Sink::default();
        let (pass, open) = std::sync::mpsc::channel();
        let (mut lines, guard) = apart(format, 2, Gate { open, sink: sink.clone() });
        io::Write::write_all(&mut lines, b"first\n").expect("never fails");
        // The thread may or may not have taken the first by now.
        let dropped = lines.error_counter();
        for _ in 0..9 {
            io::Write::write_all(&mut lines, b"more\n").expect("never fails");
        }
        let missing = dropped.dropped_lines();
        assert!((7..=8).contains(&missing), "{missing}");
        drop(pass);
        drop(guard);
        let bytes = sink.0.lock().expect("no test panics inside").clone();
        let text = String::from_utf8(bytes).expect("log lines are UTF-8");
        assert!(text.contains(&told.replace('7', &missing.to_string())), "{text}");
        assert_eq!(text.matches("more").count(), 9 - missing, "{text}");
    }
}
