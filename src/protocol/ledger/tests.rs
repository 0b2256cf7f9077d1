//! The ledger against a simulated broker channel, and the small cases by hand.

mod million;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::*;
use crate::model::Epoch;
use crate::protocol::{DeliveryId, Reply, Target, Verdict};

fn id(epoch: u32, tag: u64) -> DeliveryId {
    DeliveryId { epoch: Epoch(epoch), tag }
}

fn reply(target: Target, multiple: bool, verdict: Verdict) -> Reply {
    Reply { target, multiple, verdict }
}

fn ack(epoch: u32, tag: u64) -> Reply {
    reply(Target::Id(id(epoch, tag)), false, Verdict::Ack)
}

fn ack_oldest() -> Reply {
    reply(Target::Oldest, false, Verdict::Ack)
}

/// A ledger on epoch 1 that holds tags 1 to `count`.
fn holding(count: u64) -> Ledger<u64> {
    let mut ledger = Ledger::new();
    ledger.open(Epoch(1));
    for tag in 1..=count {
        ledger.deliver(tag, tag).unwrap();
    }
    ledger
}

fn flush(ledger: &mut Ledger<u64>) -> Vec<SettleOp> {
    let mut ops = Vec::new();
    ledger.flush(&mut ops);
    ops
}

fn answer(ledger: &mut Ledger<u64>, reply: &Reply) -> (Answer, Vec<u64>) {
    let mut out = Vec::new();
    let answer = ledger.answer(reply, &mut out);
    (answer, out.into_iter().map(|(_, item)| item).collect())
}

fn settle(ledger: &mut Ledger<u64>, reply: &Reply) {
    assert_eq!(answer(ledger, reply).0, Answer::Settled, "{reply:?}");
}

#[test]
fn contiguous_acks_are_one_call() {
    let mut ledger = holding(5);
    for tag in [2, 1, 3, 5] {
        assert_eq!(answer(&mut ledger, &ack(1, tag)), (Answer::Settled, vec![tag]));
    }
    assert_eq!(
        flush(&mut ledger),
        [SettleOp::Ack { tag: 3, multiple: true }, SettleOp::Ack { tag: 5, multiple: false }]
    );
    assert_eq!(flush(&mut ledger), []);
    assert_eq!(answer(&mut ledger, &ack(1, 4)), (Answer::Settled, vec![4]));
    assert_eq!(flush(&mut ledger), [SettleOp::Ack { tag: 4, multiple: false }]);
    assert_eq!(ledger.held(), Held::default());
}

#[test]
fn a_multiple_ack_never_reaches_over_an_open_delivery() {
    let mut ledger = holding(4);
    for tag in [2, 3, 4] {
        settle(&mut ledger, &ack(1, tag));
    }
    let single = |tag| SettleOp::Ack { tag, multiple: false };
    assert_eq!(flush(&mut ledger), [single(2), single(3), single(4)]);
}

#[test]
fn rejects_and_requeues_split_runs() {
    let mut ledger = holding(6);
    let mut taken = Vec::new();
    for tag in [1, 2, 4, 5] {
        settle(&mut ledger, &ack(1, tag));
    }
    let reject = reply(Target::Id(id(1, 3)), false, Verdict::Reject { reason: None });
    assert_eq!(ledger.answer(&reject, &mut taken), Answer::Taken);
    assert!(ledger.resolve(id(1, 3), Settlement::Reject));
    let requeue = reply(Target::Id(id(1, 6)), false, Verdict::Requeue);
    assert_eq!(answer(&mut ledger, &requeue).0, Answer::Settled);
    assert_eq!(
        flush(&mut ledger),
        [
            SettleOp::Ack { tag: 2, multiple: true },
            SettleOp::Reject { tag: 3 },
            SettleOp::Ack { tag: 5, multiple: true },
            SettleOp::Requeue { tag: 6, multiple: false },
        ]
    );
}

#[test]
fn the_first_answer_wins() {
    let mut ledger = holding(2);
    let nack = reply(Target::Id(id(1, 1)), false, Verdict::Nack { reason: None });
    assert_eq!(answer(&mut ledger, &nack), (Answer::Taken, vec![1]));
    assert_eq!(answer(&mut ledger, &ack(1, 1)), (Answer::Repeated, vec![]));
    assert_eq!(flush(&mut ledger), []);
    assert!(ledger.resolve(id(1, 1), Settlement::Ack));
    assert!(!ledger.resolve(id(1, 1), Settlement::Reject));
    assert_eq!(flush(&mut ledger), [SettleOp::Ack { tag: 1, multiple: false }]);
    assert_eq!(answer(&mut ledger, &ack(1, 1)), (Answer::Repeated, vec![]));
}

#[test]
fn ids_that_never_were_are_unknown() {
    let mut ledger = holding(1);
    for (epoch, tag) in [(1, 2), (1, 0), (1, u64::MAX), (0, 1), (2, 1)] {
        assert_eq!(answer(&mut ledger, &ack(epoch, tag)).0, Answer::Unknown, "{epoch}-{tag}");
    }
    assert_eq!(answer(&mut ledger, &ack_oldest()), (Answer::Settled, vec![1]));
    assert_eq!(answer(&mut ledger, &ack_oldest()).0, Answer::Unknown);
}

#[test]
fn ghosts_keep_their_place_among_answers_without_an_id() {
    let mut ledger = holding(2);
    assert_eq!(ledger.open(Epoch(2)), Lost { unanswered: 2, ..Lost::default() });
    ledger.deliver(1, 11).unwrap();
    assert_eq!(answer(&mut ledger, &ack_oldest()), (Answer::Stale, vec![]));
    assert_eq!(ledger.held().ghosts, 1);
    assert_eq!(answer(&mut ledger, &ack(1, 2)), (Answer::Stale, vec![]));
    assert_eq!(answer(&mut ledger, &ack_oldest()), (Answer::Settled, vec![11]));
    assert_eq!(flush(&mut ledger), [SettleOp::Ack { tag: 1, multiple: false }]);
}

#[test]
fn a_lost_channel_takes_everything_with_it() {
    let mut ledger = holding(4);
    settle(&mut ledger, &ack(1, 1));
    assert_eq!(ledger.take(id(1, 2)), Some(2));
    assert_eq!(ledger.close(), Lost { unanswered: 2, parked: 0, resolving: 1, unflushed: 1 });
    assert_eq!(flush(&mut ledger), []);
    assert!(!ledger.resolve(id(1, 2), Settlement::Ack));
    assert_eq!(ledger.deliver(5, 5), Err(BadTag::Closed { tag: 5 }));
    assert_eq!(answer(&mut ledger, &ack(1, 3)).0, Answer::Stale);
    ledger.open(Epoch(2));
    assert_eq!(ledger.deliver(5, 5), Err(BadTag::NotNext { tag: 5, expected: 1 }));
    assert!(!ledger.resolve(id(1, 2), Settlement::Ack));
}

#[test]
fn multiple_answers_all_older_ones() {
    let mut ledger = holding(2);
    ledger.open(Epoch(2));
    for tag in 1..=4 {
        ledger.deliver(tag, tag).unwrap();
    }
    settle(&mut ledger, &ack(2, 2));
    let upto = reply(Target::Id(id(2, 3)), true, Verdict::Ack);
    assert_eq!(answer(&mut ledger, &upto), (Answer::Settled, vec![1, 3]));
    assert_eq!(answer(&mut ledger, &upto), (Answer::Repeated, vec![]));
    assert_eq!(ledger.held(), Held { unanswered: 1, unflushed: 3, ..Held::default() });
    assert_eq!(flush(&mut ledger), [SettleOp::Ack { tag: 3, multiple: true }]);
}

#[test]
fn a_dead_child_gives_everything_back() {
    let mut ledger = holding(2);
    ledger.open(Epoch(2));
    ledger.deliver(1, 1).unwrap();
    ledger.deliver(2, 2).unwrap();
    let mut taken = Vec::new();
    ledger.abandon(&mut taken);
    assert_eq!(taken, [(id(2, 1), 1), (id(2, 2), 2)]);
    assert_eq!(ledger.held(), Held { resolving: 2, ..Held::default() });
    for (id, _) in taken {
        assert!(ledger.resolve(id, Settlement::Requeue));
    }
    assert_eq!(flush(&mut ledger), [SettleOp::Requeue { tag: 2, multiple: true }]);
}

#[test]
fn what_is_parked_waits_for_the_next_child_and_takes_no_answer() {
    let mut ledger = holding(3);
    settle(&mut ledger, &ack(1, 2));
    let mut parked = Vec::new();
    ledger.park(&mut parked);
    assert_eq!(parked, [id(1, 1), id(1, 3)]);
    assert_eq!(ledger.held(), Held { parked: 2, unflushed: 1, ..Held::default() });
    assert_eq!(answer(&mut ledger, &ack(1, 1)).0, Answer::Unknown);
    assert_eq!(answer(&mut ledger, &ack_oldest()).0, Answer::Unknown);
    assert!(ledger.hand_over(id(1, 1)));
    assert!(!ledger.hand_over(id(1, 1)));
    assert_eq!(ledger.oldest(), Some(id(1, 1)));
    let upto = reply(Target::Id(id(1, 1)), true, Verdict::Ack);
    assert_eq!(answer(&mut ledger, &upto), (Answer::Settled, vec![1]));
    assert_eq!(flush(&mut ledger), [SettleOp::Ack { tag: 2, multiple: true }]);
    // No child has it, so nobody owes an answer to it.
    assert_eq!(ledger.close(), Lost { parked: 1, ..Lost::default() });
    assert_eq!(ledger.held(), Held::default());
    assert!(!ledger.hand_over(id(1, 3)));
}

#[test]
fn memory_follows_what_is_unsettled() {
    let mut ledger = holding(1);
    for tag in 2..=100_000 {
        ledger.deliver(tag, tag).unwrap();
        settle(&mut ledger, &ack(1, tag));
        flush(&mut ledger);
        assert!(ledger.slots.len() < 200, "one slow message keeps {} slots", ledger.slots.len());
    }
    assert_eq!(answer(&mut ledger, &ack(1, 50_000)).0, Answer::Repeated);
    assert_eq!(answer(&mut ledger, &ack_oldest()), (Answer::Settled, vec![1]));
    assert_eq!(flush(&mut ledger), [SettleOp::Ack { tag: 1, multiple: false }]);
    assert!(ledger.slots.is_empty());
}

/// One channel as RabbitMQ keeps it: outstanding tags, and an error for any other.
#[derive(Default)]
struct Channel {
    outstanding: BTreeSet<u64>,
    settled: BTreeMap<u64, Settlement>,
}

impl Channel {
    fn apply(&mut self, op: SettleOp) {
        let (tag, multiple, settlement) = match op {
            SettleOp::Ack { tag, multiple } => (tag, multiple, Settlement::Ack),
            SettleOp::Requeue { tag, multiple } => (tag, multiple, Settlement::Requeue),
            SettleOp::Reject { tag } => (tag, false, Settlement::Reject),
        };
        assert!(self.outstanding.contains(&tag), "406: unknown delivery tag {tag}");
        let from = if multiple { 0 } else { tag };
        let gone: Vec<u64> = self.outstanding.range(from..=tag).copied().collect();
        for tag in gone {
            self.outstanding.remove(&tag);
            assert!(self.settled.insert(tag, settlement).is_none(), "{tag} settled twice");
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Open,
    Close,
    Deliver(u8),
    /// Answer by position among everything ever delivered.
    Answer(prop::sample::Index, bool, u8),
    Oldest(u8),
    Resolve(prop::sample::Index, u8),
    Take(prop::sample::Index),
    Park,
    HandOver(prop::sample::Index),
    Abandon,
    Flush,
}

fn step() -> impl Strategy<Value = Step> {
    use prop::sample::Index;
    prop_oneof![
        1 => Just(Step::Open),
        1 => Just(Step::Close),
        8 => (1_u8..8).prop_map(Step::Deliver),
        12 => (any::<Index>(), prop::bool::weighted(0.2), 0_u8..6)
            .prop_map(|(at, multiple, verdict)| Step::Answer(at, multiple, verdict)),
        6 => (0_u8..6).prop_map(Step::Oldest),
        6 => (any::<Index>(), 0_u8..3).prop_map(|(at, how)| Step::Resolve(at, how)),
        1 => any::<Index>().prop_map(Step::Take),
        1 => Just(Step::Park),
        4 => any::<Index>().prop_map(Step::HandOver),
        1 => Just(Step::Abandon),
        6 => Just(Step::Flush),
    ]
}

fn verdict(number: u8) -> Verdict {
    match number {
        0 | 1 => Verdict::Ack,
        2 => Verdict::Nack { reason: None },
        3 => Verdict::Reject { reason: None },
        4 => Verdict::Requeue,
        _ => Verdict::Extend(std::time::Duration::from_secs(1)),
    }
}

fn settlement(number: u8) -> Settlement {
    [Settlement::Ack, Settlement::Requeue, Settlement::Reject][usize::from(number % 3)]
}

/// The ledger, the channels it talks to, and what each delivery may be settled as.
struct World {
    ledger: Ledger<DeliveryId>,
    epoch: u32,
    open: bool,
    channels: BTreeMap<Epoch, Channel>,
    delivered: Vec<DeliveryId>,
    /// What the child or the caller decided, once.
    intended: BTreeMap<DeliveryId, Settlement>,
    taken: Vec<DeliveryId>,
    /// With no child.
    parked: BTreeSet<DeliveryId>,
    next_tag: u64,
}

impl World {
    fn new() -> Self {
        Self {
            ledger: Ledger::new(),
            epoch: 0,
            open: false,
            channels: BTreeMap::new(),
            delivered: Vec::new(),
            intended: BTreeMap::new(),
            taken: Vec::new(),
            parked: BTreeSet::new(),
            next_tag: 1,
        }
    }

    fn answer(&mut self, reply: &Reply) {
        let mut out = Vec::new();
        let answer = self.ledger.answer(reply, &mut out);
        assert!(out.iter().all(|(id, item)| id == item), "another message came back");
        assert!(out.is_sorted_by_key(|(id, _)| *id));
        assert_eq!(!out.is_empty(), matches!(answer, Answer::Settled | Answer::Taken));
        for (id, _) in out {
            assert_eq!(id.epoch, Epoch(self.epoch), "a message of a channel that is gone");
            assert!(!self.parked.contains(&id), "an answer to what no child has");
            match reply.verdict {
                Verdict::Ack => self.intend(id, Settlement::Ack),
                Verdict::Requeue => self.intend(id, Settlement::Requeue),
                _ => self.taken.push(id),
            }
        }
    }

    fn intend(&mut self, id: DeliveryId, settlement: Settlement) {
        assert!(self.intended.insert(id, settlement).is_none(), "{id} was decided twice");
    }

    fn resolve(&mut self, id: DeliveryId, settlement: Settlement) {
        let taken = self.taken.iter().position(|&taken| taken == id);
        let current = self.open && id.epoch == Epoch(self.epoch);
        let accepted = self.ledger.resolve(id, settlement);
        assert_eq!(accepted, taken.is_some() && current, "resolve {id}");
        if let Some(place) = taken {
            self.taken.swap_remove(place);
            if accepted {
                self.intend(id, settlement);
            }
        }
    }

    fn abandon(&mut self) {
        let mut out = Vec::new();
        self.ledger.abandon(&mut out);
        self.parked.clear();
        self.taken.extend(out.into_iter().map(|(id, _)| id));
    }

    fn flush(&mut self) {
        let mut ops = Vec::new();
        let Some(epoch) = self.ledger.flush(&mut ops) else {
            assert!(ops.is_empty());
            return;
        };
        assert!(self.open && epoch == Epoch(self.epoch), "a call for a channel that is gone");
        let channel = self.channels.get_mut(&epoch).expect("opened");
        for op in ops {
            channel.apply(op);
        }
    }

    fn run(&mut self, step: Step) {
        match step {
            Step::Open => {
                self.epoch += 1;
                self.open = true;
                self.parked.clear();
                self.next_tag = 1;
                self.ledger.open(Epoch(self.epoch));
                self.channels.insert(Epoch(self.epoch), Channel::default());
            }
            Step::Close => {
                self.open = false;
                self.parked.clear();
                self.ledger.close();
            }
            Step::Deliver(count) if self.open => {
                for _ in 0..count {
                    let id = id(self.epoch, self.next_tag);
                    assert_eq!(self.ledger.deliver(self.next_tag, id), Ok(id));
                    let channel = self.channels.get_mut(&id.epoch).expect("opened");
                    channel.outstanding.insert(id.tag);
                    self.delivered.push(id);
                    self.next_tag += 1;
                }
            }
            Step::Answer(at, multiple, how) if !self.delivered.is_empty() => {
                let id = *at.get(&self.delivered);
                self.answer(&reply(Target::Id(id), multiple, verdict(how)));
            }
            Step::Oldest(how) => self.answer(&reply(Target::Oldest, false, verdict(how))),
            Step::Resolve(at, how) if !self.delivered.is_empty() => {
                // Mostly something that waits for it, at times anything at all.
                let all = if self.taken.is_empty() { &self.delivered } else { &self.taken };
                let id = *at.get(all);
                self.resolve(id, settlement(how));
            }
            Step::Take(at) if !self.delivered.is_empty() => {
                let id = *at.get(&self.delivered);
                if let Some(taken) = self.ledger.take(id) {
                    self.parked.remove(&taken);
                    self.taken.push(taken);
                }
            }
            Step::Park => {
                let mut parked = Vec::new();
                self.ledger.park(&mut parked);
                self.parked.extend(parked);
            }
            Step::HandOver(at) if !self.delivered.is_empty() => {
                let id = *at.get(&self.delivered);
                assert_eq!(self.ledger.hand_over(id), self.parked.remove(&id), "{id}");
            }
            Step::Abandon => self.abandon(),
            Step::Flush => self.flush(),
            Step::Deliver(_)
            | Step::Answer(..)
            | Step::Resolve(..)
            | Step::Take(_)
            | Step::HandOver(_) => {}
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn each_delivery_is_settled_at_most_once_and_as_answered(
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let mut world = World::new();
        for step in steps {
            world.run(step);
            let held = world.ledger.held();
            prop_assert!(
                world.ledger.slots.len() <= 2 * (held.unanswered + held.parked + held.resolving + held.unflushed) + 65
            );
        }
        // Everything gets an answer in the end.
        world.abandon();
        for id in world.taken.clone() {
            world.resolve(id, Settlement::Requeue);
        }
        world.flush();
        prop_assert_eq!(world.ledger.held(), Held::default());
        prop_assert!(world.ledger.slots.is_empty());
        for (&epoch, channel) in &world.channels {
            for (&tag, settled) in &channel.settled {
                prop_assert_eq!(world.intended.get(&DeliveryId { epoch, tag }), Some(settled));
            }
        }
        if world.open {
            let channel = &world.channels[&Epoch(world.epoch)];
            prop_assert!(channel.outstanding.is_empty(), "left: {:?}", channel.outstanding);
        }
    }
}
