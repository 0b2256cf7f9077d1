//! What the file says about who a consumer's processes are and what they get, on a broker; and that
//! nothing of them is left.

use std::fs;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;

use crate::support::case::Case;
use crate::support::processes::{guardians_of, processes_with};
use crate::support::supervisor::{PATIENCE, wait_until};

const GONE: Duration = Duration::from_secs(2);

#[tokio::test]
async fn the_processes_are_as_the_file_says() {
    let mut case = Case::run(
        r#"
        shell: "cat > body; (umask; ulimit -n; ulimit -c; echo $$NOTE $$CHILDREN) > told"
        protocol: exec
        env: { NOTE: hello }
        umask: "027"
        limits: { open_files: 99, memory: 1GiB }
        no_new_privs: false
        "#,
    )
    .await;
    case.send(&["one"]).await;
    case.wait_settled();
    let told = fs::read_to_string(case.supervisor.path("told")).unwrap();
    assert_eq!(told, "0027\n99\n0\nhello\n");
    assert_eq!(case.stop(PATIENCE).count("acked"), 1);
}

#[tokio::test]
async fn no_message_is_taken_for_a_user_who_is_not_there() {
    for protocol in ["json", "exec"] {
        let mut case =
            Case::run(&format!("command: [cat]\nprotocol: {protocol}\nuser: no-such-user\n")).await;
        case.send(&["one"]).await;
        case.supervisor.wait_for("cannot start: there is no user `no-such-user` on this machine");
        case.supervisor.wait_for("hint: create it, or mend `user`");
        assert_eq!(case.stop(PATIENCE).count("received"), 0);
    }
}

async fn with_leftovers() -> (Case, String) {
    let mark = format!("32{}{:04}", std::process::id(), fastrand::u32(..10_000));
    let case = Case::run(&format!(
        "command: [sh, \"${{CHILDREN}}/leaves_behind.sh\", \"{mark}\"]\nprotocol: lines\n"
    ))
    .await;
    let argument = format!("\00.{mark}\0");
    wait_until("all of them", PATIENCE, || processes_with(&argument).len() == 7);
    (case, argument)
}

#[tokio::test]
async fn nothing_outlives_a_supervisor_that_stops() {
    let (mut case, argument) = with_leftovers().await;
    case.stop(PATIENCE);
    let began = Instant::now();
    wait_until("all gone", GONE, || processes_with(&argument).is_empty());
    assert!(began.elapsed() < GONE);
}

#[tokio::test]
async fn nothing_outlives_a_supervisor_that_is_killed() {
    let (mut case, argument) = with_leftovers().await;
    let guardians = guardians_of(case.supervisor.pid());
    assert_eq!(guardians.len(), 1);
    case.supervisor.signal(Signal::SIGKILL);
    case.supervisor.exited(PATIENCE);
    wait_until("all gone", GONE, || processes_with(&argument).is_empty());
    // It has nothing left to guard. When it goes is nobody's concern.
    wait_until("the guardian gone", PATIENCE, || {
        guardians.iter().all(|pid| !crate::support::supervisor::alive(*pid))
    });
}
