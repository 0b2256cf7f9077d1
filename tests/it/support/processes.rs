//! What runs on this machine.

use std::net::TcpStream;

/// Living processes whose environment or arguments speak of the text.
pub(crate) fn processes_with(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let read = |name: &str| {
            let bytes = std::fs::read(entry.path().join(name)).unwrap_or_default();
            String::from_utf8_lossy(&bytes).into_owned()
        };
        if read("environ").contains(text) || read("cmdline").contains(text) {
            found.push(format!("{}: {}", entry.file_name().display(), read("cmdline")));
        }
    }
    found
}

/// The guardians of a supervisor: processes of that name that hold the other end of one of its
/// pipes.
pub(crate) fn guardians_of(pid: u32) -> Vec<u32> {
    let pipes = |pid: &str| -> Vec<String> {
        let files = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let targets = files.filter_map(|file| std::fs::read_link(file.path()).ok());
        let names = targets.filter_map(|target| target.to_str().map(str::to_owned));
        names.filter(|name| name.starts_with("pipe:")).collect()
    };
    let ours = pipes(&pid.to_string());
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = processes.filter_map(|entry| entry.file_name().into_string().ok());
    let guards = pids.filter(|pid| {
        let name = std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
        name.trim() == "warrener-guard" && pipes(pid).iter().any(|pipe| ours.contains(pipe))
    });
    guards.filter_map(|pid| pid.parse().ok()).collect()
}

/// Whether anyone takes connections on that port of 127.0.0.1.
pub(crate) fn listens(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok()
}
