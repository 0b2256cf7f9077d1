//! The RabbitMQ of this test run.
//!
//! Starting a node takes some seconds, so one node serves all tests of the process, each test with
//! a vhost of its own. Nobody stops that node: it goes when the process ends, in whatever way. A
//! test that stops or breaks its broker takes [`own_node`] instead.
//!
//! With `WARRENER_TEST_RABBITMQ_ROOT` set, every node is the RabbitMQ installed under that root
//! directory (see `tests/matrix.sh`).

use std::collections::BTreeMap;
use std::future::Future;
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

use warrener::sandbox::{Sandbox, SandboxOptions};

static SHARED: OnceLock<Sandbox> = OnceLock::new();
static VHOSTS: AtomicU32 = AtomicU32::new(0);

/// The node that all tests share. The first caller starts it; works in sync and async tests.
pub(crate) fn shared() -> &'static Sandbox {
    SHARED.get_or_init(|| on_own_runtime(own_node()))
}

/// Whether the RabbitMQ of this test run is of that version or a later one. For tests of what
/// differs between versions.
pub(crate) fn since(major: u32, minor: u32) -> bool {
    let mut numbers = shared().version().split('.').map(str::parse::<u32>);
    let mut next = || numbers.next().and_then(Result::ok).expect("a version such as 4.0.5");
    (next(), next()) >= (major, minor)
}

/// A node for one test alone.
pub(crate) async fn own_node() -> Sandbox {
    match Sandbox::start(options()).await {
        Ok(sandbox) => sandbox,
        Err(error) => panic!("the tests need a RabbitMQ: {error}"),
    }
}

/// The node that this test run asks for.
pub(crate) fn options() -> SandboxOptions {
    let root = std::env::var_os("WARRENER_TEST_RABBITMQ_ROOT").map(Into::into);
    let plugins = ["rabbitmq_shovel", "rabbitmq_federation"].map(String::from).into();
    SandboxOptions { root, plugins, ..SandboxOptions::default() }
}

/// Runs `rabbitmqctl` on a node, with the environment that the node itself has. Files of the node's
/// folder are where [`inside`] says.
pub(crate) fn rabbitmqctl(node: &Sandbox, arguments: &[&str]) -> Output {
    const CTL: &str = "/usr/lib/rabbitmq/bin/rabbitmqctl";
    let mut command = match std::env::var_os("WARRENER_TEST_RABBITMQ_ROOT") {
        Some(root) => {
            let mut command = Command::new("chroot");
            command.arg(root).arg(CTL);
            command
        }
        None => Command::new(CTL),
    };
    command.args(arguments).env_clear().envs(environment(node)).stdin(Stdio::null());
    command.output().expect("rabbitmqctl is installed with the broker")
}

/// The folder of a node as the node sees it.
pub(crate) fn inside(node: &Sandbox) -> String {
    environment(node).remove("HOME").expect("a node has a home")
}

/// The environment of the Erlang machine of a node.
fn environment(node: &Sandbox) -> BTreeMap<String, String> {
    let processes = std::fs::read_dir("/proc").expect("processes").flatten();
    let environments = processes.filter_map(|process| {
        let name = std::fs::read_to_string(process.path().join("comm")).ok()?;
        let environment = std::fs::read(process.path().join("environ")).ok()?;
        let text = String::from_utf8(environment).ok()?;
        let pairs = text.split('\0').filter_map(|pair| pair.split_once('='));
        let pairs = pairs.map(|(key, value)| (key.to_owned(), value.to_owned()));
        name.starts_with("beam").then(|| pairs.collect::<BTreeMap<_, _>>())
    });
    let named = |all: &BTreeMap<_, _>| {
        all.get("RABBITMQ_NODENAME").map(String::as_str) == Some(node.node())
    };
    let mut found = environments.into_iter().find(named).expect("the node runs");
    // The `rabbitmqctl` of another test may be what was found; its scripts mark what they have loaded.
    found.remove("RABBITMQ_ENV_LOADED");
    found
}

/// The address of the management API of the shared node; user and password are `guest`.
pub(crate) fn management_url() -> String {
    shared().management_url()
}

/// Asks the management API of the shared node for something below `/api`; it has to agree. Gives
/// its answer, where it has one.
pub(crate) async fn manage(
    method: reqwest::Method,
    path: &str,
    body: Option<serde_json::Value>,
) -> serde_json::Value {
    let http = reqwest::Client::builder().no_proxy().build().expect("a client");
    let url = format!("{}/api/{path}", management_url());
    let request = http.request(method, url).basic_auth("guest", Some("guest"));
    // Without a body it is a document without keys.
    let body = body.unwrap_or_else(|| serde_json::json!({}));
    let response = request.json(&body).send().await.expect("the management API answers");
    assert!(response.status().is_success(), "{path}: {}", response.status());
    serde_json::from_slice(&response.bytes().await.expect("a body")).unwrap_or_default()
}

/// The address of that vhost of the shared node.
pub(crate) fn amqp_url(vhost: &Vhost) -> String {
    format!("amqp://guest:guest@127.0.0.1:{}/{}", shared().amqp_port(), vhost.name())
}

/// An empty vhost of the shared node that nobody else uses.
pub(crate) fn fresh_vhost() -> Vhost {
    let number = VHOSTS.fetch_add(1, Ordering::Relaxed);
    let vhost = Vhost { name: format!("test-{}-{number}", std::process::id()) };
    let request = |http: reqwest::Client| http.put(vhost.api());
    let status = on_own_runtime(management(request)).expect("the management API answers");
    assert!(status.is_success(), "cannot create vhost {}: {status}", vhost.name);
    vhost
}

/// A vhost of the shared node; dropping it deletes it with everything in it.
pub(crate) struct Vhost {
    name: String,
}

impl Vhost {
    /// Its name, which needs no escaping in addresses.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Messages of a queue, those that a consumer holds among them; `None` where there is none.
    pub(crate) fn messages(&self, queue: &str) -> Option<u64> {
        // Without statistics, which lag by seconds, the totals are those of the moment.
        let totals = "disable_stats=true&enable_queue_totals=true";
        let url = format!("{}/api/queues/{}?{totals}", management_url(), self.name);
        let queues: serde_json::Value = on_own_runtime(async {
            let http = reqwest::Client::builder().no_proxy().build()?;
            http.get(url).basic_auth("guest", Some("guest")).send().await?.json().await
        })
        .expect("the management API answers");
        queues.as_array()?.iter().find(|found| found["name"] == queue)?["messages"].as_u64()
    }

    fn api(&self) -> String {
        format!("{}/api/vhosts/{}", management_url(), self.name)
    }
}

impl Drop for Vhost {
    fn drop(&mut self) {
        let request = |http: reqwest::Client| http.delete(self.api());
        // In a failing test a second panic would abort; what is left goes with the node.
        let _ = on_own_runtime(management(request));
    }
}

async fn management(
    request: impl FnOnce(reqwest::Client) -> reqwest::RequestBuilder,
) -> reqwest::Result<reqwest::StatusCode> {
    let http = reqwest::Client::builder().no_proxy().build()?;
    let request = request(http).basic_auth("guest", Some("guest"));
    Ok(request.header("content-type", "application/json").send().await?.status())
}

/// Runs the future on a thread and runtime of its own: callers may or may not be in a runtime, and
/// that of the first caller ends with its test.
fn on_own_runtime<T: Send>(future: impl Future<Output = T> + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime can be built")
                .block_on(future)
        });
        thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}
