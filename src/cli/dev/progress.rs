//! What is drawn while it lasts.

use std::collections::BTreeMap;

use indicatif::{ProgressBar, ProgressStyle};

use super::ledger::Account;
use crate::telemetry;

/// A bar for what is published and one for each queue.
pub(super) struct Progress {
    feed: ProgressBar,
    queues: BTreeMap<String, ProgressBar>,
    /// Columns for the names of queues.
    width: usize,
}

impl Progress {
    /// Draws the first bar, for a feed of so many bytes.
    pub(super) fn new<'a>(bytes: u64, queues: impl Iterator<Item = &'a str>) -> Self {
        let feeding = "publishing";
        let widths = queues.chain([feeding]).map(|name| name.chars().count());
        let width = widths.max().unwrap_or(0);
        let feed = ProgressBar::new(bytes)
            .with_style(style("{prefix}  {wide_bar:.green} {msg}"))
            .with_prefix(format!("{feeding:<width$}"))
            .with_message("0 messages");
        Self { feed: telemetry::progress().add(feed), queues: BTreeMap::new(), width }
    }

    /// So much of the feed is published.
    pub(super) fn published(&self, bytes: u64, messages: u64) {
        self.feed.set_position(bytes);
        self.feed.set_message(format!("{messages} messages"));
    }

    /// So much of it is settled.
    pub(super) fn settled(&mut self, accounts: &[Account]) {
        for account in accounts {
            let bar = self.queues.entry(account.queue.clone()).or_insert_with(|| {
                let bar = ProgressBar::new(0)
                    .with_style(style("{prefix}  {wide_bar:.cyan} {pos}/{len}  {msg}"))
                    .with_prefix(format!("{:<1$}", account.queue, self.width));
                telemetry::progress().add(bar)
            });
            let dead: u64 = account.dead.values().sum();
            bar.set_length(account.expected);
            bar.set_position(account.settled());
            bar.set_message(format!(
                "{} acked, {} retried, {dead} dead-lettered",
                account.acked, account.retried
            ));
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        for bar in self.queues.values().chain([&self.feed]) {
            bar.finish_and_clear();
        }
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}
