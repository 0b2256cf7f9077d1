//! A million short lives of a worker, each another order of deliveries, answers, timeouts, deaths
//! of the child and losses of the channel: whatever comes, the broker hears of each delivery at
//! most once, on the channel that delivered it, and what was decided first.
//!
//! `proptest` shrinks what it finds, and takes a minute for what this does in seconds; so it has
//! the long lives, beside this, and the number is made here. `WARRENER_CASES` is another number.

use std::time::Duration;

use crate::model::Epoch;
use crate::protocol::ledger::{Answer, Held, Ledger, SettleOp, Settlement};
use crate::protocol::{DeliveryId, Reply, Target, Verdict};

const CASES: u64 = 1_000_000;

/// Events in one life, and so tags and epochs at most.
const EVENTS: usize = 16;

/// Xorshift: the same lives in each run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).expect("31 bits") % limit
    }
}

/// What was decided of each delivery, by epoch and tag.
type Table = [[Option<Settlement>; EVENTS + 1]; EVENTS + 1];

struct Life {
    chance: Chance,
    ledger: Ledger<DeliveryId>,
    epoch: usize,
    open: bool,
    /// The last tag of each epoch.
    last: [usize; EVENTS + 1],
    /// The tags that the broker waits for on the open channel, as bits.
    outstanding: u32,
    intended: Table,
    settled: Table,
    taken: Vec<DeliveryId>,
    out: Vec<(DeliveryId, DeliveryId)>,
    parked: Vec<DeliveryId>,
    ops: Vec<SettleOp>,
}

impl Life {
    fn new(seed: u64) -> Self {
        Self {
            chance: Chance(seed),
            ledger: Ledger::new(),
            epoch: 0,
            open: false,
            last: [0; EVENTS + 1],
            outstanding: 0,
            intended: [[None; EVENTS + 1]; EVENTS + 1],
            settled: [[None; EVENTS + 1]; EVENTS + 1],
            taken: Vec::new(),
            out: Vec::new(),
            parked: Vec::new(),
            ops: Vec::new(),
        }
    }

    /// Any delivery there ever was, mostly one of the newest channel, at times one that never was.
    fn anyone(&mut self) -> DeliveryId {
        let epoch = match self.chance.below(4) {
            0 => self.chance.below(self.epoch + 1),
            _ => self.epoch,
        };
        let tag = self.chance.below(self.last[epoch] + 2) as u64;
        DeliveryId { epoch: Epoch(u32::try_from(epoch).expect("small")), tag }
    }

    fn intend(&mut self, id: DeliveryId, settlement: Settlement) {
        assert_eq!(
            id.epoch,
            Epoch(u32::try_from(self.epoch).expect("small")),
            "{id} is of another channel"
        );
        let place = &mut self.intended[self.epoch][usize::try_from(id.tag).expect("small")];
        assert!(place.replace(settlement).is_none(), "{id} was decided twice");
    }

    fn answer(&mut self, target: Target, multiple: bool) {
        let verdict = match self.chance.below(5) {
            0 | 1 => Verdict::Ack,
            2 => Verdict::Nack { reason: None },
            3 => Verdict::Requeue,
            _ => Verdict::Extend(Duration::from_secs(1)),
        };
        let reply = Reply { target, multiple, verdict };
        let mut out = std::mem::take(&mut self.out);
        let answer = self.ledger.answer(&reply, &mut out);
        assert_eq!(out.is_empty(), !matches!(answer, Answer::Settled | Answer::Taken));
        for (id, item) in out.drain(..) {
            assert_eq!(id, item);
            assert!(!self.parked.contains(&id), "{id} is with no child");
            match reply.verdict {
                Verdict::Ack => self.intend(id, Settlement::Ack),
                Verdict::Requeue => self.intend(id, Settlement::Requeue),
                _ => self.taken.push(id),
            }
        }
        self.out = out;
    }

    fn resolve(&mut self, id: DeliveryId) {
        let settlement =
            [Settlement::Ack, Settlement::Requeue, Settlement::Reject][self.chance.below(3)];
        let place = self.taken.iter().position(|taken| *taken == id);
        let current = self.open && id.epoch.0 as usize == self.epoch;
        assert_eq!(self.ledger.resolve(id, settlement), place.is_some() && current, "{id}");
        if let Some(place) = place {
            self.taken.swap_remove(place);
            if current {
                self.intend(id, settlement);
            }
        }
    }

    fn keep(&mut self) {
        let id = self.taken.last().copied().unwrap_or_else(|| self.anyone());
        let place = self.taken.iter().position(|taken| *taken == id);
        let current = self.open && id.epoch.0 as usize == self.epoch;
        assert_eq!(self.ledger.keep(id, id), place.is_some() && current, "{id}");
        if let Some(place) = place {
            self.taken.swap_remove(place);
            if current {
                self.parked.push(id);
            }
        }
    }

    fn flush(&mut self) {
        self.ops.clear();
        let Some(epoch) = self.ledger.flush(&mut self.ops) else {
            assert!(self.ops.is_empty());
            return;
        };
        assert!(self.open && epoch.0 as usize == self.epoch, "a call for a channel that is gone");
        for op in &self.ops {
            let (tag, multiple, settlement) = match *op {
                SettleOp::Ack { tag, multiple } => (tag, multiple, Settlement::Ack),
                SettleOp::Requeue { tag, multiple } => (tag, multiple, Settlement::Requeue),
                SettleOp::Reject { tag } => (tag, false, Settlement::Reject),
            };
            let bit = 1_u32 << tag;
            assert_ne!(self.outstanding & bit, 0, "406: unknown delivery tag {tag}");
            let gone = self.outstanding & if multiple { bit | (bit - 1) } else { bit };
            self.outstanding &= !gone;
            for tag in (0..=EVENTS).filter(|tag| gone & (1 << tag) != 0) {
                let before = self.settled[self.epoch][tag].replace(settlement);
                assert_eq!(before, None, "{tag} was settled twice");
            }
        }
    }

    fn lose_channel(&mut self) {
        self.outstanding = 0;
        self.parked.clear();
        if self.open && self.chance.below(2) == 0 {
            self.open = false;
            self.ledger.close();
            return;
        }
        self.epoch += 1;
        self.open = true;
        self.ledger.open(Epoch(u32::try_from(self.epoch).expect("small")));
    }

    fn happen(&mut self) {
        match self.chance.below(16) {
            0..=3 if self.open => {
                let tag = self.last[self.epoch] + 1;
                let epoch = Epoch(u32::try_from(self.epoch).expect("small"));
                let id = DeliveryId { epoch, tag: tag as u64 };
                assert_eq!(self.ledger.deliver(id.tag, id), Ok(id));
                self.last[self.epoch] = tag;
                self.outstanding |= 1 << tag;
            }
            0..=3 | 15 => self.lose_channel(),
            4..=7 => {
                let (id, multiple) = (self.anyone(), self.chance.below(5) == 0);
                self.answer(Target::Id(id), multiple);
            }
            8 => self.answer(Target::Oldest, false),
            9 => {
                let id = self.anyone();
                if self.ledger.take(id).is_some() {
                    self.parked.retain(|parked| *parked != id);
                    self.taken.push(id);
                }
            }
            10 if self.chance.below(3) == 0 => self.keep(),
            10 => {
                let id = self.taken.last().copied().unwrap_or_else(|| self.anyone());
                self.resolve(id);
            }
            11 => {
                let id = self.anyone();
                self.resolve(id);
            }
            12 => self.ledger.park(&mut self.parked),
            13 => {
                let id = self.anyone();
                let place = self.parked.iter().position(|parked| *parked == id);
                assert_eq!(self.ledger.hand_over(id), place.is_some(), "{id}");
                place.map(|place| self.parked.remove(place));
            }
            _ => self.flush(),
        }
    }

    fn end(mut self) {
        let mut out = Vec::new();
        self.ledger.abandon(&mut out);
        self.taken.extend(out.into_iter().map(|(id, _)| id));
        while let Some(id) = self.taken.last().copied() {
            self.resolve(id);
        }
        self.flush();
        assert_eq!(self.ledger.held(), Held::default());
        assert_eq!(self.outstanding, 0, "something has no answer");
        for (intended, settled) in self.intended.iter().zip(&self.settled) {
            for (intended, settled) in intended.iter().zip(settled) {
                assert!(settled.is_none() || settled == intended, "{settled:?}, not {intended:?}");
            }
        }
    }
}

#[test]
fn a_million_lives_settle_each_delivery_at_most_once() {
    let cases = std::env::var("WARRENER_CASES")
        .map_or(CASES, |cases| cases.parse().expect("`WARRENER_CASES` is a number"));
    let threads = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    std::thread::scope(|scope| {
        for thread in 0..threads {
            scope.spawn(move || {
                for case in (thread..cases).step_by(usize::try_from(threads).expect("few")) {
                    let seed = (case + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
                    let mut life = Life::new(seed);
                    for _ in 0..EVENTS {
                        life.happen();
                    }
                    life.end();
                }
            });
        }
    });
}
