//! What most tests of a running consumer have in common: one consumer `worker` on the queue `work`,
//! whose dead letters go to `dead`, on a vhost of its own; and the books at the end.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::time::Duration;

use nix::sys::signal::Signal;

use super::broker::{Vhost, amqp_url, fresh_vhost, management_url, shared};
use super::proxy::Proxy;
use super::queue::Outside;
use super::supervisor::{PATIENCE, Supervisor, wait_until};

/// The queues of a case.
pub(crate) const QUEUES: &str = "queues:
  work: { dead_letter: { queue: dead } }
  dead: {}
";

/// A stack on the shared broker and its supervisor.
pub(crate) struct Case {
    pub(crate) supervisor: Supervisor,
    /// A connection of the test, past any proxy.
    pub(crate) outside: Outside,
    /// Where the supervisor finds the broker: an address, or a list of them as YAML has it.
    pub(crate) url: String,
    pub(crate) vhost: Vhost,
}

/// What the supervisor has counted when it ended, summed over its consumers.
#[derive(Debug)]
pub(crate) struct Books(BTreeMap<String, u64>);

impl Books {
    /// One of the counts by its name.
    pub(crate) fn count(&self, name: &str) -> u64 {
        *self.0.get(name).unwrap_or_else(|| panic!("nothing is called `{name}` in {self:?}"))
    }
}

impl Case {
    /// Nothing yet.
    pub(crate) async fn prepare() -> Self {
        let vhost = fresh_vhost();
        let url = amqp_url(&vhost);
        let outside = Outside::connect(&url).await;
        Self { supervisor: Supervisor::prepare(), outside, url, vhost }
    }

    /// The same with a proxy in front of the broker, and that query in the address.
    pub(crate) async fn behind_proxy(query: &str) -> (Self, Proxy) {
        let mut case = Self::prepare().await;
        let proxy = Proxy::start(([127, 0, 0, 1], shared().amqp_port()).into()).await;
        let (port, vhost) = (proxy.port(), case.vhost.name());
        case.url = format!("amqp://guest:guest@127.0.0.1:{port}/{vhost}{query}");
        (case, proxy)
    }

    /// A stack of these sections.
    pub(crate) fn stack(&self, sections: &str) -> String {
        let (url, management) = (&self.url, management_url());
        let quote = if url.starts_with('[') { "" } else { "\"" };
        format!(
            "stack: test\nbroker: {{ url: {quote}{url}{quote}, management: \"{management}\" }}\n{sections}"
        )
    }

    /// Writes a stack of these sections.
    pub(crate) fn write(&self, sections: &str) {
        self.supervisor.write("stack.yaml", &self.stack(sections));
    }

    /// Writes a stack with the one consumer, and starts the supervisor. `keys` are those of the
    /// consumer, one a line and without indent.
    pub(crate) fn start(&mut self, keys: &str) {
        self.write(&format!("{QUEUES}consumers:\n{}", consumer("worker", "work", keys)));
        self.supervisor.start();
    }

    /// [`Case::prepare`], [`Case::start`], and waiting until it has begun.
    pub(crate) async fn run(keys: &str) -> Self {
        let mut case = Self::prepare().await;
        case.start(keys);
        case.supervisor.wait_for("started: topology");
        case
    }

    /// Publishes bodies to `work`, numbered from 0 by their ids.
    pub(crate) async fn send(&self, bodies: &[&str]) {
        self.outside.publish("work", bodies.iter().map(|body| (*body).to_owned())).await;
    }

    /// Waits until `work` has neither ready messages nor, judging by the ledger, any with a child:
    /// until the children have written down so many different ids.
    pub(crate) fn wait_handled(&self, count: usize) {
        wait_until(&format!("{count} messages handled"), PATIENCE * 2, || {
            self.ledger().len() >= count
        });
    }

    /// Waits until `work` is empty and nobody holds a message of it. An empty queue alone may only
    /// mean that its messages are on their way.
    pub(crate) fn wait_settled(&self) {
        wait_until("all to be settled", PATIENCE, || self.unsettled() == Some(0));
    }

    /// Messages of `work`, those that somebody holds among them.
    pub(crate) fn unsettled(&self) -> Option<u64> {
        self.vhost.messages("work")
    }

    /// The different ids in the file `ledger`, and how often each is there.
    pub(crate) fn ledger(&self) -> BTreeMap<u32, usize> {
        let text = fs::read_to_string(self.supervisor.path("ledger")).unwrap_or_default();
        let mut counts = BTreeMap::new();
        for line in text.lines() {
            *counts.entry(line.parse().expect("a number")).or_default() += 1;
        }
        counts
    }

    /// How often the log has that text.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.supervisor.log().matches(text).count()
    }

    /// Tells it to stop, waits for its end, and reads its books, which must balance.
    pub(crate) fn stop(&mut self, limit: Duration) -> Books {
        self.supervisor.signal(Signal::SIGTERM);
        assert!(self.supervisor.exited(limit).success());
        self.books()
    }

    /// The books of a supervisor that has ended.
    pub(crate) fn books(&self) -> Books {
        let log = self.supervisor.log();
        let mut books = BTreeMap::new();
        for line in log.lines().filter(|line| line.contains(": the books ")) {
            for (name, count) in line.split(' ').filter_map(|word| word.split_once('=')) {
                *books.entry(name.to_owned()).or_default() += count.parse::<u64>().unwrap();
            }
        }
        assert_eq!(books.get("imbalance"), Some(&0), "the books do not balance: {books:?}");
        assert!(!log.contains("panicked"), "something panicked");
        Books(books)
    }
}

/// A consumer in a file, under `consumers:`.
pub(crate) fn consumer(name: &str, queue: &str, keys: &str) -> String {
    let mut text = format!("  {name}:\n    queue: {queue}\n");
    for line in keys.trim().lines() {
        let _ = writeln!(text, "    {}", line.trim());
    }
    text
}
