//! Who a child is, what it sees, and how much it gets.

use std::time::Duration;

use insta::assert_snapshot;
use warrener::model::{Confinement, Limits};
use warrener::process::{Exit, SpawnRequest, Spawner};

use super::{output, shell, spawn};

fn confined(text: &str, confinement: Confinement) -> SpawnRequest {
    SpawnRequest { confinement, ..shell(text) }
}

fn limited(text: &str, limits: Limits) -> SpawnRequest {
    confined(text, Confinement { limits, ..Confinement::default() })
}

async fn said(request: SpawnRequest) -> (String, Exit) {
    output(&mut spawn(request).await).await
}

async fn refused(request: SpawnRequest) -> String {
    Spawner::start(false).unwrap().spawn(request).await.unwrap_err().to_string()
}

fn as_nobody() -> Confinement {
    Confinement { user: Some("nobody".into()), ..Confinement::default() }
}

fn is_root() -> bool {
    nix::unistd::geteuid().is_root()
}

#[tokio::test]
async fn limits_are_the_kernels() {
    let limits = Limits {
        memory: Some(256 << 20),
        open_files: Some(64),
        cpu: Some(Duration::from_secs(7)),
        processes: Some(1000),
        file_size: Some(1 << 20),
    };
    let text = "grep -E 'data size|open files|cpu time|processes|file size|core' /proc/self/limits \
                | sed 's/  */ /g; s/ $//'";
    let (shown, _) = said(limited(text, limits)).await;
    assert_snapshot!(shown, @r"
    Max cpu time 7 12 seconds
    Max file size 1048576 1048576 bytes
    Max data size 268435456 268435456 bytes
    Max core file size 0 0 bytes
    Max processes 1000 1000 processes
    Max open files 64 64 files
    ");
}

#[tokio::test]
async fn a_program_that_wants_more_is_refused_it() {
    let memory = Limits { memory: Some(64 << 20), ..Limits::default() };
    let (shown, exit) =
        said(limited("exec python3 -c 'bytearray(100 << 20)' 2>&1 | tail -n 1", memory)).await;
    assert_eq!((shown.as_str(), exit), ("MemoryError\n", Exit::Code(0)));
    let cpu = Limits { cpu: Some(Duration::from_secs(1)), ..Limits::default() };
    let (_, exit) = said(limited("while :; do :; done", cpu)).await;
    assert_eq!(exit.to_string(), "signal 24 (SIGXCPU)");
    let size = Limits { file_size: Some(1024), ..Limits::default() };
    let folder = tempfile::tempdir().unwrap();
    let mut request = limited("exec head -c 5000 /dev/zero > big", size);
    request.cwd = folder.path().into();
    assert_eq!(said(request).await.1.to_string(), "signal 25 (SIGXFSZ)");
}

#[tokio::test]
async fn a_limit_above_our_own_is_refused_with_the_mend() {
    let limits = Limits { open_files: Some(1 << 29), ..Limits::default() };
    let shown = refused(limited("true", limits)).await;
    let (start, rest) = shown.split_once("the ").unwrap();
    let (_, end) = rest.split_once(" that").unwrap();
    assert_snapshot!(format!("{start}the N that{end}"), @r"
    cannot start `/bin/sh`: `limits.open_files` is above the N that Warrener itself may have
    hint: lower it, or raise the limit of Warrener (`ulimit -H`, or its unit)
    ");
}

#[tokio::test]
async fn the_environment_is_what_was_asked_for() {
    // The test runner has `CARGO_…` variables, and none of them is anybody's business.
    let show = "env | grep -o '^[A-Z_]*' | grep -E '^(CARGO|PATH)' | sort -u | tr '\\n' ' '";
    assert_eq!(said(shell(show)).await.0, "PATH ");
    let one = Confinement { env_pass: vec!["CARGO_PKG_NAME".into()], ..Confinement::default() };
    assert_eq!(said(confined(show, one)).await.0, "CARGO_PKG_NAME PATH ");
    let some = Confinement { env_pass: vec!["CARGO_PKG_NA*".into()], ..Confinement::default() };
    assert_eq!(said(confined(show, some)).await.0, "CARGO_PKG_NAME PATH ");
    let all = Confinement { env_pass: vec!["*".into()], ..Confinement::default() };
    assert!(said(confined(show, all)).await.0.contains("CARGO_MANIFEST_DIR "));
}

#[tokio::test]
async fn umask_and_new_privileges() {
    let show = "umask; grep NoNewPrivs /proc/self/status | tr '\\t' ' '";
    let tight = Confinement { umask: Some(0o027), ..Confinement::default() };
    assert_eq!(said(confined(show, tight)).await.0, "0027\nNoNewPrivs: 1\n");
    let loose = Confinement { no_new_privs: false, ..Confinement::default() };
    let (shown, _) = said(confined(show, loose)).await;
    assert!(shown.ends_with("NoNewPrivs: 0\n"), "{shown}");
}

#[tokio::test]
async fn each_child_has_a_session_and_a_group_of_its_own() {
    // Of `/proc/PID/stat`: the process, its group, its session, its terminal.
    let (shown, _) = said(shell("cut -d' ' -f1,5,6,7 /proc/$$/stat; echo $$")).await;
    let (stat, pid) = shown.trim().split_once('\n').unwrap();
    assert_eq!(stat, format!("{pid} {pid} {pid} 0"));
}

/// Becoming another takes root; what happens without is tested where the tests run without.
#[tokio::test]
async fn another_user_is_taken_on_for_good() {
    let show = "id -un; id -G; echo $HOME $USER; \
                grep -E '^(Uid|Gid|Cap...)' /proc/self/status | tr '\\t' ' '";
    let request = confined(show, as_nobody());
    if !is_root() {
        assert_snapshot!(refused(request).await, @r"
        cannot start `/bin/sh` as another user or group: Operation not permitted (os error 1)
        hint: only root can, or who has CAP_SETUID and CAP_SETGID; else remove `user` and `group`
        ");
        return;
    }
    let (shown, _) = said(request).await;
    let shown: String = shown
        .lines()
        .filter(|line| !line.starts_with("CapBnd"))
        .fold(String::new(), |text, line| text + line + "\n");
    assert_snapshot!(shown, @r"
    nobody
    65534
    /nonexistent nobody
    Uid: 65534 65534 65534 65534
    Gid: 65534 65534 65534 65534
    CapInh: 0000000000000000
    CapPrm: 0000000000000000
    CapEff: 0000000000000000
    CapAmb: 0000000000000000
    ");
    let group = Confinement { group: Some("daemon".into()), ..as_nobody() };
    assert_eq!(said(confined("id -gn; id -G", group)).await.0, "daemon\n1\n");
    let number = Confinement {
        user: Some("54321".into()),
        group: Some("54322".into()),
        ..Confinement::default()
    };
    assert_eq!(said(confined("id -u; id -g; id -G", number)).await.0, "54321\n54322\n54322\n");
}

/// The kernel forgets whose death a process dies of when its user changes.
#[test]
fn another_user_dies_with_the_supervisor_as_well() {
    use std::io::{BufRead as _, BufReader};
    let mut supervisor =
        super::role("nobody", "").stdout(std::process::Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(supervisor.stdout.take().unwrap()).lines();
    let pid =
        lines.map_while(Result::ok).find_map(|line| line.strip_prefix("= ").map(str::to_owned));
    let pid = pid.expect("the role says the id of its child");
    // Not one of several: the guardian, which would end it as well, is stopped.
    let mut guardians = Vec::new();
    crate::support::supervisor::wait_until("the guardian", super::PATIENCE, || {
        guardians = crate::support::processes::guardians_of(supervisor.id());
        !guardians.is_empty()
    });
    for &guardian in &guardians {
        let guardian = nix::unistd::Pid::from_raw(guardian.cast_signed());
        nix::sys::signal::kill(guardian, nix::sys::signal::Signal::SIGSTOP).unwrap();
    }
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    crate::support::supervisor::wait_until("the child gone", super::PATIENCE, || {
        super::is_dead(&pid)
    });
    assert_eq!(guardians.len(), 1);
    for guardian in guardians {
        let guardian = nix::unistd::Pid::from_raw(guardian.cast_signed());
        nix::sys::signal::kill(guardian, nix::sys::signal::Signal::SIGCONT).unwrap();
    }
}

/// The role of the test above.
pub(super) async fn nobody(print: &impl Fn(&str)) {
    let confinement = if is_root() { as_nobody() } else { Confinement::default() };
    let child = spawn(confined("exec sleep 300", confinement)).await;
    print(&child.pid.to_string());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn who_is_not_there_is_said_with_the_mend() {
    let mut shown = String::new();
    for (user, group) in
        [(Some("no-such-user"), None), (None, Some("no-such-group")), (Some("54321"), None)]
    {
        let confinement = Confinement {
            user: user.map(str::to_owned),
            group: group.map(str::to_owned),
            ..Confinement::default()
        };
        shown += &refused(confined("true", confinement)).await;
        shown += "\n\n";
    }
    assert_snapshot!(shown, @r"
    there is no user `no-such-user` on this machine
    hint: create it, or mend `user`

    there is no group `no-such-group` on this machine
    hint: create it, or mend `group`

    the user `54321` has no name on this machine, so its group is not known
    hint: add `group:`
    ");
}
