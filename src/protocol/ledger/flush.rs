//! From decisions to calls on the channel, as few as can be.

use std::mem;

use super::book::State;
use super::{Ledger, SettleOp, Settlement};
use crate::model::Epoch;
use crate::protocol::DeliveryId;

/// How many told slots may lie between others before they are cleared out, on top of as many as
/// there are others.
const SLACK: usize = 64;

/// Neighbours with the same settlement, which one call can settle.
struct Run {
    settlement: Settlement,
    last: u64,
    multiple: bool,
}

impl Run {
    fn op(self) -> SettleOp {
        let Self { settlement, last: tag, multiple } = self;
        match settlement {
            Settlement::Ack => SettleOp::Ack { tag, multiple },
            Settlement::Requeue => SettleOp::Requeue { tag, multiple },
            Settlement::Reject => SettleOp::Reject { tag },
        }
    }
}

impl<T> Ledger<T> {
    /// Appends the calls that tell the broker what was decided since the last flush, as few as can
    /// be, and names the channel they belong on. `None` where there is nothing to say.
    ///
    /// They must be made in this order: `multiple` covers every lower tag that is outstanding when
    /// the broker sees it, which is right only after the calls before it.
    pub fn flush(&mut self, out: &mut Vec<SettleOp>) -> Option<Epoch> {
        let epoch = self.epoch().filter(|_| !self.decided.is_empty())?;
        self.flush_front(out);
        self.flush_rest(epoch, out);
        if self.told > SLACK + (self.slots.len() - self.told) {
            self.slots.retain(|slot| !matches!(slot.state, State::Told));
            self.told = 0;
        }
        Some(epoch)
    }

    /// Everything up to the first delivery that is not decided. Nothing below is outstanding once
    /// the calls before it are made, so here `multiple` means the run and no more.
    fn flush_front(&mut self, out: &mut Vec<SettleOp>) {
        let mut run: Option<Run> = None;
        while let Some(slot) = self.slots.front() {
            let tag = slot.tag;
            match slot.state {
                State::Held { .. } | State::Parked { .. } | State::Taken => break,
                State::Told => self.told -= 1,
                State::Decided(settlement) => match &mut run {
                    // `basic.reject` has no `multiple`.
                    Some(run)
                        if run.settlement == settlement && settlement != Settlement::Reject =>
                    {
                        run.last = tag;
                        run.multiple = true;
                    }
                    _ => {
                        let next = Run { settlement, last: tag, multiple: false };
                        out.extend(run.replace(next).map(Run::op));
                    }
                },
            }
            self.slots.pop_front();
        }
        out.extend(run.map(Run::op));
    }

    /// What was decided behind a delivery that is still open: one call each.
    fn flush_rest(&mut self, epoch: Epoch, out: &mut Vec<SettleOp>) {
        let mut decided = mem::take(&mut self.decided);
        for tag in decided.drain(..) {
            let Some(index) = self.index(DeliveryId { epoch, tag }) else { continue };
            let state = &mut self.slots[index].state;
            if let State::Decided(settlement) = *state {
                *state = State::Told;
                self.told += 1;
                out.push(Run { settlement, last: tag, multiple: false }.op());
            }
        }
        self.decided = decided;
    }
}
