//! Trials: single stories, and a court in which some messages are known to be guilty.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proptest::prelude::*;

use crate::supervise::{Blame, Suspects};

#[test]
fn one_that_kills_alone_has_the_crash_before_booked_as_well() {
    let mut suspects = Suspects::default();
    assert_eq!(suspects.died(&[1, 2, 3], false), None);
    assert_eq!(suspects.count(), 3);
    assert!(suspects.may_go(1, false));
    suspects.handed_over(1);
    assert!(!suspects.may_go(9, true), "nobody goes where a suspect is");
    suspects.cleared(1);
    suspects.handed_over(2);
    assert_eq!(suspects.died(&[2], false), Some(Blame { id: 2, crashes: 2 }));
    // The third is tried alone all the same, but that crash is no longer open.
    suspects.handed_over(3);
    assert_eq!(suspects.died(&[3], false), Some(Blame { id: 3, crashes: 1 }));
    assert_eq!(suspects.count(), 0);
}

#[test]
fn one_that_was_alone_from_the_start_needs_no_trial() {
    let mut suspects = Suspects::default();
    suspects.handed_over(1);
    assert_eq!(suspects.died(&[1], false), Some(Blame { id: 1, crashes: 1 }));
}

#[test]
fn one_with_a_record_is_tried_alone_and_waits_for_the_others() {
    let mut suspects = Suspects::default();
    suspects.accuse(5);
    assert!(!suspects.may_go(5, true));
    assert!(suspects.may_go(6, true));
    assert!(suspects.may_go(5, false));
}

#[test]
fn a_child_that_had_more_than_is_known_convicts_nobody() {
    let mut suspects = Suspects::default();
    assert_eq!(suspects.died(&[1], true), None);
    assert_eq!(suspects.count(), 1);
    assert_eq!(suspects.died(&[], false), None);
}

#[test]
fn one_that_is_ended_by_us_leaves_no_new_suspects() {
    let mut suspects = Suspects::default();
    suspects.accuse(1);
    suspects.handed_over(1);
    suspects.replaced();
    assert_eq!((suspects.trial(), suspects.count()), (None, 1));
    suspects.forget();
    assert_eq!(suspects.count(), 0);
}

/// A queue, workers one after the other on one channel, and messages of which some always kill.
struct Court {
    queue: VecDeque<(u32, bool)>,
    suspects: Suspects<u32>,
    guilty: BTreeSet<u32>,
    hand: Vec<u32>,
    /// Crashes on the record of a message that was published again.
    records: BTreeMap<u32, u32>,
    crashes: u32,
    tries: BTreeMap<u32, u32>,
}

impl Court {
    fn fill(&mut self, prefetch: usize) {
        while self.hand.len() < prefetch {
            let Some(&(id, record)) = self.queue.front() else { return };
            if record {
                self.suspects.accuse(id);
            }
            if !self.suspects.may_go(id, !self.hand.is_empty()) {
                return;
            }
            self.queue.pop_front();
            self.suspects.handed_over(id);
            if let Some(trial) = self.suspects.trial() {
                assert!(self.hand.is_empty() && trial == id, "a trial is not alone");
            }
            self.hand.push(id);
        }
    }

    /// The child takes the message at that place. It dies of a guilty one, if `dies` even of an
    /// innocent one, and what it has not read by then, it has not seen.
    fn step(&mut self, at: usize, read_ahead: usize, dies: bool, most: u32) {
        let at = at % self.hand.len();
        let id = self.hand[at];
        if !dies && !self.guilty.contains(&id) {
            self.hand.remove(at);
            self.suspects.cleared(id);
            return;
        }
        self.crashes += 1;
        if self.guilty.contains(&id) {
            *self.tries.entry(id).or_default() += 1;
        }
        let seen = &self.hand[..(at + 1 + read_ahead).min(self.hand.len())];
        let blame = self.suspects.died(seen, false);
        for id in std::mem::take(&mut self.hand).into_iter().rev() {
            match blame {
                Some(blame) if blame.id == id => {}
                _ => self.queue.push_front((id, false)),
            }
        }
        if let Some(Blame { id, crashes }) = blame {
            let record = self.records.entry(id).or_default();
            *record += crashes;
            if *record < most {
                self.queue.push_back((id, true));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_guilty_are_found_after_exactly_as_many_tries_and_nobody_else_has_a_record(
        guilty in prop::collection::btree_set(0_u32..200, 0..5),
        prefetch in 1_usize..50,
        most in 2_u32..6,
        read_ahead in 0_usize..60,
    ) {
        let mut court = Court {
            queue: (0..200).map(|id| (id, false)).collect(),
            suspects: Suspects::default(),
            guilty: guilty.clone(),
            hand: Vec::new(),
            records: BTreeMap::new(),
            crashes: 0,
            tries: BTreeMap::new(),
        };
        loop {
            court.fill(prefetch);
            if court.hand.is_empty() {
                break;
            }
            court.step(0, read_ahead, false, most);
        }
        prop_assert!(court.queue.is_empty());
        let convicted: BTreeSet<_> = court.records.keys().copied().collect();
        prop_assert_eq!(&convicted, &guilty);
        // A child that works in order: each crash is booked on the very message that caused it.
        prop_assert_eq!(&court.records, &court.tries);
        prop_assert!(court.tries.values().all(|tries| *tries == most), "{:?}", court.tries);
    }

    #[test]
    fn no_crash_is_booked_twice_and_everybody_gets_an_end(
        guilty in prop::collection::btree_set(0_u32..60, 0..5),
        steps in prop::collection::vec((any::<usize>(), 0_usize..9, prop::bool::weighted(0.1)), 1..300),
        prefetch in 1_usize..20,
    ) {
        let mut court = Court {
            queue: (0..60).map(|id| (id, false)).collect(),
            suspects: Suspects::default(),
            guilty,
            hand: Vec::new(),
            records: BTreeMap::new(),
            crashes: 0,
            tries: BTreeMap::new(),
        };
        for (at, read_ahead, dies) in steps {
            court.fill(prefetch);
            if court.hand.is_empty() {
                break;
            }
            court.step(at, read_ahead, dies, 3);
            prop_assert!(court.records.values().sum::<u32>() <= court.crashes);
        }
        for _ in 0..1000 {
            court.fill(prefetch);
            if court.hand.is_empty() {
                break;
            }
            court.step(0, 0, false, 3);
        }
        prop_assert!(court.queue.is_empty() && court.hand.is_empty());
        prop_assert_eq!(court.suspects.count(), 0);
    }
}
