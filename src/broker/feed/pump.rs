//! From lines to confirms.

use std::io;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncBufRead, AsyncBufReadExt};

use super::line::{BadLine, FeedLine};
use crate::broker::amqp::{PublishError, Publisher};

/// Messages that wait for their confirms at once.
const UNDER_WAY: usize = 256;

/// What became of the messages of a feed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedReport {
    /// Taken by a queue and stored.
    pub confirmed: u64,
    /// Returned: no queue takes messages with that key from that exchange.
    pub unroutable: u64,
    /// Neither; with the first reason.
    pub failed: u64,
    /// Why the first of those failed.
    pub first_failure: Option<String>,
}

impl FeedReport {
    /// All messages whose fate is known or given up.
    pub fn total(&self) -> u64 {
        self.confirmed + self.unroutable + self.failed
    }

    fn count(&mut self, outcome: Result<(), PublishError>) {
        match outcome {
            Ok(()) => self.confirmed += 1,
            Err(PublishError::Returned(_)) => self.unroutable += 1,
            Err(error) => {
                self.failed += 1;
                self.first_failure.get_or_insert_with(|| error.to_string());
            }
        }
    }
}

/// Why a feed ended early. What was published before that stays published.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// A line is no message.
    #[error("line {number} of the feed is no message: {source}")]
    Line {
        /// Its number, from 1.
        number: u64,
        /// Why.
        source: BadLine,
    },
    /// The feed cannot be read.
    #[error("cannot read the feed: {0}")]
    Read(#[from] io::Error),
}

/// Publishes every line of `source`, those without an exchange to `exchange`, and waits for all
/// confirms. Messages may overtake one another. Blank lines are passed over.
///
/// `seen` is called with each message before it is published, and may refuse it; `progress` with the number of
/// bytes read so far and the report so far.
pub async fn pump(
    publisher: &Publisher,
    mut source: impl AsyncBufRead + Unpin,
    exchange: &str,
    mut seen: impl FnMut(&FeedLine) -> Result<(), BadLine>,
    mut progress: impl FnMut(u64, &FeedReport),
) -> Result<FeedReport, FeedError> {
    let mut report = FeedReport::default();
    let mut under_way = FuturesUnordered::new();
    let (mut text, mut bytes, mut number) = (String::new(), 0, 0);
    loop {
        text.clear();
        let length = source.read_line(&mut text).await?;
        if length == 0 {
            break;
        }
        bytes += length as u64;
        number += 1;
        if text.trim().is_empty() {
            continue;
        }
        let line = FeedLine::parse(&text)
            .and_then(|line| seen(&line).map(|()| line))
            .map_err(|source| FeedError::Line { number, source })?;
        under_way.push(publisher.publish(line.into_outgoing(exchange)));
        if under_way.len() >= UNDER_WAY
            && let Some(outcome) = under_way.next().await
        {
            report.count(outcome);
            progress(bytes, &report);
        }
    }
    while let Some(outcome) = under_way.next().await {
        report.count(outcome);
        progress(bytes, &report);
    }
    Ok(report)
}
