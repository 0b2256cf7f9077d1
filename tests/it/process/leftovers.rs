//! What children leave behind, and what is left of it.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use warrener::model::StopSignal;
use warrener::process::{SpawnRequest, Spawner};

use super::{
    command, is_dead, is_gone, line, output, role, shell, soon, spawn, state, told, until,
};
use crate::support::processes::processes_with;

/// How soon everything is gone after a supervisor was killed.
const GONE: Duration = Duration::from_secs(2);

/// Consumers of a role that leave others behind.
const LEAVERS: usize = 400;

/// A number that stands in the arguments of everything that a role's children start.
fn mark() -> String {
    format!("31{}{:04}", std::process::id(), fastrand::u32(..10_000))
}

fn leaves_behind(mark: &str) -> SpawnRequest {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/children/leaves_behind.sh");
    command(&["sh", path.to_str().unwrap(), mark])
}

/// How many of its kind `leaves_behind.sh` has alive, itself not counted.
fn sleepers(mark: &str) -> usize {
    let argument = format!("\00.{mark}\0");
    processes_with(&argument).len()
}

/// The children of this process, dead ones that it has not reaped among them.
fn own_children() -> usize {
    let us = std::process::id().to_string();
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    pids.filter(|pid| state(pid).is_some_and(|(_, parent)| parent == us)).count()
}

pub(super) async fn victim(print: &impl Fn(&str)) {
    let mark = std::env::var("PROCESS_MARK").unwrap();
    let mut child = spawn(leaves_behind(&mark)).await;
    assert_eq!(line(&mut child).await, "ready");
    until("all of them", || sleepers(&mark) == 7).await;
    print(&child.pid.to_string());
    std::future::pending::<()>().await;
}

pub(super) async fn cycles(print: &impl Fn(&str)) {
    let descriptors = || fs::read_dir("/proc/self/fd").unwrap().count();
    let count = std::env::var("WARRENER_TEST_CYCLES").map_or(1000, |text| text.parse().unwrap());
    let mark = mark();
    let spawner = Spawner::start(false).unwrap();
    let group = spawner.group("cycle", None);
    let mut child = spawner.spawn(command(&["true"])).await.unwrap();
    child.exited().await;
    drop(child);
    let before = descriptors();
    let began = Instant::now();
    for cycle in 0..count {
        let request = SpawnRequest { group: group.clone(), ..leaves_behind(&mark) };
        let mut child = spawner.spawn(request).await.unwrap();
        if cycle % 2 == 0 {
            assert_eq!(line(&mut child).await, "ready");
        }
        match cycle % 5 {
            0 => drop(child.stdin.take()),
            1 => child.kill_group().unwrap(),
            2 => child.signal_group(StopSignal::Term).unwrap(),
            // At some moment of its beginnings.
            3 => tokio::time::sleep(Duration::from_micros(fastrand::u64(..10_000))).await,
            _ => continue,
        }
        if cycle % 5 != 3 {
            soon("exit", child.exited()).await;
        }
    }
    let took = began.elapsed();
    until("all gone", || sleepers(&mark) == 0).await;
    until("all reaped", || own_children() == 0).await;
    print(&format!("survivors {}", sleepers(&mark)));
    print(&format!("children {}", own_children()));
    print(&format!("descriptors {:+}", descriptors().cast_signed() - before.cast_signed()));
    print(&format!("{:.1} ms a cycle", took.as_secs_f64() * 1e3 / f64::from(count)));
}

/// Of each consumer once that it leaves somebody behind, whichever thread comes upon him.
pub(super) async fn tells(print: &impl Fn(&str)) {
    tracing_subscriber::fmt().with_writer(std::io::stdout).with_ansi(false).init();
    let spawner = Spawner::start(false).unwrap();
    for round in 0..LEAVERS / 4 {
        let all = (0..4).map(|number| {
            let consumer = Some(format!("leaver-{round}-{number}").into());
            let request = SpawnRequest { consumer, ..shell("sleep 300 & sleep 301 & exit 0") };
            let spawning = spawner.spawn(request);
            async { soon("exit", spawning.await.unwrap().exited()).await }
        });
        futures_util::future::join_all(all).await;
    }
    until("all reaped", || own_children() == 0).await;
    print("done");
}

/// Reaps what fell to it and is nobody's, as process 1 of a container has to.
pub(super) async fn adopts(print: &impl Fn(&str)) {
    let _spawner = Spawner::start(true).unwrap();
    // Started past the spawner, so that they have no mark.
    let mut parent = std::process::Command::new("sh")
        .args(["-c", "(sleep 0.2 & echo $!)"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut orphan = String::new();
    BufReader::new(parent.stdout.take().unwrap()).read_line(&mut orphan).unwrap();
    let orphan = orphan.trim();
    let us = std::process::id().to_string();
    let mut adopted = false;
    until("its end", || {
        adopted |= state(orphan).is_some_and(|(_, parent)| parent == us);
        state(orphan).is_none()
    })
    .await;
    print(&format!("adopted {adopted}"));
    let _ = parent.wait();
}

#[test]
fn everyone_is_told_of_who_leaves_others_behind() {
    let output = role("tells", "").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("= done"), "{text}");
    assert_eq!(text.matches("its process left others behind").count(), LEAVERS, "{text}");
}

#[test]
fn a_thousand_cycles_leave_nothing_behind() {
    let told = told(role("cycles", ""));
    assert_eq!(told[..3], ["survivors 0", "children 0", "descriptors +0"], "{told:?}");
}

#[test]
fn everything_dies_with_a_killed_supervisor() {
    let mark = mark();
    let mut supervisor =
        role("victim", "").env("PROCESS_MARK", &mark).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(supervisor.stdout.take().unwrap()).lines();
    let pid =
        lines.map_while(Result::ok).find_map(|line| line.strip_prefix("= ").map(str::to_owned));
    let pid = pid.expect("the role says the id of its child");
    assert_eq!((is_gone(&pid), sleepers(&mark)), (false, 7));
    let began = Instant::now();
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    while sleepers(&mark) > 0 || !is_dead(&pid) {
        assert!(began.elapsed() < GONE, "{:?}", processes_with(&mark));
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn what_is_nobodys_is_reaped_by_who_has_the_duty() {
    assert_eq!(told(role("adopts", "")), ["adopted true"]);
}

#[tokio::test]
async fn what_a_child_left_in_a_session_of_its_own_lives_as_long_as_the_child() {
    let text = "(setsid sleep 300 & echo $!); (setsid true &); cat";
    let mut child = spawn(shell(text)).await;
    let daemon = line(&mut child).await;
    // Others come and go meanwhile.
    let (_, _) = output(&mut spawn(shell("setsid sleep 300 & exit")).await).await;
    assert!(!is_gone(&daemon));
    let pid = Pid::from_raw(daemon.parse().unwrap());
    assert_eq!(kill(pid, None::<Signal>), Ok(()), "it was killed with another");
    drop(child.stdin.take());
    soon("exit", child.exited()).await;
    until("the daemon gone", || is_gone(&daemon)).await;
}
