//! The ledger of one worker: what it was given, what it answered.

use std::collections::VecDeque;
use std::mem;

use super::{Answer, BadTag, Held, Lost, Settlement};
use crate::model::Epoch;
use crate::protocol::{DeliveryId, Reply, Target, Verdict};

/// Where one delivery of the open channel stands.
#[derive(Debug)]
pub(super) enum State<T> {
    /// The child has it.
    Held { item: T },
    /// The child that had it, or should have had it, is gone: it is for the next one.
    Parked { item: T },
    /// The caller has it.
    Taken,
    /// The next flush tells the broker.
    Decided(Settlement),
    /// The broker knows.
    Told,
}

/// One delivery of the open channel.
#[derive(Debug)]
pub(super) struct Slot<T> {
    pub(super) tag: u64,
    pub(super) state: State<T>,
}

/// What one worker holds. `T` is what the caller keeps for each message.
///
/// Every operation on one message takes constant time as long as messages are settled roughly in
/// order, and logarithmic time otherwise. Memory follows what is unsettled, not what has passed.
#[derive(Debug)]
pub struct Ledger<T> {
    /// The open channel.
    epoch: Option<Epoch>,
    /// The first and the last epoch there was, to tell a late answer from a made-up one.
    epochs: Option<(Epoch, Epoch)>,
    /// Deliveries by rising tag. Those that the broker knows of leave at the front at once, and
    /// elsewhere when there are many of them.
    pub(super) slots: VecDeque<Slot<T>>,
    /// How many slots are [`State::Told`].
    pub(super) told: usize,
    /// Tags of the slots that are [`State::Decided`].
    pub(super) decided: Vec<u64>,
    /// The tag of the next delivery.
    next_tag: u64,
    /// No slot below this tag is held: where the search for the oldest begins.
    oldest: u64,
    unanswered: usize,
    parked: usize,
    resolving: usize,
    /// What the child still owes an answer to, of channels that are gone, oldest first.
    ghosts: VecDeque<DeliveryId>,
}

impl<T> Default for Ledger<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Ledger<T> {
    /// An empty ledger with no channel.
    pub fn new() -> Self {
        Self {
            epoch: None,
            epochs: None,
            slots: VecDeque::new(),
            told: 0,
            decided: Vec::new(),
            next_tag: 1,
            oldest: 1,
            unanswered: 0,
            parked: 0,
            resolving: 0,
            ghosts: VecDeque::new(),
        }
    }

    /// A new channel, numbered from 1. What was held on the one before is lost as by
    /// [`Ledger::close`]. `epoch` must be later than every epoch before it.
    pub fn open(&mut self, epoch: Epoch) -> Lost {
        let lost = self.close();
        self.epoch = Some(epoch);
        self.epochs = Some((self.epochs.map_or(epoch, |(first, _)| first), epoch));
        lost
    }

    /// The channel is gone. What the child still owes an answer to becomes a ghost: its answer
    /// will be swallowed, and until then it keeps its place in the order of answers without an id.
    /// Everything else of the channel is forgotten.
    pub fn close(&mut self) -> Lost {
        let lost = Lost {
            unanswered: self.unanswered,
            parked: self.parked,
            resolving: self.resolving,
            unflushed: self.decided.len(),
        };
        if let Some(epoch) = self.epoch.take() {
            let held = self.slots.iter().filter(|slot| matches!(slot.state, State::Held { .. }));
            self.ghosts.extend(held.map(|slot| DeliveryId { epoch, tag: slot.tag }));
        }
        self.slots.clear();
        self.decided.clear();
        self.told = 0;
        self.next_tag = 1;
        self.oldest = 1;
        self.unanswered = 0;
        self.parked = 0;
        self.resolving = 0;
        lost
    }

    /// The epoch of the open channel.
    pub fn epoch(&self) -> Option<Epoch> {
        self.epoch
    }

    /// A message goes to the child.
    ///
    /// # Errors
    /// [`BadTag`]; the ledger is unchanged.
    pub fn deliver(&mut self, tag: u64, item: T) -> Result<DeliveryId, BadTag> {
        let epoch = self.epoch.ok_or(BadTag::Closed { tag })?;
        if tag != self.next_tag {
            return Err(BadTag::NotNext { tag, expected: self.next_tag });
        }
        self.slots.push_back(Slot { tag, state: State::Held { item } });
        self.next_tag += 1;
        self.unanswered += 1;
        Ok(DeliveryId { epoch, tag })
    }

    /// The child answered. The messages it settles or hands back are appended to `out`, in the
    /// order of delivery.
    pub fn answer(&mut self, reply: &Reply, out: &mut Vec<(DeliveryId, T)>) -> Answer {
        let extends = matches!(reply.verdict, Verdict::Extend(_));
        let (id, multiple) = match reply.target {
            Target::Id(id) => (id, reply.multiple && !extends),
            Target::Oldest => match self.oldest() {
                Some(id) => (id, false),
                None => return Answer::Unknown,
            },
        };
        if self.epoch != Some(id.epoch) {
            return self.answer_late(id, multiple, extends);
        }
        if id.tag == 0 || id.tag >= self.next_tag {
            return Answer::Unknown;
        }
        if self.is_parked(id) {
            return Answer::Unknown;
        }
        if extends {
            return if self.is_held(id) { Answer::Extend(id) } else { Answer::Repeated };
        }
        let before = out.len();
        if multiple {
            self.ghosts.clear();
            while let Some(older) = self.oldest().filter(|oldest| oldest.tag <= id.tag) {
                self.give_back(older, &reply.verdict, out);
            }
        } else {
            self.give_back(id, &reply.verdict, out);
        }
        match (out.len() > before, &reply.verdict) {
            (false, _) => Answer::Repeated,
            (true, Verdict::Ack | Verdict::Requeue) => Answer::Settled,
            (true, _) => Answer::Taken,
        }
    }

    /// Takes one unanswered message of the open channel away from the child, or one that waits for
    /// the next, for [`Ledger::resolve`]: its time is over, or it could not be handed over at all.
    pub fn take(&mut self, id: DeliveryId) -> Option<T> {
        let index = self.index(id)?;
        let state = &mut self.slots[index].state;
        match mem::replace(state, State::Taken) {
            State::Held { item } => {
                self.unanswered -= 1;
                self.resolving += 1;
                Some(item)
            }
            State::Parked { item } => {
                self.parked -= 1;
                self.resolving += 1;
                Some(item)
            }
            other => {
                *state = other;
                None
            }
        }
    }

    /// Takes every message of the open channel that is not answered, parked ones among them, in
    /// the order of delivery, each for [`Ledger::resolve`]. Ghosts vanish: nobody is left to answer.
    pub fn abandon(&mut self, out: &mut Vec<(DeliveryId, T)>) {
        self.ghosts.clear();
        let Some(epoch) = self.epoch else { return };
        let open =
            |slot: &&Slot<T>| matches!(slot.state, State::Held { .. } | State::Parked { .. });
        let tags: Vec<u64> = self.slots.iter().filter(open).map(|slot| slot.tag).collect();
        for tag in tags {
            let id = DeliveryId { epoch, tag };
            out.extend(self.take(id).map(|item| (id, item)));
        }
    }

    /// The child is gone: what it had is kept for the next one, see [`Ledger::hand_over`], and
    /// appended to `out` in the order of delivery. Ghosts vanish: nobody is left to answer.
    pub fn park(&mut self, out: &mut Vec<DeliveryId>) {
        self.ghosts.clear();
        while let Some(id) = self.oldest() {
            self.park_one(id);
            out.push(id);
        }
    }

    /// The child has had nothing of this message and never will: it is kept for the next one.
    pub fn park_one(&mut self, id: DeliveryId) -> bool {
        let Some(index) = self.index(id) else { return false };
        let state = &mut self.slots[index].state;
        match mem::replace(state, State::Taken) {
            State::Held { item } => {
                *state = State::Parked { item };
                self.unanswered -= 1;
                self.parked += 1;
                true
            }
            other => {
                *state = other;
                false
            }
        }
    }

    /// A message that was taken out is kept for the child after all, see [`Ledger::hand_over`].
    /// False where that has no effect: its channel is gone, or it was not taken out.
    pub fn keep(&mut self, id: DeliveryId, item: T) -> bool {
        let Some(index) = self.index(id) else { return false };
        let state = &mut self.slots[index].state;
        if !matches!(state, State::Taken) {
            return false;
        }
        *state = State::Parked { item };
        self.resolving -= 1;
        self.parked += 1;
        true
    }

    /// A message that was kept goes to the child. False where it is not there any more.
    pub fn hand_over(&mut self, id: DeliveryId) -> bool {
        let Some(index) = self.index(id) else { return false };
        let state = &mut self.slots[index].state;
        match mem::replace(state, State::Taken) {
            State::Parked { item } => {
                *state = State::Held { item };
                self.parked -= 1;
                self.unanswered += 1;
                self.oldest = self.oldest.min(id.tag);
                true
            }
            other => {
                *state = other;
                false
            }
        }
    }

    /// What becomes of a message that was taken out. False where that has no effect: its channel
    /// is gone, or it was not waiting for this.
    pub fn resolve(&mut self, id: DeliveryId, settlement: Settlement) -> bool {
        let Some(index) = self.index(id) else { return false };
        let slot = &mut self.slots[index];
        if !matches!(slot.state, State::Taken) {
            return false;
        }
        slot.state = State::Decided(settlement);
        self.resolving -= 1;
        self.decided.push(id.tag);
        true
    }

    /// What is kept for a message that the child, or the next child, has yet to answer.
    pub fn get_mut(&mut self, id: DeliveryId) -> Option<&mut T> {
        let index = self.index(id)?;
        match &mut self.slots[index].state {
            State::Held { item } | State::Parked { item } => Some(item),
            _ => None,
        }
    }

    /// How much is held.
    pub fn held(&self) -> Held {
        Held {
            unanswered: self.unanswered,
            parked: self.parked,
            resolving: self.resolving,
            unflushed: self.decided.len(),
            ghosts: self.ghosts.len(),
        }
    }

    /// An answer to a message of a channel that is gone, or of none that ever was.
    fn answer_late(&mut self, id: DeliveryId, multiple: bool, extends: bool) -> Answer {
        if !self.epochs.is_some_and(|(first, last)| first <= id.epoch && id.epoch <= last) {
            return Answer::Unknown;
        }
        if !extends {
            match self.ghosts.binary_search(&id) {
                Ok(place) if multiple => drop(self.ghosts.drain(..=place)),
                Ok(place) => drop(self.ghosts.remove(place)),
                Err(place) if multiple => drop(self.ghosts.drain(..place)),
                Err(_) => {}
            }
        }
        Answer::Stale
    }

    /// Carries out one verdict that ends the child's hold on a message; nothing where it has none.
    fn give_back(&mut self, id: DeliveryId, verdict: &Verdict, out: &mut Vec<(DeliveryId, T)>) {
        let Some(item) = self.take(id) else { return };
        out.push((id, item));
        match verdict {
            Verdict::Ack => drop(self.resolve(id, Settlement::Ack)),
            Verdict::Requeue => drop(self.resolve(id, Settlement::Requeue)),
            _ => {}
        }
    }

    /// The oldest message that the child has not answered, ghosts included.
    pub fn oldest(&mut self) -> Option<DeliveryId> {
        if let Some(&ghost) = self.ghosts.front() {
            return Some(ghost);
        }
        let epoch = self.epoch?;
        let start = self.place(self.oldest);
        let held = |slot: &&Slot<T>| matches!(slot.state, State::Held { .. });
        let tag = self.slots.range(start..).find(held).map(|slot| slot.tag);
        self.oldest = tag.unwrap_or(self.next_tag);
        Some(DeliveryId { epoch, tag: tag? })
    }

    /// Whether the child has this message.
    pub fn is_held(&self, id: DeliveryId) -> bool {
        let slot = self.index(id).map(|index| &self.slots[index]);
        slot.is_some_and(|slot| matches!(slot.state, State::Held { .. }))
    }

    fn is_parked(&self, id: DeliveryId) -> bool {
        let slot = self.index(id).map(|index| &self.slots[index]);
        slot.is_some_and(|slot| matches!(slot.state, State::Parked { .. }))
    }

    /// Where a delivery of the open channel stands among the slots, if it is still there.
    pub(super) fn index(&self, id: DeliveryId) -> Option<usize> {
        let place = (self.epoch == Some(id.epoch)).then(|| self.place(id.tag))?;
        self.slots.get(place).filter(|slot| slot.tag == id.tag).map(|_| place)
    }

    /// Where the first slot of that tag or of a later one is, or would be. Mostly no tag before it is
    /// missing.
    fn place(&self, tag: u64) -> usize {
        let first = self.slots.front().map_or(tag, |slot| slot.tag);
        let guess = usize::try_from(tag.saturating_sub(first)).unwrap_or(usize::MAX);
        match self.slots.get(guess) {
            Some(slot) if slot.tag == tag => guess,
            _ => self.slots.partition_point(|slot| slot.tag < tag),
        }
    }
}
