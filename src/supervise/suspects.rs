//! Who killed the child? Messages under suspicion, and the crashes that are booked on them.
//!
//! A child that dies with several messages leaves no word about which of them it was. All that it
//! can have seen are suspects from then on, and each is tried alone: it goes to a child that has
//! nothing else, and nothing else goes there before it has its answer. One that gets any answer is
//! cleared. One that kills alone has its crash booked, and with it the crash that made it a
//! suspect: of several suspects of one crash, the first that kills alone has caused that one too.
//!
//! So every crash is booked at most once, and never on a message that was not alone with a child
//! that died.

use std::collections::BTreeMap;

/// A crash whose cause is not known yet.
type Case = u64;

/// Messages under suspicion, of one worker. `Id` names a message.
#[derive(Clone, Debug)]
pub struct Suspects<Id> {
    /// Each suspect, with the open case that it is a suspect of, if any.
    open: BTreeMap<Id, Option<Case>>,
    /// The one that a child has now.
    trial: Option<Id>,
    next: Case,
}

/// A crash, or several, that one message has caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Blame<Id> {
    /// The message.
    pub id: Id,
    /// How many crashes are booked on it now.
    pub crashes: u32,
}

impl<Id> Default for Suspects<Id> {
    fn default() -> Self {
        Self { open: BTreeMap::new(), trial: None, next: 0 }
    }
}

impl<Id: Copy + Ord> Suspects<Id> {
    /// A message comes with a record: it is a suspect from the start.
    pub fn accuse(&mut self, id: Id) {
        self.open.entry(id).or_insert(None);
    }

    /// Whether a message may go to the child now. `busy`: the child has others.
    pub fn may_go(&self, id: Id, busy: bool) -> bool {
        !busy || (self.trial.is_none() && !self.open.contains_key(&id))
    }

    /// A message has gone to the child.
    pub fn handed_over(&mut self, id: Id) {
        if self.open.contains_key(&id) {
            self.trial = Some(id);
        }
    }

    /// The one that is being tried.
    pub fn trial(&self) -> Option<Id> {
        self.trial
    }

    /// A message has its answer, or is no longer this worker's: it did not kill.
    pub fn cleared(&mut self, id: Id) {
        self.open.remove(&id);
        if self.trial == Some(id) {
            self.trial = None;
        }
    }

    /// The child is gone by no fault of its messages. Suspects stay suspects.
    pub fn replaced(&mut self) {
        self.trial = None;
    }

    /// The child has died. `seen` is what it had and can have seen, `more` whether it had messages
    /// beside those, of which nobody here knows more.
    ///
    /// What is blamed is no suspect here any more: whoever books it knows from its record.
    pub fn died(&mut self, seen: &[Id], more: bool) -> Option<Blame<Id>> {
        self.trial = None;
        if let (&[id], false) = (seen, more) {
            let case = self.open.remove(&id).flatten();
            // The case is closed: who is left of its suspects has done nothing that is known.
            if case.is_some() {
                for of in self.open.values_mut().filter(|of| **of == case) {
                    *of = None;
                }
            }
            return Some(Blame { id, crashes: 1 + u32::from(case.is_some()) });
        }
        let case = self.next;
        self.next += 1;
        for id in seen {
            self.open.insert(*id, Some(case));
        }
        None
    }

    /// The channel is gone, and with it every message.
    pub fn forget(&mut self) {
        self.open.clear();
        self.trial = None;
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.open.len()
    }
}
