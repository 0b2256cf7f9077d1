//! Where supervisors listen, and how they are found.

use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::support::broker::{amqp_url, fresh_vhost, management_url};
use crate::support::stack::Said;
use crate::support::supervisor::{PATIENCE, wait_until};

/// Several supervisors in one folder for sockets, as a service manager gives one.
struct Place {
    folder: tempfile::TempDir,
    running: Vec<Child>,
    stack: String,
}

impl Place {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let vhost = fresh_vhost();
        // A name of its own: whoever looks for a supervisor looks into the system's folder as well.
        let stack = format!("place-{}", vhost.name().replace(['/', ' '], "-"));
        let text = format!(
            "stack: {stack}\nbroker: {{ url: \"{}\", management: \"{}\" }}\nreconcile: {{ mode: off }}\n",
            amqp_url(&vhost),
            management_url()
        );
        fs::write(folder.path().join("stack.yaml"), text).unwrap();
        Self { folder, running: Vec::new(), stack }
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_warrener"));
        command
            .args(arguments)
            .current_dir(self.folder.path())
            .env("RUNTIME_DIRECTORY", self.sockets())
            .env_remove("WARRENER_SOCKET")
            .stdin(Stdio::null());
        command
    }

    fn sockets(&self) -> std::path::PathBuf {
        self.folder.path().join("sockets")
    }

    /// Starts one more and gives its process id.
    fn start(&mut self) -> u32 {
        let before = self.names().len();
        let child = self.command(&["run", "stack.yaml"]).stderr(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        self.running.push(child);
        wait_until("its socket", PATIENCE, || self.names().len() > before);
        pid
    }

    fn stop(&mut self, signal: Signal) {
        let mut child = self.running.remove(0);
        kill(Pid::from_raw(child.id().cast_signed()), signal).unwrap();
        child.wait().unwrap();
    }

    fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.sockets()).into_iter().flatten().flatten();
        let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
        let mut names: Vec<_> = names.collect();
        names.sort();
        names
    }

    fn ask(&self, arguments: &[&str]) -> Said {
        let output = self.command(arguments).output().unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        Said { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for child in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

#[test]
fn two_of_one_stack_have_a_socket_each() {
    let mut place = Place::new();
    let stack = place.stack.clone();
    let first = place.start();
    assert_eq!(place.names(), [format!("{stack}.sock")]);
    let said = place.ask(&["status", "--json", "--stack", &stack]);
    assert!(said.out.contains(&format!("\"pid\": {first},")), "{said:?}");

    let second = place.start();
    let other = format!("{stack}@{second}.sock");
    assert_eq!(place.names(), [format!("{stack}.sock"), other.clone()]);
    let said = place.ask(&["status", "--stack", &stack]);
    let sockets = place.sockets();
    let expected = format!(
        "error: several supervisors are running:\n  {stack}: {0}/{stack}.sock\n  \
         {stack}@{second}: {0}/{other}\n  hint: say which by `--stack NAME` or `--socket PATH`\n",
        sockets.display()
    );
    assert_eq!((said.code, said.err), (Some(1), expected));
    let path = sockets.join(&other).display().to_string();
    let said = place.ask(&["status", "--json", "--socket", &path]);
    assert!(said.out.contains(&format!("\"pid\": {second},")), "{said:?}");

    // One that ends takes its socket along; one that is killed leaves it, and the next has it.
    place.stop(Signal::SIGTERM);
    assert_eq!(place.names(), std::slice::from_ref(&other));
    place.stop(Signal::SIGKILL);
    assert_eq!(place.names(), [other]);
    let said = place.ask(&["status", "--stack", &stack]);
    assert_eq!(said.code, Some(4), "{said:?}");
    assert!(
        said.err.starts_with(&format!("error: no supervisor of the stack `{stack}` is running\n")),
        "{said:?}"
    );
    place.start();
    place.stop(Signal::SIGKILL);
    assert!(sockets.join(format!("{stack}.sock")).exists(), "nobody could have removed it");
    let child = place.command(&["run", "stack.yaml"]).stderr(Stdio::null()).spawn().unwrap();
    let pid = child.id();
    place.running.push(child);
    wait_until("the left-over replaced", PATIENCE, || {
        let said = place.ask(&["status", "--json", "--stack", &stack]);
        said.out.contains(&format!("\"pid\": {pid},"))
    });
}

#[test]
fn a_path_that_was_asked_for_and_cannot_be_had_stops_the_start() {
    let place = Place::new();
    let run = |path: &Path| {
        let path = path.display().to_string();
        place.ask(&["run", "stack.yaml", "--socket", &path])
    };
    let file = place.folder.path().join("stack.yaml");
    let said = run(&file);
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("is no socket"), "{said:?}");
    let said = run(Path::new("/no/such/folder/x.sock"));
    assert_eq!(said.code, Some(1));
    assert!(said.err.contains("cannot listen on `/no/such/folder/x.sock`"), "{said:?}");
}

#[test]
fn without_a_place_for_its_socket_one_runs_all_the_same() {
    let place = Place::new();
    fs::write(place.sockets(), "a file where a folder should be").unwrap();
    let log = place.folder.path().join("log");
    let mut child = place
        .command(&["run", "stack.yaml"])
        .stderr(fs::File::create(&log).unwrap())
        .spawn()
        .unwrap();
    let read = || fs::read_to_string(&log).unwrap();
    wait_until("the warning", PATIENCE, || {
        read().contains("there is no socket to steer this supervisor by")
    });
    wait_until("its start", PATIENCE, || read().contains("started: topology"));
    kill(Pid::from_raw(child.id().cast_signed()), Signal::SIGTERM).unwrap();
    assert!(child.wait().unwrap().success());
}
