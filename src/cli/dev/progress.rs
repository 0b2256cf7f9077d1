//! What is drawn while it lasts.

use std::collections::BTreeMap;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use super::ledger::Account;
use crate::telemetry;

/// Something turning beside a text; to be finished by the caller.
pub(super) fn spinner(text: &'static str) -> ProgressBar {
    let spinner = telemetry::progress().add(ProgressBar::new_spinner().with_message(text));
    spinner.enable_steady_tick(Duration::from_millis(100));
    spinner
}

/// A bar for what is published and one for each queue.
pub(super) struct Progress {
    feed: ProgressBar,
    queues: BTreeMap<String, ProgressBar>,
}

impl Progress {
    /// Draws the first bar, for a feed of so many bytes.
    pub(super) fn new(bytes: u64) -> Self {
        let feed = ProgressBar::new(bytes)
            .with_style(style("publish  {wide_bar:.green} {msg}"))
            .with_message("0 messages");
        Self { feed: telemetry::progress().add(feed), queues: BTreeMap::new() }
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
                    .with_prefix(account.queue.clone());
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
