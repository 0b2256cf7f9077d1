//! A password is where it is needed and nowhere else.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

use crate::support::broker::{manage, management_url};
use crate::support::case::{Case, QUEUES, consumer};
use crate::support::supervisor::{PATIENCE, children_of, wait_until};

const CANARY: &str = "c4nary/pa55 wörd";
/// The same in an address.
const ESCAPED: &str = "c4nary%2Fpa55%20w%C3%B6rd";

/// Whether bytes have the secret in any of its forms.
fn told(bytes: &[u8]) -> bool {
    let base64 = "YzRuYXJ5";
    [CANARY, ESCAPED, "c4nary", base64]
        .iter()
        .any(|form| memchr::memmem::find(bytes, form.as_bytes()).is_some())
}

/// All processes below one.
fn family(pid: u32) -> BTreeSet<u32> {
    let mut all = BTreeSet::from([pid]);
    for child in children_of(pid) {
        all.append(&mut family(child));
    }
    all
}

/// Asserts that nothing in the folder but the files named tells the secret.
fn folder_is_silent(folder: &Path, but: &[&str]) {
    for entry in fs::read_dir(folder).unwrap().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if path.is_dir() {
            folder_is_silent(&path, &[]);
        } else if !but.iter().any(|but| name == *but) {
            let bytes = fs::read(&path).unwrap_or_default();
            assert!(!told(&bytes), "{} tells the password", path.display());
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_is_in_no_output_log_ledger_argument_or_environment_of_another() {
    let mut case = Case::prepare().await;
    let (user, vhost) = (format!("user-{}", case.vhost.name()), case.vhost.name().to_owned());
    let put = reqwest::Method::PUT;
    let made = json!({"password": CANARY, "tags": "administrator"});
    manage(put.clone(), &format!("users/{user}"), Some(made)).await;
    let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
    manage(put, &format!("permissions/{vhost}/{user}"), Some(all)).await;

    // Once from a file, which is how it should be, and once spelled, which is warned of.
    let secret = case.supervisor.path("secret");
    case.supervisor.write("secret", ESCAPED);
    assert!(told(&fs::read(&secret).unwrap()), "a secret that is there is not seen");
    let from_file = format!("${{file:{}}}", secret.display());
    for password in [from_file.as_str(), ESCAPED] {
        let address = case.url.replace("guest:guest", &format!("{user}:{password}"));
        let management = management_url().replace("://", &format!("://{user}:{password}@"));
        // A child that shows its whole environment, and one answer of each kind.
        let keys = "shell: 'env >> environment; tr \"\\0\" \" \" < /proc/self/environ >> environment; exec python3 \"$$CHILDREN/answer.py\"'\nenv: { CHILDREN: \"${CHILDREN}\" }\nretry: { delays: [100ms] }\nstop: { grace: 3s }\n";
        case.supervisor.write(
            "stack.yaml",
            &format!(
                "stack: canary\nbroker: {{ url: \"{address}\", management: \"{management}\" }}\n{QUEUES}consumers:\n{}",
                consumer("worker", "work", keys)
            ),
        );
        for arguments in [
            &["check", "stack.yaml"][..],
            &["check", "--format", "json", "stack.yaml"],
            &["plan", "stack.yaml"],
            &["plan", "--json", "stack.yaml"],
            &["apply", "stack.yaml"],
            &["drift", "stack.yaml"],
        ] {
            let output = case.supervisor.command(arguments).output().unwrap();
            assert!(!told(&output.stdout) && !told(&output.stderr), "{arguments:?} tells it");
            assert!(!output.stderr.is_empty() || !output.stdout.is_empty(), "{arguments:?}");
        }

        let started = case.logged("started: topology");
        let command = case.supervisor.command(&["-vv", "run", "stack.yaml"]);
        case.supervisor.start_by(command);
        wait_until("the start", PATIENCE, || case.logged("started: topology") > started);
        case.send(&["ack", "nack no", "reject never"]).await;
        case.outside.wait_for_depth("dead", 2, PATIENCE).await;
        let environment = case.supervisor.path("environment");
        wait_until("a child", PATIENCE, || environment.exists());
        for arguments in [&["status"][..], &["status", "--json"]] {
            let output = case.supervisor.command(arguments).output().unwrap();
            assert!(output.status.success(), "{arguments:?}");
            assert!(!told(&output.stdout) && !told(&output.stderr), "{arguments:?} tells it");
        }
        // Nor can it be in what a crash leaves behind.
        let limits = fs::read_to_string(format!("/proc/{}/limits", case.supervisor.pid())).unwrap();
        let core = limits.lines().find_map(|line| line.strip_prefix("Max core file size"));
        assert_eq!(core.unwrap().split_whitespace().collect::<Vec<_>>(), ["0", "0", "bytes"]);
        for pid in family(case.supervisor.pid()) {
            for file in ["cmdline", "environ"] {
                let bytes = fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
                assert!(!told(&bytes), "{file} of a process of the run tells the password");
            }
        }
        // A mistake beside it, and a broker that refuses it.
        let text = fs::read_to_string(case.supervisor.path("stack.yaml")).unwrap();
        case.supervisor.write("stack.yaml", &text.replace("  dead: {}", "  dead: { typo: 1 }"));
        case.supervisor.wait_for("there is no key `typo` here");
        case.supervisor.signal(nix::sys::signal::Signal::SIGTERM);
        assert!(case.supervisor.exited(Duration::from_secs(10)).success());
        folder_is_silent(case.supervisor.path("log").parent().unwrap(), &["secret", "stack.yaml"]);
        case.outside.take_all("dead").await;
    }
    // The ledger on the broker has names only.
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/api/global-parameters", management_url());
    let found = http.get(url).basic_auth("guest", Some("guest")).send().await.unwrap();
    let ledger = found.text().await.unwrap();
    assert!(ledger.contains("warrener.canary") && !told(ledger.as_bytes()));
    manage(reqwest::Method::DELETE, &format!("global-parameters/warrener.canary@{vhost}"), None)
        .await;
    manage(reqwest::Method::DELETE, &format!("users/{user}"), None).await;
}
