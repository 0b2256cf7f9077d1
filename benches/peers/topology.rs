//! A large topology: made, looked at, changed.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::args::Args;
use crate::contestants::warrener;
use crate::reload::{self, Effects};
use crate::report::{Report, median, thousands};
use crate::room::Room;

/// Exchanges among which the queues are shared.
const EXCHANGES: usize = 100;

/// What Warrener may take beyond what the broker does, in the words of the goal.
const GRACE: f64 = 0.3;

/// How long the broker may take to remove a vhost.
const REMOVAL: Duration = Duration::from_mins(3);

/// Everything in one vhost, so that it is gone with it.
pub(crate) struct Topology {
    pub(crate) queues: usize,
    pub(crate) vhost: String,
}

impl Topology {
    fn exchange(nth: usize) -> String {
        format!("exchange.{nth:03}")
    }

    pub(crate) fn queue(nth: usize) -> String {
        format!("queue.{nth:05}")
    }

    /// As a file of Warrener, with so many queues more.
    pub(crate) fn stack(&self, room: &Room, more: usize) -> Value {
        let queue = |nth: usize| {
            let source = Self::exchange(nth % EXCHANGES);
            let bind = json!([{"exchange": source, "key": format!("key.{nth}")}]);
            (Self::queue(nth), json!({"bind": bind}))
        };
        let queues: BTreeMap<_, _> = (0..self.queues + more).map(queue).collect();
        let exchanges: BTreeMap<_, _> =
            (0..EXCHANGES).map(|nth| (Self::exchange(nth), json!({"type": "topic"}))).collect();
        let url = room.url().replace("/%2f", &format!("/{}", self.vhost));
        json!({
            "stack": "large",
            "broker": {"url": url, "management": room.management_url()},
            "exchanges": exchanges,
            "queues": queues,
        })
    }

    /// As definitions.
    fn definitions(&self) -> Value {
        let exchange = |nth: usize| {
            json!({"name": Self::exchange(nth), "type": "topic", "durable": true,
                "auto_delete": false, "internal": false, "arguments": {}})
        };
        let queue = |nth: usize| {
            json!({"name": Self::queue(nth), "durable": true, "auto_delete": false,
                "arguments": {"x-queue-type": "classic"}})
        };
        let binding = |nth: usize| {
            json!({"source": Self::exchange(nth % EXCHANGES), "destination": Self::queue(nth),
                "destination_type": "queue", "routing_key": format!("key.{nth}"), "arguments": {}})
        };
        json!({
            "exchanges": (0..EXCHANGES).map(exchange).collect::<Vec<_>>(),
            "queues": (0..self.queues).map(queue).collect::<Vec<_>>(),
            "bindings": (0..self.queues).map(binding).collect::<Vec<_>>(),
        })
    }
}

/// The management API, as anybody would use it.
struct Http<'a> {
    client: reqwest::Client,
    room: &'a Room,
}

impl Http<'_> {
    async fn request(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> Duration {
        let url = format!("{}/api/{path}", self.room.management_url());
        let mut request = self.client.request(method, url).basic_auth("guest", Some("guest"));
        if let Some(body) = body {
            request = request.json(body);
        }
        let from = Instant::now();
        let answer = request.send().await.and_then(reqwest::Response::error_for_status);
        let _ = answer.expect("an answer").bytes().await.expect("an answer");
        from.elapsed()
    }

    async fn vhost(&self, name: &str) {
        let path = format!("vhosts/{name}");
        self.request(reqwest::Method::PUT, &path, Some(&json!({}))).await;
        let path = format!("permissions/{name}/guest");
        let all = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.request(reqwest::Method::PUT, &path, Some(&all)).await;
    }

    /// The broker takes long over ten thousand queues, and may close the connection before it is
    /// done; it goes on nevertheless.
    async fn remove(&self, vhost: &str) {
        let url = format!("{}/api/vhosts/{vhost}", self.room.management_url());
        let deadline = Instant::now() + REMOVAL;
        loop {
            let request = self.client.delete(&url).basic_auth("guest", Some("guest"));
            let status = request.send().await.map(|answer| answer.status());
            if status.as_ref().is_ok_and(|status| *status == reqwest::StatusCode::NOT_FOUND) {
                return;
            }
            assert!(Instant::now() < deadline, "`{vhost}` is still there: {status:?}");
            if status.is_err() {
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
    }
}

/// Seconds of every round.
#[derive(Default)]
struct Times {
    import: Vec<f64>,
    apply: Vec<f64>,
    get: Vec<f64>,
    plan: Vec<f64>,
    change: Vec<f64>,
    reload: Effects,
}

/// Makes it by import and by apply, in turns, and looks at it and changes it in between. Every other
/// round begins with the import: what the broker has done before makes it slower.
pub(crate) async fn measure(args: &Args, room: &Room, report: &Report) {
    let http = Http { client: reqwest::Client::builder().no_proxy().build().expect("HTTP"), room };
    let mut times = Times::default();
    for round in 1..=args.rounds {
        let import_first = round % 2 == 1;
        if import_first {
            times.import.push(import(&http, args, round).await);
        }
        apply_and_change(&http, args, round, &mut times).await;
        if !import_first {
            times.import.push(import(&http, args, round).await);
        }
    }
    report.section("topology", &table(args, report, times));
}

/// Makes it by an import, and removes it.
async fn import(http: &Http<'_>, args: &Args, round: usize) -> f64 {
    let imported = Topology { queues: args.queues, vhost: format!("import{round}") };
    http.vhost(&imported.vhost).await;
    let path = format!("definitions/{}", imported.vhost);
    let definitions = imported.definitions();
    let took = http.request(reqwest::Method::POST, &path, Some(&definitions)).await.as_secs_f64();
    http.remove(&imported.vhost).await;
    eprintln!("round {round}: import {took:.2} s");
    took
}

/// Makes it by `apply`, looks at it, changes it, and removes it.
async fn apply_and_change(http: &Http<'_>, args: &Args, round: usize, times: &mut Times) {
    let room = http.room;
    let applied = Topology { queues: args.queues, vhost: format!("apply{round}") };
    http.vhost(&applied.vhost).await;
    let file = room.folder.join("large.yaml");
    save(&file, &applied.stack(room, 0));
    let apply = run(&["apply", "--yes"], &file, 0);
    times.apply.push(apply.as_secs_f64());
    eprintln!("round {round}: apply {:.2} s", apply.as_secs_f64());

    let path = format!("definitions/{}", applied.vhost);
    for _ in 0..5 {
        let get = http.request(reqwest::Method::GET, &path, None).await;
        let plan = run(&["plan"], &file, 0);
        times.get.push(get.as_secs_f64());
        times.plan.push(plan.as_secs_f64());
    }
    for more in 1..=3 {
        save(&file, &applied.stack(room, more));
        times.change.push(run(&["apply", "--yes"], &file, 0).as_secs_f64());
    }
    times.reload.extend(reload::measure(room, &applied).await);
    http.remove(&applied.vhost).await;
}

fn table(args: &Args, report: &Report, times: Times) -> String {
    let [import, apply, get, plan, change] =
        [times.import, times.apply, times.get, times.plan, times.change].map(median);
    let limit = 1.5 * get + GRACE;
    #[expect(clippy::cast_precision_loss, reason = "some thousands")]
    let queues = thousands(args.queues as f64);
    let mut text = format!(
        "{queues} queues, each with a binding, and {EXCHANGES} exchanges in one vhost; {}; median \
         of {} rounds.\n\n| | s | |\n|---|---|---|\n",
        report.machine, args.rounds
    );
    let _ = writeln!(text, "| definitions import over HTTP | {import:.2} | |");
    let ratio = apply / import;
    let _ = writeln!(
        text,
        "| `apply` of the same, then looking again | {apply:.2} | {ratio:.2} × the import |"
    );
    let _ = writeln!(
        text,
        "| one `GET /api/definitions/VHOST` | {get:.2} | 1.5 × that + {GRACE} s is {limit:.2} |"
    );
    let _ = writeln!(text, "| `plan`, nothing to do | {plan:.2} | |");
    let _ = writeln!(text, "| `apply` of one queue and its binding more | {change:.2} | |");
    let Effects { queue, consumer, policy, removal, argument } = times.reload;
    let effects = [
        ("a queue and its binding are there", queue),
        ("a consumer runs another command", consumer),
        ("a policy is another", policy),
        ("a queue is gone, with `prune`", removal),
        ("a queue has another argument, made anew", argument),
    ];
    for (effect, seconds) in effects {
        let seconds = median(seconds);
        let _ = writeln!(
            text,
            "| a running supervisor: from saving the file until {effect} | {seconds:.2} | |"
        );
    }
    text
}

/// Writes a file as editors do: whole, under its name at once.
pub(crate) fn save(file: &Path, stack: &Value) {
    let mut part = PathBuf::from(file);
    part.set_extension("part");
    std::fs::write(&part, stack.to_string()).expect("a file");
    std::fs::rename(&part, file).expect("a file");
}

/// Runs one command from start to end.
fn run(arguments: &[&str], file: &Path, code: i32) -> Duration {
    let from = Instant::now();
    let mut command = warrener();
    let output = command.args(arguments).arg(file).stdin(Stdio::null()).output().expect("it runs");
    let took = from.elapsed();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(code), "{arguments:?}: {}\n{said}", output.status);
    took
}
