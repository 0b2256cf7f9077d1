//! Finding out whether a program would start, without starting it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use warrener::process::Spawner;

use super::{PATIENCE, command, role, script, told};
use crate::support::supervisor::children_of;

#[tokio::test]
async fn a_rehearsal_does_nothing_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("rh{}", fastrand::u32(..));
    script(folder.path(), &name, "#!/bin/sh\necho > trace\n", 0o755);
    let mut request = command(&[&format!("./{name}")]);
    request.cwd = folder.path().to_owned();
    let trace = folder.path().join("trace");
    let spawner = Spawner::start(false).unwrap();
    spawner.rehearse(request.clone()).await.unwrap();
    assert!(!trace.exists());
    // Dead ones keep their names until they are reaped.
    let called = |pid: &u32| fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let left =
        children_of(std::process::id()).iter().filter(|pid| called(pid).trim() == name).count();
    assert_eq!(left, 0);
    // The same for real.
    spawner.spawn(request).await.unwrap().exited().await;
    assert!(trace.exists());
}

#[tokio::test]
async fn it_says_what_the_start_would_say() {
    let folder = tempfile::tempdir().unwrap();
    let program = folder.path().join("busy");
    fs::copy("/bin/true", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let request = || command(&[program.to_str().unwrap()]);
    let spawner = Spawner::start(false).unwrap();
    // Nobody may run what somebody is writing.
    let writer = fs::OpenOptions::new().append(true).open(&program).unwrap();
    let rehearsed = spawner.rehearse(request()).await.unwrap_err().to_string();
    assert!(rehearsed.contains("Text file busy"), "{rehearsed}");
    assert_eq!(spawner.spawn(request()).await.unwrap_err().to_string(), rehearsed);
    drop(writer);
    // Another test that starts something may have it open for a moment.
    let begun = Instant::now();
    while let Err(error) = spawner.rehearse(request()).await {
        assert!(begun.elapsed() < PATIENCE, "{error}");
    }
    let mut absent = request();
    absent.cwd = folder.path().join("absent");
    let rehearsed = spawner.rehearse(absent.clone()).await.unwrap_err().to_string();
    assert_eq!(spawner.spawn(absent).await.unwrap_err().to_string(), rehearsed);
}

/// Has the kernel refuse `ptrace` from now on with the error that is the first argument, as the filter
/// of a service manager or of a container does, and becomes the program that the others are.
const FILTER: &str = r#"
import ctypes, os, platform, struct, sys
number = {"x86_64": 101, "aarch64": 117}[platform.machine()]
load, equal, back = 0x20, 0x15, 0x06
code = [(load, 0, 0, 0), (equal, 0, 1, number), (back, 0, 0, 0x50000 | int(sys.argv[1])), (back, 0, 0, 0x7fff0000)]
text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *step) for step in code))
class Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("steps", ctypes.c_void_p)]
program = Program(len(code), ctypes.addressof(text))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0, "no new privileges"
assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0, "the filter"
assert libc.ptrace(0, 0, 0, 0) == -1 and ctypes.get_errno() == int(sys.argv[1]), "it is not in force"
os.execv(sys.argv[2], sys.argv[2:])
"#;

/// Rehearses and starts what can be started, what is missing, and what is busy.
pub(super) async fn untraced(print: &impl Fn(&str)) {
    let folder = tempfile::tempdir().unwrap();
    script(folder.path(), "works", "#!/bin/sh\necho > trace\n", 0o755);
    let trace = folder.path().join("trace");
    let spawner = Spawner::start(false).unwrap();
    let mut request = command(&["./works"]);
    request.cwd = folder.path().to_owned();
    print(&format!("rehearsed: {:?}", spawner.rehearse(request.clone()).await.is_ok()));
    print(&format!("a trace: {}", trace.exists()));
    spawner.spawn(request.clone()).await.unwrap().exited().await;
    print(&format!("started: {}", trace.exists()));
    request.cwd = folder.path().join("absent");
    let said = [spawner.rehearse(request.clone()).await.err(), spawner.spawn(request).await.err()];
    let said = said.map(|error| error.expect("there is no such folder").to_string());
    print(&format!("the same of a missing folder: {}", said[0] == said[1]));
    print(&format!("left: {}", children_of(std::process::id()).len()));
}

/// As under the `SystemCallFilter` of the unit that comes with Warrener (EPERM), and as where the
/// kernel knows no `ptrace` (ENOSYS): all but the last step is tried, and what works is not refused.
#[test]
fn where_nothing_may_be_traced_all_before_the_program_is_tried() {
    let folder = tempfile::tempdir().unwrap();
    let filter = folder.path().join("filter.py");
    fs::write(&filter, FILTER).unwrap();
    for errno in [1, 38] {
        let before =
            format!("set -- \"$0\" \"$@\"; exec python3 {} {errno} \"$@\";", filter.display());
        assert_eq!(
            told(role("untraced", &before)),
            [
                "rehearsed: true",
                "a trace: false",
                "started: true",
                "the same of a missing folder: true",
                "left: 0",
            ],
            "{errno}"
        );
    }
}
