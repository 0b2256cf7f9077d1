//! Finding out whether a program would start, without starting it.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Instant;

use warrener::process::Spawner;

use super::{PATIENCE, command, script};
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
