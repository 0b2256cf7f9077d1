//! A process that no signal ends, as one that waits for a disk that does not answer: its place is
//! taken by another, and no stop waits for it.
//!
//! Such a process cannot be had on demand. But for its parent, one that is dead looks the same as
//! long as a debugger holds on to it: it is not there any more, and cannot be reaped.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::ptrace;
use nix::unistd::Pid;

use crate::support::case::Case;
use crate::support::supervisor::PATIENCE;

/// Holds on to a process until it is dropped.
struct Held {
    _hold: mpsc::Sender<()>,
}

fn hold(pid: u32) -> Held {
    let (hold, released) = mpsc::channel::<()>();
    let (holds, held) = mpsc::channel();
    // The debugger is a thread; when it ends, the process is let go.
    thread::spawn(move || {
        let pid = Pid::from_raw(pid.cast_signed());
        holds.send(ptrace::seize(pid, ptrace::Options::empty())).expect("waited for");
        let _ = released.recv();
    });
    held.recv().expect("said").expect("may be held");
    Held { _hold: hold }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_cannot_be_killed_costs_neither_its_place_nor_the_stop() {
    let keys = "shell: while read -r line; do test $$line = stuck && sleep 1000; echo ack; done\n\
                protocol: lines\nprefetch: 1\ntimeout: 1s\nstop: { grace: 1s }\n\
                restart: { backoff: 50ms }\n";
    let mut case = Case::run(keys).await;
    case.outside.wait_for_consumers("work", 1, PATIENCE).await;
    let [child] = case.supervisor.children()[..] else { panic!("one child") };
    let first = hold(child);
    case.send(&["stuck", "fine"]).await;
    // Ten seconds for its own end, ten for the kernel.
    case.supervisor.wait_for("its process cannot be killed: going on without it");
    case.supervisor.wait_for("hint: it waits for something in the kernel");
    case.outside.wait_for_depth("dead", 1, PATIENCE).await;
    case.wait_settled();
    assert_eq!(case.logged("worker[0]: started"), 2);

    let another = |pid: &u32| *pid != child;
    let next = case.supervisor.children().into_iter().find(another).expect("another");
    let second = hold(next);
    let stop = Instant::now();
    let books = case.stop(PATIENCE);
    assert!(stop.elapsed() < Duration::from_secs(16), "{:?}", stop.elapsed());
    assert_eq!((books.count("acked"), books.count("dead_lettered")), (1, 1));
    drop((first, second));
}
