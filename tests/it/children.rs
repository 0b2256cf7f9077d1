//! The programs in `tests/children` do what they say. A test that starts one to see a fault would
//! pass for nothing if the fault were not there.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use crate::support::supervisor::{PATIENCE, alive, wait_until};

fn children() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/children")
}

fn program(line: &str) -> Command {
    let mut words = line.split(' ');
    let path = children().join(words.next().expect("a name"));
    let python = path.extension().is_some_and(|ending| ending == "py");
    let mut command = Command::new(if python { "python3" } else { "sh" });
    command
        .arg(path)
        .args(words)
        .env_remove("PYTHONUNBUFFERED")
        .env("LEDGER", "/dev/null")
        .env("TRIES", "/dev/null")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// One message of the `json` protocol a body.
fn messages(bodies: &[&str]) -> String {
    let one = |(number, body): (usize, &&str)| {
        format!(
            "{{\"id\":\"1-{number}\",\"body\":\"{body}\",\"properties\":{{\"message_id\":\"{number}\"}}}}\n"
        )
    };
    bodies.iter().enumerate().map(one).collect()
}

/// Starts a program, gives it that input and its end, and waits for its own end.
fn run(line: &str, input: &str) -> Output {
    let mut child = program(line).spawn().expect("a program");
    // One that ends without reading breaks the pipe.
    let _ = child.stdin.take().expect("piped").write_all(input.as_bytes());
    child.wait_with_output().expect("it ends")
}

fn stdout(line: &str, input: &str) -> String {
    String::from_utf8(run(line, input).stdout).expect("text")
}

/// A program that does not end by itself.
struct Stubborn(Child);

impl Stubborn {
    fn start(line: &str, input: &str) -> Self {
        let mut child = program(line).spawn().expect("a program");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("it fits the pipe");
        Self(child)
    }
}

impl Drop for Stubborn {
    fn drop(&mut self) {
        self.0.kill().expect("our own child");
        self.0.wait().expect("our own child");
    }
}

#[test]
fn every_one_says_what_it_does() {
    for entry in fs::read_dir(children()).expect("a folder") {
        let path = entry.expect("a folder").path();
        let name = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
        if path.is_dir() || name == "README.md" {
            continue;
        }
        let text = fs::read_to_string(&path).expect("text");
        let said = text.lines().find(|line| !line.starts_with("#!")).unwrap_or_default();
        assert!(
            said.starts_with("\"\"\"") || said.starts_with("# "),
            "{name} says nothing: {said}"
        );
    }
}

#[test]
fn what_they_answer() {
    let two = messages(&["a", "b"]);
    assert_eq!(stdout("silent.py", &two), "");
    assert_eq!(stdout("exits_holding.py", &two), "");
    assert_eq!(stdout("slow.py 0.01", &two), "ack 1-0\nack 1-1\n");
    assert_eq!(stdout("out_of_order.py 2", &two), "ack 1-1\nack 1-0\n");
    assert_eq!(stdout("half_answer.py", &two), "{\"id\":\"1-0\",\"result\":\"ac");
    assert_eq!(stdout("unknown_id.py", &messages(&["a"])), "ack 4294967295-999999\nack 1-0\n");
    assert_eq!(
        stdout("duplicates.py", &messages(&["a"])),
        "ack 1-0\nack 1-0\nnack 1-0 changed my mind\n"
    );
    let framed = stdout("frames.py", "{\"id\":\"1-0\",\"length\":3}\na\nb\n");
    assert_eq!(framed, "ack 1-0\n");
    let banner = stdout("banner.sh", "x y\n");
    assert!(banner.starts_with("===") && banner.ends_with("\"by\":\"card\"}\nack\n"), "{banner}");
    assert!(String::from_utf8(run("garbage.py", &two).stdout).is_err());
    // At its end it flushes after all; what matters is that it does not do so before.
    assert_eq!(stdout("block_buffered.py", &two), "ack 1-0\nack 1-1\n");
}

#[test]
fn how_they_end() {
    let failed = run("exits_at_once.sh", "");
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(failed.stderr, b"no such database\n");

    let crashed = run("crash.py", &messages(&["fine", "crash me", "never seen"]));
    assert_eq!(crashed.status.signal(), Some(11));
    assert_eq!(crashed.stdout, b"ack 1-0\n");
    assert_eq!(crashed.stderr, b"about to crash on crash me\n");

    let poisoned = run("poison.py", &messages(&["poison it"]));
    assert_eq!(poisoned.status.signal(), Some(11), "a real one, of its own making");

    let flooded = run("stderr_flood.py 2", &messages(&["a"]));
    assert!(flooded.stderr.len() > 2 << 20, "{} bytes", flooded.stderr.len());
    assert_eq!(flooded.stdout, b"ack 1-0\n");
}

#[test]
fn what_does_not_end_by_itself() {
    let mut endless = Stubborn::start("endless_line.py", &messages(&["a"]));
    let mut read = vec![0; 3 << 20];
    endless.0.stdout.take().expect("piped").read_exact(&mut read).expect("it goes on");
    assert!(!read.contains(&b'\n'));

    let deaf = Stubborn::start("never_reads.py", "");
    let suspended = Stubborn::start("suspended.py", &messages(&["a"]));
    let state = |child: &Stubborn| {
        let stat = fs::read_to_string(format!("/proc/{}/stat", child.0.id())).unwrap_or_default();
        stat.rsplit(") ").next().and_then(|rest| rest.chars().next())
    };
    wait_until("its stop", PATIENCE, || state(&suspended) == Some('T'));
    assert!(alive(deaf.0.id()));

    let mut deaf_to_term = Stubborn::start("ignores_term.sh", "a\n");
    let mut ack = [0; 4];
    deaf_to_term.0.stdout.take().expect("piped").read_exact(&mut ack).expect("an answer");
    assert_eq!(&ack, b"ack\n");
    let status = fs::read_to_string(format!("/proc/{}/status", deaf_to_term.0.id()));
    let ignored = status
        .expect("it runs")
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("SigIgn:")?.trim(), 16).ok());
    let term = 1 << (nix::sys::signal::Signal::SIGTERM as u64 - 1);
    assert_eq!(ignored.map(|mask| mask & term), Some(term), "TERM would end it");
}

#[test]
fn the_one_that_never_flushes_keeps_its_answers() {
    let mut child = program("block_buffered.py").spawn().expect("a program");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(messages(&["a"]).as_bytes()).expect("it reads");
    let (sender, answers) = std::sync::mpsc::channel();
    let mut stdout = child.stdout.take().expect("piped");
    let reader = std::thread::spawn(move || {
        let mut bytes = [0; 64];
        let read = stdout.read(&mut bytes).expect("a pipe");
        sender.send(read).expect("the test waits");
    });
    assert!(answers.recv_timeout(Duration::from_millis(500)).is_err(), "it has flushed");
    drop(stdin);
    assert!(answers.recv_timeout(PATIENCE).expect("the end flushes") > 0);
    reader.join().expect("no panic");
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn the_one_with_a_grandchild_leaves_it_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let note = folder.path().join("pid");
    let mut child = program("grandchild.sh").env("GRANDCHILD", &note).spawn().expect("a program");
    drop(child.stdin.take());
    assert!(child.wait().expect("it ends").success());
    let pid: u32 = fs::read_to_string(note).expect("its note").trim().parse().expect("a pid");
    assert!(alive(pid));
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).expect("a pid"));
    nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGKILL).expect("our own grandchild");
}

#[test]
fn the_ledger_has_a_message_before_its_ack() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("ledger");
    let mut child = program("ledger.py").env("LEDGER", &path).spawn().expect("a program");
    let (mut stdin, stdout) =
        (child.stdin.take().expect("piped"), child.stdout.take().expect("piped"));
    let mut answers = BufReader::new(stdout).lines();
    for (number, message) in messages(&["a", "b", "c"]).lines().enumerate() {
        writeln!(stdin, "{message}").expect("it reads");
        let answer = answers.next().expect("an answer").expect("text");
        assert_eq!(answer, format!("{{\"id\":\"1-{number}\",\"result\":\"ack\"}}"));
        let lines = fs::read_to_string(&path).expect("it exists");
        assert_eq!(lines.lines().last(), Some(number.to_string().as_str()));
    }
    drop(stdin);
    assert!(child.wait().expect("it ends").success());
}

#[test]
fn closes_stdin_takes_one_message_and_stays() {
    let mut child = program("closes_stdin.py").spawn().expect("a program");
    let mut stdin = child.stdin.take().expect("piped");
    stdin.write_all(messages(&["a", "b"]).as_bytes()).expect("it fits the pipe");
    let mut line = String::new();
    let stdout = child.stdout.as_mut().expect("piped");
    BufReader::new(stdout).read_line(&mut line).expect("text");
    assert_eq!(line, "ack 1-0\n");
    wait_until("the pipe to break", PATIENCE, || stdin.write_all(b"\n").is_err());
    assert!(child.try_wait().expect("our own child").is_none());
    drop(Stubborn(child));
}

#[test]
fn last_breath_acks_and_fails() {
    let folder = tempfile::tempdir().expect("a folder");
    let ledger = folder.path().join("ledger");
    let mut child = program("last_breath.py").env("LEDGER", &ledger).spawn().expect("a program");
    let stdin = child.stdin.as_mut().expect("piped");
    stdin.write_all(messages(&["a", "b"]).as_bytes()).expect("it fits the pipe");
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(output.stdout, b"ack 1-0\n");
    assert_eq!(fs::read_to_string(ledger).expect("text"), "0\n");
}

#[test]
fn answers_early_acks_what_it_has_not_read() {
    assert_eq!(stdout("answers_early.py", "x"), "ack\n");
}

#[test]
fn eats_memory_has_all_of_it_at_once_or_says_so() {
    assert_eq!(stdout("eats_memory.py", "2 3\n1 1\n"), "ack\nack\n");
    let text = "ulimit -d 65536; printf '2 90\n1 1\n' | exec python3 \"$0\"";
    let mut limited = Command::new("sh");
    limited.args(["-c", text]).arg(children().join("eats_memory.py"));
    let output = limited.output().expect("a program");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "nack\nack\n");
}
