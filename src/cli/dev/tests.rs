//! The ledger: what balances, what does not, and how it reads.

use std::collections::BTreeMap;

use insta::assert_snapshot;

use super::ledger::{Account, DeadQueue, Ledger};
use crate::broker::dead_letters::Cause;
use crate::broker::feed::FeedReport;

fn ours(consumer: &str, reason: &str) -> Cause {
    Cause::Consumer { consumer: consumer.into(), reason: reason.into() }
}

fn balanced() -> Ledger {
    let key = |reason: &str| ("billing".to_owned(), reason.to_owned());
    Ledger {
        stack: "orders".into(),
        feed: FeedReport { confirmed: 100, unroutable: 3, ..FeedReport::default() },
        expected_unroutable: 3,
        accounts: vec![Account {
            queue: "billing".into(),
            consumers: vec!["billing".into()],
            expected: 100,
            acked: 93,
            retried: 12,
            dead: BTreeMap::from([("rejected".into(), 5), ("exhausted".into(), 2)]),
            ..Account::default()
        }],
        dead: vec![DeadQueue {
            queue: "billing.dead".into(),
            counted: BTreeMap::from([(key("rejected"), 5), (key("exhausted"), 2)]),
            found: BTreeMap::from([
                (ours("billing", "rejected"), 5),
                (ours("billing", "exhausted"), 2),
            ]),
        }],
        kept: vec![("archive".into(), 100, 100)],
        ..Ledger::default()
    }
}

#[test]
fn a_balanced_ledger() {
    let ledger = balanced();
    assert_eq!(ledger.faults(), Vec::<String>::new());
    assert_snapshot!(ledger, @r"
    ledger of stack `orders`

    published 103: 100 confirmed, 3 unroutable as the bindings say

    queue    expected  acked  dead-lettered  discarded  lost  duplicates  retried
    billing       100     93              7          0     0           0       12

    dead letters in  from     reason     counted  on the broker
    billing.dead     billing  exhausted        2              2
    billing.dead     billing  rejected         5              5

    kept in  expected  on the broker
    archive       100            100

    balanced: 100 deliveries settled, lost 0
    ");
}

#[track_caller]
fn fault(spoil: impl FnOnce(&mut Ledger)) -> String {
    let mut ledger = balanced();
    spoil(&mut ledger);
    let faults = ledger.faults().join("\n");
    assert!(!faults.is_empty(), "the ledger balances all the same");
    assert!(ledger.to_string().contains("\ndoes not balance: "), "{ledger}");
    faults
}

#[test]
fn every_witness_is_heard() {
    assert_snapshot!(fault(|l| l.accounts[0].acked -= 1), @"queue `billing`: 1 messages are lost");
    assert_snapshot!(
        fault(|l| l.accounts[0].acked += 2),
        @"queue `billing`: 2 messages were settled twice, but only 0 delivered again"
    );
    assert_snapshot!(
        fault(|l| l.dead[0].found = BTreeMap::from([(ours("billing", "rejected"), 7)])),
        @r"
    queue `billing.dead`: 2 dead letters of billing (exhausted) were counted, 0 are there
    queue `billing.dead`: 5 dead letters of billing (rejected) were counted, 7 are there
    "
    );
    assert_snapshot!(
        fault(|l| *l.dead[0].found.entry(Cause::Unknown).or_default() += 1),
        @"queue `billing.dead`: 0 dead letters of nobody we know (unknown) were counted, 1 are there"
    );
    assert_snapshot!(
        fault(|l| l.kept[0].2 = 99),
        @"queue `archive`: 100 messages expected, 99 there"
    );
    assert_snapshot!(
        fault(|l| l.left.push(("billing.retry.1s".into(), 4))),
        @"queue `billing.retry.1s`: 4 messages are still waiting"
    );
    assert_snapshot!(
        fault(|l| l.feed.unroutable = 0),
        @"0 messages were returned, but 3 have no binding"
    );
    assert_snapshot!(
        fault(|l| {
            l.feed.failed = 1;
            l.feed.first_failure = Some("the broker refused to store it".into());
        }),
        @"1 messages were not confirmed: the broker refused to store it"
    );
    assert_snapshot!(fault(|l| l.imbalance = 9), @"9 deliveries are not accounted for");
}

#[test]
fn what_came_twice_may_be_settled_twice() {
    let mut ledger = balanced();
    ledger.accounts[0].acked += 2;
    ledger.accounts[0].redelivered = 2;
    assert_eq!(ledger.faults(), Vec::<String>::new());
}

#[test]
fn what_the_broker_moves_is_not_lost() {
    let mut ledger = balanced();
    let account = &mut ledger.accounts[0];
    account.acked -= 1;
    account.moved_by_broker += 1;
    let cause = Cause::Broker { queue: "billing".into(), reason: "delivery_limit".into() };
    ledger.dead[0].found.insert(cause, 1);
    assert_eq!(ledger.faults(), Vec::<String>::new());
    assert!(ledger.to_string().contains("billing (broker)"), "{ledger}");
}
