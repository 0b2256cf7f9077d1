//! Publishes a feed into a running stack and waits until all of it is settled.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, interval, sleep};
use tokio_util::task::TaskTracker;

use super::account::{Inspector, accounts, consumers};
use super::expected::Expected;
use super::ledger::Ledger;
use super::progress::Progress;
use crate::broker::amqp::{ConnectError, Dialler, Dialling, Link, Publisher};
use crate::broker::feed::{FeedError, FeedReport, pump};
use crate::engine::Command;
use crate::model::Desired;
use crate::telemetry::{ConnectionRole, Registry};

/// How often progress is drawn and the end is looked for.
const LOOK: Duration = Duration::from_millis(100);

/// How long nothing may move, beyond the longest retry delay, before the wait is given up.
const STALLED: Duration = Duration::from_mins(1);

/// How long the stack may take to be up.
const UP: Duration = Duration::from_mins(1);

/// Why the feed could not be accounted for.
#[derive(Debug, thiserror::Error)]
pub(super) enum FeedingError {
    #[error("cannot open the feed `{}`: {source}", path.display())]
    Open { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Feed(#[from] FeedError),
    #[error("the stack is not up after {} s", UP.as_secs())]
    NotUp,
    #[error("the stack names no broker")]
    NoEndpoint,
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error("the broker refuses: {0}")]
    Broker(#[from] lapin::Error),
    #[error("the broker does not answer")]
    NoAnswer,
}

/// A stack that runs, and the means to watch and stop it.
pub(super) struct Feeding<'a> {
    /// What runs.
    pub(super) desired: &'a Desired,
    /// Its counters.
    pub(super) registry: &'a Registry,
    /// Its controls.
    pub(super) command: &'a Command,
}

impl Feeding<'_> {
    /// Publishes the feed, waits until nothing is left to do, and accounts for it; `None` where
    /// the stack is stopped before that.
    pub(super) async fn run(
        &self,
        feed: &Path,
        exchange: &str,
    ) -> Result<Option<Ledger>, FeedingError> {
        let work = async {
            self.up().await?;
            self.feed(feed, exchange).await
        };
        tokio::select! {
            ledger = work => ledger.map(Some),
            () = self.command.drain.cancelled() => Ok(None),
        }
    }

    /// Waits until the queues are there: what is published before that goes nowhere.
    async fn up(&self) -> Result<(), FeedingError> {
        let deadline = Instant::now() + UP;
        while self.registry.status().config.last_reload_ok.is_none() {
            if Instant::now() > deadline {
                return Err(FeedingError::NotUp);
            }
            sleep(LOOK).await;
        }
        Ok(())
    }

    async fn feed(&self, path: &Path, exchange: &str) -> Result<Ledger, FeedingError> {
        let open = |source| FeedingError::Open { path: path.to_owned(), source };
        let file = tokio::fs::File::open(path).await.map_err(open)?;
        let bytes = file.metadata().await.map_err(open)?.len();
        let expected = RefCell::new(Expected::new(self.desired, exchange));
        let queues = consumers(self.desired).map(|consumer| consumer.queue.as_str());
        let mut progress = Progress::new(bytes, queues);
        let report = self.publish(file, exchange, &expected, &mut progress).await?;
        progress.published(bytes, report.total());
        self.settle(&expected.into_inner(), &mut progress, report).await
    }

    async fn publish(
        &self,
        file: tokio::fs::File,
        exchange: &str,
        expected: &RefCell<Expected<'_>>,
        progress: &mut Progress,
    ) -> Result<FeedReport, FeedingError> {
        let tasks = TaskTracker::new();
        let broker = &self.desired.broker;
        let dialling = Dialling::new(broker.endpoints.len());
        // A registry of its own: this connection is no part of the stack.
        let dialler = Dialler::new(broker, dialling, "feed".into(), Registry::new(), tasks);
        let link = Arc::new(Link::start(&dialler, ConnectionRole::Publish));
        let publisher = Publisher::start(&link);
        let latest = Cell::new((0, 0));
        let source = tokio::io::BufReader::new(file);
        let see = |line: &_| expected.borrow_mut().see(line);
        let show = |bytes, report: &FeedReport| latest.set((bytes, report.total()));
        let mut publish = pin!(pump(&publisher, source, exchange, see, show));
        let mut draw = interval(LOOK);
        loop {
            tokio::select! {
                report = &mut publish => return Ok(report?),
                _ = draw.tick() => {
                    let (bytes, messages) = latest.get();
                    progress.published(bytes, messages);
                    let status = self.registry.status();
                    progress.settled(&accounts(self.desired, &expected.borrow(), &status));
                }
            }
        }
    }

    /// Waits until every message is settled or nothing moves any more.
    async fn settle(
        &self,
        expected: &Expected<'_>,
        progress: &mut Progress,
        report: FeedReport,
    ) -> Result<Ledger, FeedingError> {
        let inspector = Inspector::connect(self.desired).await?;
        let patience = STALLED + self.longest_delay();
        let (mut before, mut since) = (None, Instant::now());
        loop {
            let status = self.registry.status();
            let now = accounts(self.desired, expected, &status);
            progress.settled(&now);
            let in_flight: u64 = status.consumers.values().map(|c| c.in_flight).sum();
            let all = now.iter().all(|account| account.settled() >= account.expected);
            if all && in_flight == 0 && inspector.waiting().await?.is_empty() {
                // Taken before the queues were looked at, which may have let one more arrive.
                if accounts(self.desired, expected, &self.registry.status()) == now {
                    break;
                }
            }
            if before.as_ref() != Some(&now) {
                (before, since) = (Some(now), Instant::now());
            } else if since.elapsed() > patience {
                tracing::warn!(
                    "nothing has moved for {} s; not waiting longer",
                    patience.as_secs()
                );
                break;
            }
            sleep(LOOK).await;
        }
        inspector.ledger(expected, &self.registry.status(), report).await
    }

    fn longest_delay(&self) -> Duration {
        let retries = consumers(self.desired).filter_map(|c| c.retry.as_ref());
        retries.flat_map(|retry| retry.delays.iter().copied()).max().unwrap_or_default()
    }
}
