//! Several that would apply one stack: one does, the others stand by.

use std::process::Command;
use std::time::{Duration, Instant};

use nix::sys::signal::Signal;
use reqwest::Method as Http;
use serde_json::{Value, json};

use crate::reconcile::{api, get, queue_names};
use crate::support::broker::shared;
use crate::support::frames::Method;
use crate::support::proxy::{Direction, Proxy};
use crate::support::stack::Stack;
use crate::support::supervisor::{PATIENCE, Supervisor, wait_until};

const QUEUES: usize = 12;

fn stack() -> Stack {
    let queues: serde_json::Map<_, _> = (0..QUEUES)
        .map(|n| {
            (format!("q{n:02}"), json!({"bind": [{"exchange": "orders", "key": n.to_string()}]}))
        })
        .collect();
    Stack::new(json!({
        "exchanges": {"orders": {"type": "topic"}},
        "queues": queues,
        "policies": {"ttl": {"pattern": "^none$", "definition": {"message-ttl": 1000}}},
        "reconcile": {"interval": "1s"},
    }))
}

/// A supervisor of the stack that reaches the broker through a proxy.
async fn supervisor(stack: &Stack) -> (Supervisor, Proxy) {
    let proxy = Proxy::start(([127, 0, 0, 1], shared().amqp_port()).into()).await;
    let mut document = stack.document.clone();
    let (port, vhost) = (proxy.port(), stack.vhost());
    document["broker"]["url"] = json!(format!("amqp://guest:guest@127.0.0.1:{port}/{vhost}"));
    let supervisor = Supervisor::prepare();
    supervisor.write("stack.yaml", &document.to_string());
    (supervisor, proxy)
}

fn declares(proxy: &Proxy) -> usize {
    proxy.seen(Direction::ToBroker, Method::QUEUE_DECLARE)
}

fn wait_for_queues(stack: &Stack) {
    wait_until("the queues", PATIENCE, || queue_names(stack).len() == QUEUES);
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_started_at_once_one_applies_and_the_other_takes_over() {
    let stack = stack();
    let (mut one, proxy_one) = supervisor(&stack).await;
    let (mut other, proxy_other) = supervisor(&stack).await;
    let (mut one, mut other, first_is_one) = tokio::task::block_in_place(|| {
        one.start();
        other.start();
        wait_until("one to stand by", PATIENCE, || {
            [&one, &other].iter().any(|supervisor| supervisor.log().contains("standing by"))
        });
        wait_for_queues(&stack);
        let first_is_one = other.log().contains("standing by");
        (one, other, first_is_one)
    });
    let (first, second) =
        if first_is_one { (&mut one, &mut other) } else { (&mut other, &mut one) };
    let (proxy_first, proxy_second) =
        if first_is_one { (&proxy_one, &proxy_other) } else { (&proxy_other, &proxy_one) };
    tokio::task::block_in_place(|| {
        first.wait_for(&format!("started: topology: {} created", 2 + 2 * QUEUES));
        second.wait_for("started: topology: ");
        let by = format!(
            "standing by: `warrener run` on {}, process {} has the lock",
            nix::unistd::gethostname().expect("a name").to_string_lossy(),
            first.pid()
        );
        second.wait_for(&by);
        // Each queue was declared once, besides the lock.
        assert_eq!(declares(proxy_first), QUEUES + 1);
        assert_eq!(declares(proxy_second), 1, "it has tried for the lock once, and nothing else");
        assert_eq!(proxy_second.seen(Direction::ToBroker, Method::QUEUE_BIND), 0);

        // What goes missing is mended by the one.
        api(Http::DELETE, &format!("queues/{}/q03", stack.vhost()), None);
        wait_for_queues(&stack);
        first.wait_for("the broker had drifted: topology: 2 created");
        assert!(!second.log().contains("had drifted"));

        first.signal(Signal::SIGKILL);
        let start = Instant::now();
        api(Http::DELETE, &format!("queues/{}/q05", stack.vhost()), None);
        wait_until("the other to take over", Duration::from_secs(10), || {
            second.log().contains("this supervisor applies now")
        });
        wait_for_queues(&stack);
        assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
        assert_eq!(
            second.log().matches("standing by").count(),
            1 + second.log().matches("(standing by)").count()
        );
        for supervisor in [&*first, &*second] {
            let log = supervisor.log();
            // The AMQP library calls a refused lock an error; that is shown at `-v` only.
            let ours = log.lines().filter(|line| !line.contains("ERROR lapin"));
            assert!(!ours.clone().any(|line| line.contains("ERROR")), "{log}");
            assert!(!log.contains("panicked"), "{log}");
        }
        second.signal(Signal::SIGTERM);
        assert!(second.exited(Duration::from_secs(20)).success());
        // The lock leaves nothing behind.
        assert_eq!(queue_names(&stack).len(), QUEUES);
    });
    drop(one);
    drop(other);
}

/// Every connection is cut, as when the broker's node restarts: whoever comes first is the one, and
/// never two.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_connection_is_a_lost_lock() {
    let stack = stack();
    let (mut one, proxy_one) = supervisor(&stack).await;
    let (mut other, proxy_other) = supervisor(&stack).await;
    tokio::task::block_in_place(|| {
        one.start();
        one.wait_for("started: topology: ");
        other.start();
        other.wait_for("standing by: ");
    });
    // The holder cannot come back, and does not know yet that the lock is gone.
    proxy_one.refuse(true);
    proxy_one.cut();
    tokio::task::block_in_place(|| {
        other.wait_for("this supervisor applies now");
        one.wait_for("the lock of the stack is lost");
    });
    proxy_one.refuse(false);
    tokio::task::block_in_place(|| one.wait_for("standing by: "));
    let before = declares(&proxy_one);
    proxy_other.cut();
    // Who has it now is a race, that one has it is none.
    let lock = || {
        let queues = get(&format!("queues/{}", stack.vhost()));
        let mut queues = queues.as_array().expect("a list").iter();
        queues.find(|queue| queue["name"] == "warrener.lock.test").cloned().unwrap_or_default()
    };
    tokio::task::block_in_place(|| {
        wait_until("somebody to have it", PATIENCE, || lock()["name"] == "warrener.lock.test");
        api(Http::DELETE, &format!("queues/{}/q01", stack.vhost()), None);
        wait_for_queues(&stack);
        let holder = lock()["arguments"]["x-warrener-holder"].as_str().expect("a name").to_owned();
        let holds = |s: &Supervisor| holder.ends_with(&format!("process {}", s.pid()));
        assert!(holds(&one) ^ holds(&other), "{holder}");
        if holds(&other) {
            assert!(declares(&proxy_one) <= before + 2, "it stands by and declares nothing");
        }
    });
}

#[test]
fn apply_beside_a_supervisor_waits_and_says_who_has_the_lock() {
    let mut stack = stack();
    let mut supervisor = Supervisor::prepare();
    supervisor.write("stack.yaml", &stack.document.to_string());
    supervisor.start();
    supervisor.wait_for("started: topology: ");
    // With nothing to do there is nothing to wait for.
    let nothing = stack.apply();
    assert_eq!(nothing.code, Some(0), "{nothing:?}");
    stack.document["queues"]["new"] = json!({});
    let start = Instant::now();
    let refused = stack.run(&["apply", "--lock-wait", "1s", "stack.yaml"]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(start.elapsed() < Duration::from_secs(8));
    let who =
        format!("process {} has the lock of stack `test`; nothing was changed", supervisor.pid());
    assert!(refused.err.contains(&who), "{refused:?}");
    assert_eq!(queue_names(&stack).len(), QUEUES);
    // When the supervisor goes meanwhile, it is done.
    let mut waiting = Command::new(env!("CARGO_BIN_EXE_warrener"))
        .args(["apply", "--lock-wait", "60s", "stack.yaml"])
        .current_dir(stack.path("stack.yaml").parent().expect("a folder"))
        .spawn()
        .expect("it starts");
    std::thread::sleep(Duration::from_millis(300));
    supervisor.signal(Signal::SIGTERM);
    assert!(supervisor.exited(Duration::from_secs(20)).success());
    assert!(waiting.wait().expect("it ends").success());
    assert_eq!(queue_names(&stack).len(), QUEUES + 1);
}

/// Without the permission a stack is applied nevertheless, and that is said once.
#[test]
fn without_permission_for_the_lock_it_goes_on_without() {
    let mut stack = Stack::new(json!({"queues": {"mine": {}}, "reconcile": {"interval": "1s"}}));
    let user = format!("user-{}", stack.vhost());
    let tags = json!({"password": "p", "tags": "administrator"});
    api(Http::PUT, &format!("users/{user}"), Some(&tags));
    let mine = json!({"configure": "^mine", "write": ".*", "read": ".*"});
    api(Http::PUT, &format!("permissions/{}/{user}", stack.vhost()), Some(&mine));
    let url = stack.document["broker"]["url"].as_str().expect("text");
    stack.document["broker"]["url"] = json!(url.replace("guest:guest", &format!("{user}:p")));
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    assert_eq!(applied.err.matches("warning: applying without a lock").count(), 1, "{applied:?}");
    assert_eq!(queue_names(&stack), ["mine"]);
    let mut supervisor = Supervisor::prepare();
    supervisor.write("stack.yaml", &stack.document.to_string());
    supervisor.start();
    supervisor.wait_for("started: topology: ");
    for _ in 0..2 {
        api(Http::DELETE, &format!("queues/{}/mine", stack.vhost()), None);
        wait_until("it to come back", PATIENCE, || queue_names(&stack) == ["mine"]);
    }
    assert_eq!(supervisor.log().matches("applying without a lock").count(), 1);
    api(Http::DELETE, &format!("users/{user}"), None);
}

/// What hand-made changes lead to, by the mode: `check` says so once and leaves them.
#[test]
fn check_reports_and_apply_heals() {
    let mut stack = stack();
    assert_eq!(stack.apply().code, Some(0));
    stack.document["reconcile"] = json!({"mode": "check", "interval": "1s"});
    let mut supervisor = Supervisor::prepare();
    supervisor.write("stack.yaml", &stack.document.to_string());
    supervisor.start();
    supervisor.wait_for("started: topology: nothing to do");
    let queue = format!("queues/{}/q07", stack.vhost());
    let remove = || api(Http::DELETE, &queue, None);
    let _: Value = remove();
    supervisor.wait_for("topology: 2 differences left alone (`reconcile.mode: check`)");
    supervisor.wait_for("+ queue q07 (classic)");
    // Looks go on, and say nothing that is not new.
    api(Http::DELETE, &format!("queues/{}/q08", stack.vhost()), None);
    supervisor.wait_for("topology: 4 differences left alone");
    assert_eq!(supervisor.log().matches("2 differences left alone").count(), 1);
    assert_eq!(queue_names(&stack).len(), QUEUES - 2);
    // Nobody has the lock, so a person can apply.
    let applied = stack.apply();
    assert_eq!(applied.code, Some(0), "{applied:?}");
    supervisor.wait_for("the broker is as the files say again");
    stack.document["reconcile"] = json!({"mode": "apply", "interval": "1s"});
    supervisor.write("stack.yaml", &stack.document.to_string());
    supervisor.wait_for("reloaded: topology: nothing to do");
    let _: Value = remove();
    supervisor.wait_for("the broker had drifted: topology: 2 created");
    assert_eq!(queue_names(&stack).len(), QUEUES);
    supervisor.signal(Signal::SIGTERM);
    assert!(supervisor.exited(Duration::from_secs(20)).success());
}
