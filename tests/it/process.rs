//! Real children: how they are found, started, signalled, and what is left of them.

mod confinement;
mod grouped;
mod hosted;
mod leftovers;
mod pipes;
mod rehearsal;

use std::collections::BTreeMap;
use std::fs;
use std::future::Future;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use insta::assert_snapshot;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use warrener::model::{Confinement, Program, StopSignal};
use warrener::process::{Child, Exit, Input, SpawnError, SpawnRequest, Spawner, find_program};

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// Waits until `done`, by looking again and again.
async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let looks = async {
        while !done() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    soon(what, looks).await;
}

fn request(program: Program) -> SpawnRequest {
    SpawnRequest {
        program,
        cwd: "/".into(),
        env: BTreeMap::new(),
        confinement: Confinement::default(),
        terminal: false,
        fd3: None,
        input: Input::Open,
        group: None,
        consumer: None,
    }
}

fn shell(text: &str) -> SpawnRequest {
    request(Program::Shell(text.to_owned()))
}

fn command(words: &[&str]) -> SpawnRequest {
    request(Program::Command(words.iter().map(|&word| word.to_owned()).collect()))
}

async fn spawn(request: SpawnRequest) -> Child {
    Spawner::start(false).unwrap().spawn(request).await.unwrap()
}

/// Everything that a child writes to stdout, and its end.
async fn output(child: &mut Child) -> (String, Exit) {
    let mut text = String::new();
    let mut stdout = child.stdout.take().unwrap();
    let exit = soon("exit", child.exited()).await;
    soon("end of stdout", stdout.read_to_string(&mut text)).await.unwrap();
    (text, exit)
}

/// The first line that a child writes to stdout.
async fn line(child: &mut Child) -> String {
    let mut text = Vec::new();
    let stdout = child.stdout.as_mut().unwrap();
    while !text.ends_with(b"\n") {
        text.push(soon("a line", stdout.read_u8()).await.unwrap());
    }
    String::from_utf8(text).unwrap().trim_end().to_owned()
}

/// The state of a process (`Z` for a zombie) and its parent; nothing if there is none.
fn state(pid: &str) -> Option<(char, String)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 2..].split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.to_owned()))
}

/// Whether a process is no more, or only waits to be reaped by another than us.
fn is_gone(pid: &str) -> bool {
    let us = std::process::id().to_string();
    state(pid).is_none_or(|(state, parent)| state == 'Z' && parent != us)
}

/// Whether a process does nothing any more, whoever is to reap it.
fn is_dead(pid: &str) -> bool {
    state(pid).is_none_or(|(state, _)| state == 'Z')
}

fn script(folder: &Path, name: &str, text: &str, mode: u32) -> PathBuf {
    let path = folder.join(name);
    fs::write(&path, text).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    path
}

#[test]
fn what_cannot_be_started_is_said_with_the_mend() {
    let folder = tempfile::tempdir().unwrap();
    let cwd = folder.path();
    script(cwd, "plain.py", "print()\n", 0o644);
    script(cwd, "good.sh", "#!/bin/sh\n", 0o755);
    script(cwd, "lost.sh", "#!/no/such/shell -e\n", 0o755);
    script(cwd, "windows.sh", "#!/bin/sh\r\nexit\r\n", 0o755);
    script(cwd, "windows.py", "#!/usr/bin/env sh\r\nexit\r\n", 0o755);
    script(cwd, "env.py", "#!/usr/bin/env no-such-python\n", 0o755);
    script(cwd, "option.py", "#!/usr/bin/env -S no-such-python -u\n", 0o755);
    fs::create_dir(cwd.join("folder")).unwrap();

    let check = |program: Program, cwd: &Path, path: Option<&str>| {
        let mut env = BTreeMap::new();
        env.extend(path.map(|path| ("PATH".to_owned(), path.to_owned())));
        match find_program(&program, cwd, &env) {
            Ok(()) => "fine".to_owned(),
            Err(error) => error.to_string(),
        }
    };
    let word = |word: &str, cwd: &Path, path| {
        let shown = check(Program::Command(vec![word.to_owned()]), cwd, path);
        format!("[{word}]\n{shown}\n\n")
    };
    let own = |name: &str| word(name, cwd, Some("/usr/bin:/bin"));
    let mut shown: String = [
        "sh",
        "good.sh",
        "./good.sh",
        "./option.py",
        "",
        "no-such-program",
        "./missing.sh",
        "/missing.sh",
        "./folder",
        "./plain.py",
        "./lost.sh",
        "./windows.sh",
        "./windows.py",
        "./env.py",
    ]
    .map(own)
    .concat();
    shown += &word("good.sh", cwd, Some("/usr/bin:."));
    shown += &word("plain.py", cwd, Some("/usr/bin:."));
    shown += &word("sh", &cwd.join("missing"), None);
    shown += &word("sh", &cwd.join("plain.py"), None);
    shown += &check(Program::Shell("no-such-program".into()), cwd, None);
    let shown = shown.replace(cwd.to_str().unwrap(), "CWD");
    assert_snapshot!(shown, @r#"
    [sh]
    fine

    [good.sh]
    the program `good.sh` is in no folder of PATH (/usr/bin:/bin)
    hint: there is one in the working directory: write `./good.sh`

    [./good.sh]
    fine

    [./option.py]
    fine

    []
    the program `` is in no folder of PATH (/usr/bin:/bin)
    hint: install it, or give its whole path

    [no-such-program]
    the program `no-such-program` is in no folder of PATH (/usr/bin:/bin)
    hint: install it, or give its whole path

    [./missing.sh]
    the program `CWD/./missing.sh` does not exist
    hint: a path is looked for from the consumer's `cwd`, `CWD`

    [/missing.sh]
    the program `/missing.sh` does not exist
    hint: mend `command`

    [./folder]
    the program `CWD/./folder` is a directory
    hint: mend `command`

    [./plain.py]
    the program `CWD/./plain.py` is not executable
    hint: `chmod +x` it, or put its interpreter in front: `command: [python3, ./plain.py]`

    [./lost.sh]
    the first line of `CWD/./lost.sh` asks for `/no/such/shell`, which does not exist
    hint: install it, or mend the first line of the script

    [./windows.sh]
    the first line of `CWD/./windows.sh` asks for `/bin/sh\r`, which does not exist
    hint: the script has the line ends of Windows: turn each `\r\n` into `\n`

    [./windows.py]
    the first line of `CWD/./windows.py` asks for `sh\r`, which does not exist
    hint: the script has the line ends of Windows: turn each `\r\n` into `\n`

    [./env.py]
    the first line of `CWD/./env.py` asks for `no-such-python`, which does not exist
    hint: install it, or add its folder to PATH

    [good.sh]
    fine

    [plain.py]
    the program `CWD/./plain.py` is not executable
    hint: `chmod +x` it, or put its interpreter in front: `command: [python3, plain.py]`

    [sh]
    the working directory `CWD/missing` does not exist
    hint: create it, or mend `cwd`

    [sh]
    the working directory `CWD/plain.py` is not a directory
    hint: create it, or mend `cwd`

    fine
    "#);
}

#[tokio::test]
async fn exit_codes_and_signals() {
    for (text, expected, shown) in [
        ("exit 0", Exit::Code(0), "exit code 0"),
        ("exit 3", Exit::Code(3), "exit code 3"),
        ("exit 255", Exit::Code(255), "exit code 255"),
        ("kill -SEGV $$", Exit::Signal(11), "signal 11 (SIGSEGV)"),
        ("kill -KILL $$", Exit::Signal(9), "signal 9 (SIGKILL)"),
    ] {
        let mut child = spawn(shell(text)).await;
        let exit = soon(text, child.exited()).await;
        assert_eq!(exit, expected, "{text}");
        assert_eq!(exit.to_string(), shown);
        assert_eq!(soon("again", child.exited()).await, expected);
        child.signal_group(StopSignal::Term).expect("nothing to signal is no error");
        child.kill_group().expect("nothing to kill is no error");
    }
    assert_eq!(Exit::Signal(40).to_string(), "signal 40");
}

#[tokio::test]
async fn waiting_can_be_given_up_and_taken_up_again() {
    let mut child = spawn(command(&["cat"])).await;
    let given_up = tokio::time::timeout(Duration::from_millis(20), child.exited()).await;
    assert!(given_up.is_err());
    drop(child.stdin.take());
    assert_eq!(soon("end of input", child.exited()).await, Exit::Code(0));
}

#[tokio::test]
async fn both_directions_flow() {
    let mut child = spawn(command(&["cat"])).await;
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let sent = vec![b'x'; 3 << 20];
    let copy = sent.clone();
    let writer = tokio::spawn(async move { stdin.write_all(&copy).await });
    let mut received = Vec::new();
    soon("everything", stdout.read_to_end(&mut received)).await.unwrap();
    writer.await.unwrap().unwrap();
    assert_eq!(received, sent);
    assert_eq!(soon("exit", child.exited()).await, Exit::Code(0));
}

#[tokio::test]
async fn a_failed_start_says_what_and_where() {
    let spawner = Spawner::start(false).unwrap();
    let error = spawner.spawn(command(&["/no/such/program"])).await.unwrap_err();
    assert!(matches!(error, SpawnError::Refused { .. }));
    assert_snapshot!(error, @r#"
    cannot start `/no/such/program` in `/`: No such file or directory (os error 2)
    "#);
    // The next one is none the worse for it.
    let mut child = spawner.spawn(command(&["true"])).await.unwrap();
    assert_eq!(soon("exit", child.exited()).await, Exit::Code(0));
}

#[tokio::test]
async fn variables_and_the_working_directory_are_as_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let mut request = shell("echo \"$GREETING $(pwd -P)\"; ./local.sh");
    script(folder.path(), "local.sh", "#!/bin/sh\necho local\n", 0o755);
    request.cwd = folder.path().canonicalize().unwrap();
    request.env.insert("GREETING".into(), "grüße $HOME".into());
    let expected = format!("grüße $HOME {}\nlocal\n", request.cwd.display());
    let mut child = spawn(request).await;
    assert_eq!(output(&mut child).await, (expected, Exit::Code(0)));
}

#[tokio::test]
async fn a_grandchild_that_holds_the_pipe_dies_with_the_group() {
    let mut child = spawn(shell("sleep 300 & echo $!; exit 3")).await;
    let (text, exit) = output(&mut child).await;
    assert_eq!(exit, Exit::Code(3));
    until("the grandchild gone", || is_gone(text.trim())).await;
}

#[tokio::test]
async fn a_stop_signal_reaches_the_whole_group() {
    let mut child = spawn(shell(
        "trap 'exit 7' TERM; (trap 'exit 0' TERM; while :; do sleep 0.01; done) & echo $!; \
         while :; do sleep 0.01; done",
    ))
    .await;
    let grandchild = line(&mut child).await;
    child.signal_group(StopSignal::Term).unwrap();
    assert_eq!(soon("exit", child.exited()).await, Exit::Code(7));
    until("the grandchild gone", || is_gone(&grandchild)).await;
}

#[tokio::test]
async fn one_that_ignores_the_signal_is_killed() {
    let mut child = spawn(shell("trap '' TERM; echo deaf; while :; do sleep 0.01; done")).await;
    assert_eq!(line(&mut child).await, "deaf");
    child.signal_group(StopSignal::Term).unwrap();
    let end = tokio::time::timeout(Duration::from_millis(200), child.exited()).await;
    assert!(end.is_err(), "it was said to ignore this");
    child.kill_group().unwrap();
    assert_eq!(soon("killed", child.exited()).await, Exit::Signal(9));
}

#[tokio::test]
async fn a_stopped_child_can_be_killed() {
    let mut child = spawn(shell("kill -STOP $$")).await;
    let pid = child.pid.to_string();
    until("stopped", || state(&pid).is_some_and(|(state, _)| state == 'T')).await;
    child.kill_group().unwrap();
    assert_eq!(soon("killed", child.exited()).await, Exit::Signal(9));
}

#[tokio::test]
async fn a_dropped_child_is_killed_and_reaped() {
    let spawner = Spawner::start(false).unwrap();
    let child = spawner.spawn(command(&["sleep", "300"])).await.unwrap();
    let pid = child.pid.to_string();
    drop(child);
    // Gone, not a zombie of ours.
    until("reaped", || state(&pid).is_none()).await;
}

#[tokio::test]
async fn a_child_outlives_the_spawner_but_not_its_own_handle() {
    let spawner = Spawner::start(false).unwrap();
    let mut child = spawner.spawn(command(&["cat"])).await.unwrap();
    drop(spawner);
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"still here\n").await.unwrap();
    assert_eq!(line(&mut child).await, "still here");
    drop(child);
}

/// What must not be disturbed by other tests, or needs another surrounding, runs in a process of
/// its own: this test binary again, with one of the roles below.
fn role(name: &str, before: &str) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", &format!("{before} exec \"$0\" \"$@\"")])
        .arg(this)
        .args(["--exact", "--nocapture", "process::in_a_process_of_its_own"])
        .env("PROCESS_ROLE", name)
        .stdin(Stdio::null());
    command
}

/// The lines `= …` that a role prints.
fn told(mut command: Command) -> Vec<String> {
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    text.lines().filter_map(|line| line.strip_prefix("= ")).map(str::to_owned).collect()
}

#[tokio::test]
#[expect(clippy::print_stdout, reason = "this is how a role tells its result")]
async fn in_a_process_of_its_own() {
    let print = |text: &str| text.lines().for_each(|line| println!("\n= {line}"));
    match std::env::var("PROCESS_ROLE").as_deref() {
        Ok("surrounding") => {
            // The last seven digits: the C library ignores signals of its own beyond them.
            let text = "env | cut -d= -f1 | grep -vE '^(LANG|LOGNAME|SHELL|TMPDIR|TZ|USER)$' | sort | xargs; \
                        sed -nE 's/^(Sig(Blk|Ign)):.{10}/\\1 /p' /proc/self/status";
            print(&output(&mut spawn(shell(text)).await).await.0);
            print(&output(&mut spawn(command(&["ls", "/proc/self/fd"])).await).await.0);
        }
        Ok("victim") => leftovers::victim(&print).await,
        Ok("cycles") => leftovers::cycles(&print).await,
        Ok("tells") => leftovers::tells(&print).await,
        Ok("grouped") => grouped::grouped(&print).await,
        Ok("adopts") => leftovers::adopts(&print).await,
        Ok("nobody") => confinement::nobody(&print).await,
        Ok("untraced") => rehearsal::untraced(&print).await,
        // Without a role it is no test: the others run it, in a process of its own.
        Err(_) => {}
        other => panic!("no role {other:?}"),
    }
}

#[test]
fn a_child_inherits_nothing_that_is_not_meant_for_it() {
    let mut command =
        role("surrounding", "trap '' HUP INT USR1 PIPE; exec 7</dev/null 9</dev/null;");
    command
        .env("AMQP_URL", "amqp://user:canary@host")
        .env("WARRENER_TOKEN", "canary")
        .env("NOTIFY_SOCKET", "/run/notify")
        .env("LC_ALL", "C")
        .env("KEPT", "no");
    assert_eq!(
        told(command),
        [
            "HOME LC_ALL PATH PWD",
            "SigBlk 0000000",
            "SigIgn 0000000",
            // The last is the directory that `ls` itself reads.
            "0",
            "1",
            "2",
            "3",
        ]
    );
}
