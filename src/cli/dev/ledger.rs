//! The account of a run: what went in, what came of it, and whether the two agree.
//!
//! Three witnesses are compared: the topology says what must arrive where, the supervisor's
//! counters say what was settled, and the broker says what lies in its queues.

use std::collections::BTreeMap;
use std::fmt::{self, Write as _};

use crate::broker::dead_letters::Cause;
use crate::broker::feed::FeedReport;

/// The messages of one consumed queue.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Account {
    /// The queue.
    pub(super) queue: String,
    /// Its consumers.
    pub(super) consumers: Vec<String>,
    /// Messages that must arrive in it, not counting what comes back to be tried again.
    pub(super) expected: u64,
    /// Messages acked as done.
    pub(super) acked: u64,
    /// Failed tries that were sent to a retry queue.
    pub(super) retried: u64,
    /// Messages dead-lettered, by reason.
    pub(super) dead: BTreeMap<String, u64>,
    /// Messages dropped as the file allows.
    pub(super) discarded: u64,
    /// Messages that the broker moved away by itself, such as by a delivery limit.
    pub(super) moved_by_broker: u64,
    /// Deliveries that the broker marked as made before.
    pub(super) redelivered: u64,
}

impl Account {
    /// Messages that need nothing more.
    pub(super) fn settled(&self) -> u64 {
        self.acked + self.dead.values().sum::<u64>() + self.discarded + self.moved_by_broker
    }

    fn lost(&self) -> u64 {
        self.expected.saturating_sub(self.settled())
    }

    fn duplicates(&self) -> u64 {
        self.settled().saturating_sub(self.expected)
    }
}

/// One queue of dead letters, as counted and as found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct DeadQueue {
    /// The queue.
    pub(super) queue: String,
    /// Messages dead-lettered to it, by consumer and reason.
    pub(super) counted: BTreeMap<(String, String), u64>,
    /// What lies in it.
    pub(super) found: BTreeMap<Cause, u64>,
}

/// The whole account.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// The stack.
    pub(super) stack: String,
    /// What became of the publishes.
    pub(super) feed: FeedReport,
    /// Messages that no binding takes.
    pub(super) expected_unroutable: u64,
    /// Consumed queues.
    pub(super) accounts: Vec<Account>,
    /// Queues of dead letters that nobody consumes.
    pub(super) dead: Vec<DeadQueue>,
    /// Other queues that nobody consumes: name, expected, found.
    pub(super) kept: Vec<(String, u64, u64)>,
    /// Queues that should be empty and are not: name, found.
    pub(super) left: Vec<(String, u64)>,
    /// Deliveries that the counters cannot account for.
    pub(super) imbalance: u128,
}

impl Ledger {
    /// Everything that does not agree; nothing where the ledger balances.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let feed = &self.feed;
        if feed.failed > 0 {
            let why = feed.first_failure.as_deref().unwrap_or("no reason given");
            faults.push(format!("{} messages were not confirmed: {why}", feed.failed));
        }
        if feed.unroutable != self.expected_unroutable {
            faults.push(format!(
                "{} messages were returned, but {} have no binding",
                feed.unroutable, self.expected_unroutable
            ));
        }
        for account in &self.accounts {
            let queue = &account.queue;
            if account.lost() > 0 {
                faults.push(format!("queue `{queue}`: {} messages are lost", account.lost()));
            }
            // At least once: a duplicate is honest only where the broker delivered again.
            if account.duplicates() > account.redelivered {
                faults.push(format!(
                    "queue `{queue}`: {} messages were settled twice, but only {} delivered again",
                    account.duplicates(),
                    account.redelivered
                ));
            }
        }
        for dead in &self.dead {
            for (consumer, reason, counted, found) in dead.rows() {
                if counted != found {
                    faults.push(format!(
                        "queue `{}`: {counted} dead letters of {consumer} ({reason}) were counted, {found} are there",
                        dead.queue
                    ));
                }
            }
        }
        for (queue, expected, found) in &self.kept {
            if expected != found {
                faults
                    .push(format!("queue `{queue}`: {expected} messages expected, {found} there"));
            }
        }
        for (queue, found) in &self.left {
            faults.push(format!("queue `{queue}`: {found} messages are still waiting"));
        }
        if self.imbalance > 0 {
            faults.push(format!("{} deliveries are not accounted for", self.imbalance));
        }
        faults
    }
}

impl DeadQueue {
    /// Consumer, reason, counted, found.
    fn rows(&self) -> Vec<(String, String, u64, u64)> {
        let mut rows: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
        for (key, count) in &self.counted {
            rows.entry(key.clone()).or_default().0 += count;
        }
        for (cause, count) in &self.found {
            match cause {
                Cause::Consumer { consumer, reason } => {
                    rows.entry((consumer.clone(), reason.clone())).or_default().1 += count;
                }
                // Moved by the broker, which no counter of ours has seen.
                Cause::Broker { queue, reason } => {
                    let row = rows.entry((format!("{queue} (broker)"), reason.clone()));
                    let row = row.or_default();
                    *row = (row.0 + count, row.1 + count);
                }
                Cause::Unknown => {
                    rows.entry(("nobody we know".into(), "unknown".into())).or_default().1 += count;
                }
            }
        }
        rows.into_iter().map(|((who, why), (counted, found))| (who, why, counted, found)).collect()
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let feed = &self.feed;
        writeln!(f, "ledger of stack `{}`\n", self.stack)?;
        write!(f, "published {}: {} confirmed", feed.total(), feed.confirmed)?;
        write!(f, ", {} unroutable", feed.unroutable)?;
        if feed.unroutable == self.expected_unroutable {
            write!(f, " as the bindings say")?;
        }
        if feed.failed > 0 {
            write!(f, ", {} failed", feed.failed)?;
        }
        writeln!(f, "\n")?;

        let mut table = Table::new(&[
            "queue",
            "expected",
            "acked",
            "dead-lettered",
            "discarded",
            "lost",
            "duplicates",
            "retried",
        ]);
        for account in &self.accounts {
            let dead = account.dead.values().sum::<u64>() + account.moved_by_broker;
            let counts = [
                account.expected,
                account.acked,
                dead,
                account.discarded,
                account.lost(),
                account.duplicates(),
                account.retried,
            ];
            table.row([account.queue.clone()], counts);
        }
        writeln!(f, "{table}")?;

        if !self.dead.is_empty() {
            let mut table =
                Table::new(&["dead letters in", "from", "reason", "counted", "on the broker"]);
            for dead in &self.dead {
                for (consumer, reason, counted, found) in dead.rows() {
                    table.row([dead.queue.clone(), consumer, reason], [counted, found]);
                }
            }
            writeln!(f, "{table}")?;
        }
        if !self.kept.is_empty() {
            let mut table = Table::new(&["kept in", "expected", "on the broker"]);
            for (queue, expected, found) in &self.kept {
                table.row([queue.clone()], [*expected, *found]);
            }
            writeln!(f, "{table}")?;
        }

        let faults = self.faults();
        for fault in &faults {
            writeln!(f, "error: {fault}")?;
        }
        let settled: u64 = self.accounts.iter().map(Account::settled).sum();
        let lost: u64 = self.accounts.iter().map(Account::lost).sum();
        if faults.is_empty() {
            writeln!(f, "balanced: {settled} deliveries settled, lost {lost}")
        } else {
            writeln!(f, "does not balance: {settled} deliveries settled, lost {lost}")
        }
    }
}

/// Columns as wide as their widest cell: texts to the left, numbers to the right.
struct Table {
    rows: Vec<Vec<(String, bool)>>,
}

impl Table {
    fn new(head: &[&str]) -> Self {
        Self { rows: vec![head.iter().map(|cell| ((*cell).to_owned(), false)).collect()] }
    }

    fn row<const T: usize, const N: usize>(&mut self, texts: [String; T], numbers: [u64; N]) {
        let texts = texts.into_iter().map(|text| (text, false));
        let numbers = numbers.into_iter().map(|number| (number.to_string(), true));
        self.rows.push(texts.chain(numbers).collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let numeric = |column: usize| self.rows.iter().any(|row| row[column].1);
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].0.chars().count()).max().unwrap_or(0)
        };
        for row in &self.rows {
            let mut line = String::new();
            for (column, (cell, _)) in row.iter().enumerate().take(columns) {
                let width = width(column);
                if numeric(column) {
                    write!(line, "{cell:>width$}  ")?;
                } else {
                    write!(line, "{cell:<width$}  ")?;
                }
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}
