//! Clients that misbehave: the supervisor answers what it can, and goes on with its work.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use insta::assert_snapshot;

use super::{ACKS, worker};
use crate::support::case::Case;
use crate::support::supervisor::PATIENCE;

fn connect(case: &Case) -> UnixStream {
    let stream = UnixStream::connect(case.supervisor.socket()).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// What is answered to some bytes and the end of them.
fn answer(case: &Case, bytes: &[u8]) -> String {
    let mut stream = connect(case);
    // It may hang up before it has read all of it.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(Shutdown::Write);
    let mut text = String::new();
    let _ = stream.read_to_string(&mut text);
    text
}

#[tokio::test]
async fn what_is_no_request_is_refused_and_the_next_is_answered() {
    let mut case = Case::run(ACKS).await;
    let requests = [
        "\n".to_owned(),
        "status\n".to_owned(),
        "[]\n".to_owned(),
        r#"{"version":2,"request":{"do":"status"}}"#.to_owned() + "\n",
        r#"{"version":1,"request":{"do":"explode"}}"#.to_owned() + "\n",
        r#"{"version":1,"request":{"do":"scale","consumer":"worker","workers":0}}"#.to_owned()
            + "\n",
        r#"{"version":1,"request":{"do":"pause","consumer":"a/b"}}"#.to_owned() + "\n",
        // No end of line; and one that comes too late.
        r#"{"version":1,"request":{"do":"drain"}}"#.to_owned(),
        "x".repeat(70_000) + "\n",
    ];
    let all: Vec<_> = requests.iter().map(|request| answer(&case, request.as_bytes())).collect();
    assert_snapshot!(all.concat(), @r#"
    {"version":1,"answer":{"said":"refused","why":"the request is not understood: EOF while parsing a value at line 2 column 0"}}
    {"version":1,"answer":{"said":"refused","why":"the request is not understood: expected value at line 1 column 1"}}
    {"version":1,"answer":{"said":"refused","why":"the request is not understood: invalid length 0, expected struct Versioned with 1 element at line 1 column 2"}}
    {"version":1,"answer":{"said":"refused","why":"the request has version 2, and this supervisor speaks 1: use the `warrener` that it was started from"}}
    {"version":1,"answer":{"said":"refused","why":"the request is not understood: unknown variant `explode`, expected one of `status`, `pause`, `resume`, `scale`, `restart`, `reload`, `drain` at line 1 column 38"}}
    {"version":1,"answer":{"said":"refused","why":"the request is not understood: invalid value: integer `0`, expected a nonzero u16 at line 1 column 70"}}
    {"version":1,"answer":{"said":"refused","why":"the request is not understood: only letters, digits, `.`, `_` and `-` are allowed here, not `/` at line 1 column 55"}}
    {"version":1,"answer":{"said":"refused","why":"a request is a line of at most 65536 bytes"}}
    {"version":1,"answer":{"said":"refused","why":"a request is a line of at most 65536 bytes"}}
    "#);
    // Several on one connection, after one that was refused.
    let pause = r#"{"version":1,"request":{"do":"resume","consumer":"worker"}}"#;
    let all = answer(&case, format!("nonsense\n{pause}\n{pause}\n").as_bytes());
    assert_eq!(all.lines().count(), 3, "{all}");
    assert!(all.ends_with("{\"version\":1,\"answer\":{\"said\":\"done\"}}\n"), "{all}");
    case.send(&["one"]).await;
    case.wait_settled();
    assert_eq!(case.stop(PATIENCE).count("acked"), 1);
}

#[tokio::test]
async fn clients_that_stall_stop_nobody() {
    let mut case = Case::run(ACKS).await;
    // As many as there is room for, and more: silent ones, and some that read nothing.
    let mut stalled = Vec::new();
    for number in 0..60 {
        let mut stream = connect(&case);
        if number % 2 == 0 {
            let _ = stream.write_all(
                &br#"{"version":1,"request":{"do":"status"}}
"#
                .repeat(2000),
            );
        }
        stalled.push(stream);
    }
    case.send(&["one", "two"]).await;
    case.wait_handled(2);
    case.wait_settled();
    // Those beyond are turned away at once rather than left to wait.
    let mut nothing = String::new();
    let _ = stalled.last_mut().unwrap().read_to_string(&mut nothing);
    assert_eq!(nothing, "");
    drop(stalled);
    let mut stream = connect(&case);
    let mut line = String::new();
    crate::support::supervisor::wait_until("room again", PATIENCE, || {
        stream = connect(&case);
        let _ = stream.write_all(b"{\"version\":1,\"request\":{\"do\":\"status\"}}\n");
        line.clear();
        BufReader::new(&stream).read_line(&mut line).is_ok_and(|read| read > 0)
    });
    assert!(line.contains("\"said\":\"status\""), "{line}");
    assert_eq!(worker(&case)["settled"]["acked"], 2);
    assert_eq!(case.stop(PATIENCE).count("acked"), 2);
}

/// The file's mode keeps others out; who gets past that is turned away for who it is.
#[tokio::test]
async fn another_user_is_turned_away() {
    let mut case = Case::run(ACKS).await;
    let socket = case.supervisor.socket();
    let mode = std::fs::metadata(&socket).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    if nix::unistd::geteuid().is_root() {
        for path in [socket.parent().unwrap(), &socket] {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        let program = "import socket, sys; s = socket.socket(socket.AF_UNIX); s.connect(sys.argv[1])\n\
                       s.sendall(b'{\"version\":1,\"request\":{\"do\":\"drain\"}}\\n')\n\
                       print('read', s.recv(100))";
        let output = Command::new("/usr/bin/python3")
            .args(["-c", program])
            .arg(&socket)
            .uid(65534)
            .gid(65534)
            .output()
            .unwrap();
        // Hung up on, at whichever of its steps.
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let failed = String::from_utf8_lossy(&output.stderr).into_owned();
        let hung_up = failed.contains("BrokenPipe") || failed.contains("ConnectionReset");
        assert!(said == "read b''\n" || hung_up, "{said}{failed}");
    }
    case.send(&["one"]).await;
    case.wait_settled();
    assert_eq!(case.stop(PATIENCE).count("acked"), 1);
}
