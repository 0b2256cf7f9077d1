//! What systemd hears: a datagram socket in `NOTIFY_SOCKET` stands for it.

use std::fs;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::case::{Case, QUEUES, consumer};
use crate::support::supervisor::PATIENCE;

const WATCHDOG: Duration = Duration::from_millis(600);

const WORKER: &str = "command: [python3, \"${CHILDREN}/ledger.py\"]\nenv: { LEDGER: ledger }\n";

/// The service manager's end.
struct Manager {
    socket: UnixDatagram,
    heard: Vec<(Instant, String)>,
}

impl Manager {
    /// Starts the supervisor of a case as a service.
    fn start(case: &mut Case) -> Self {
        let path = case.supervisor.path("notify");
        let socket = UnixDatagram::bind(&path).expect("a socket");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("a timeout");
        let mut command = case.supervisor.command(&["-v", "run", "stack.yaml"]);
        command.env("NOTIFY_SOCKET", &path);
        command.env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        case.supervisor.start_by(command);
        Self { socket, heard: Vec::new() }
    }

    fn hear(&mut self) {
        let mut space = [0; 4096];
        if let Ok(length) = self.socket.recv(&mut space) {
            let message = String::from_utf8(space[..length].to_vec()).expect("UTF-8");
            self.heard.push((Instant::now(), message));
        }
    }

    /// Waits for a message that has this in it, after all that was waited for before.
    fn wait_for(&mut self, text: &str) -> String {
        let start = Instant::now();
        let mut from = 0;
        loop {
            if let Some(at) = self.heard[from..].iter().position(|(_, said)| said.contains(text)) {
                return self.heard.drain(..=from + at).next_back().expect("it is there").1;
            }
            from = self.heard.len();
            assert!(start.elapsed() < PATIENCE, "never heard `{text}`: {:?}", self.heard);
            self.hear();
        }
    }

    /// Whether it says within that time that it lives.
    fn beats(&mut self, limit: Duration) -> bool {
        let start = Instant::now();
        while start.elapsed() < limit {
            self.heard.clear();
            self.hear();
            if self.heard.iter().any(|(_, said)| said == "WATCHDOG=1\n") {
                return true;
            }
        }
        false
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn systemd_hears_of_a_start_of_reloads_and_of_the_end() {
    let mut case = Case::prepare().await;
    let stack = |keys: &str| format!("{QUEUES}consumers:\n{}", consumer("worker", "work", keys));
    case.write(&stack(WORKER));
    let mut manager = Manager::start(&mut case);
    manager.wait_for("READY=1");
    manager.wait_for("STATUS=started: topology: ");
    case.outside.wait_for_consumers("work", 1, PATIENCE).await;

    case.write(&stack(&format!("{WORKER}workers: 2\n")));
    let reloading = manager.wait_for("RELOADING=1");
    let micros = reloading.lines().find_map(|line| line.strip_prefix("MONOTONIC_USEC="));
    assert!(micros.is_some_and(|micros| micros.parse::<u64>().is_ok_and(|at| at > 0)));
    manager.wait_for("READY=1");

    // By a signal, as `systemctl reload` does it; and what is wrong is over as well.
    fs::write(case.supervisor.path("stack.yaml"), "stack: [").unwrap();
    case.supervisor.signal(Signal::SIGHUP);
    manager.wait_for("RELOADING=1");
    let ready = manager.wait_for("READY=1");
    assert_eq!(ready, "READY=1\nSTATUS=the files cannot be used; all goes on as before\n");

    case.supervisor.signal(Signal::SIGTERM);
    manager.wait_for("STOPPING=1");
    assert!(case.supervisor.exited(PATIENCE).success());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_watchdog_hears_of_it_while_it_goes_on_and_only_then() {
    let mut case = Case::prepare().await;
    case.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", WORKER)));
    let mut manager = Manager::start(&mut case);
    manager.wait_for("READY=1");
    for _ in 0..5 {
        assert!(manager.beats(WATCHDOG), "systemd would have killed it");
    }
    case.supervisor.signal(Signal::SIGSTOP);
    // What it said before.
    while manager.beats(WATCHDOG / 4) {}
    assert!(!manager.beats(WATCHDOG), "one that stands still beats");
    case.supervisor.signal(Signal::SIGCONT);
    assert!(manager.beats(PATIENCE));
    case.stop(PATIENCE);
}

/// A broker that is away is no reason to start the service again and again.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_without_a_broker_is_a_start() {
    let mut case = Case::prepare().await;
    case.url = "amqp://guest:guest@127.0.0.1:1/%2f".into();
    case.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", WORKER)));
    let mut manager = Manager::start(&mut case);
    let ready = manager.wait_for("READY=1");
    assert!(ready.contains("STATUS=waiting for the broker: "), "{ready}");
    case.supervisor.signal(Signal::SIGTERM);
    manager.wait_for("STOPPING=1");
    assert!(case.supervisor.exited(PATIENCE).success());
}
