//! Clocks that are set: the time of day decides nothing.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use crate::support::case::{Case, QUEUES, consumer};
use crate::support::supervisor::{PATIENCE, wait_until};

/// Stands in front of the C library: the time of day is off by so many seconds as a file says.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int result = (int)syscall(SYS_clock_gettime, clock, now);
    if (result == 0 && clock == CLOCK_REALTIME) {
        long seconds = 0;
        FILE *file = fopen(getenv("CLOCK_OFFSET"), "re");
        if (file) {
            if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
            fclose(file);
        }
        now->tv_sec += seconds;
    }
    return result;
}
"#;

/// The hour of the last line of the log that begins with a time.
fn hour(case: &Case) -> Option<u32> {
    let log = case.supervisor.log();
    log.lines()
        .rev()
        .find_map(|line| line.get(..2).filter(|_| line.get(2..3) == Some(":"))?.parse().ok())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_hour_forth_and_back_ends_no_message_and_delays_none() {
    let mut case = Case::prepare().await;
    let keys = "command: [python3, \"${CHILDREN}/answer.py\"]\nprefetch: 1\ntimeout: 5s\n\
                restart: { backoff: 50ms }\nstop: { grace: 3s }\n";
    case.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", keys)));
    let (source, shim) = (case.supervisor.path("clock.c"), case.supervisor.path("clock.so"));
    fs::write(&source, SHIM).unwrap();
    // Whoever can build this program has it.
    let built = Command::new("cc").args(["-shared", "-fPIC", "-o"]).args([&shim, &source]).status();
    assert!(built.expect("a C compiler").success());
    let offset = case.supervisor.path("offset");
    fs::write(&offset, "0").unwrap();
    // The path of the loader's list must have no spaces in it.
    let mut command = case.supervisor.command(&["-v", "run", "stack.yaml"]);
    command.env("LD_PRELOAD", "./clock.so").env("CLOCK_OFFSET", &offset);
    case.supervisor.start_by(command);
    case.supervisor.wait_for("started: topology");
    let usual = hour(&case).expect("a time");

    for seconds in ["3600", "-3600", "0"] {
        case.send(&["silent"]).await;
        case.outside.wait_for_depth("work", 0, PATIENCE).await;
        let start = Instant::now();
        fs::write(&offset, seconds).unwrap();
        let before = case.logged("no answer within 5s");
        wait_until("the time limit", PATIENCE, || case.logged("no answer within 5s") > before);
        let took = start.elapsed();
        assert!(Duration::from_secs(3) < took && took < Duration::from_secs(12), "{took:?}");
        let off: i64 = seconds.parse().unwrap();
        let expected = (i64::from(usual) + off / 3600).rem_euclid(24);
        let shown = i64::from(hour(&case).expect("a time"));
        // It may have struck the hour meanwhile.
        assert!(shown == expected || shown == (expected + 1) % 24, "the clock was not set");
    }
    assert_eq!(case.logged("connection lost"), 0);
    assert_eq!(case.stop(PATIENCE).count("dead_lettered"), 3);
}
