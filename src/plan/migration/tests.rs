//! A broker in a few vectors, publishers that never rest, and a process that is killed at any moment.

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::*;
use crate::plan::migration::MigrationStep as Step;

const KEYS: [&str; 3] = ["a", "b", "c"];

fn key(routing_key: &str) -> BindingKey {
    BindingKey::new(
        VhostName::new("/").unwrap(),
        ExchangeName::new("source").unwrap(),
        Destination::Queue(QueueName::new("q").unwrap()),
        RoutingKey::new(routing_key).unwrap(),
        "{}".into(),
    )
}

struct World {
    queue: Option<(bool, Vec<u32>)>,
    direct: BTreeSet<BindingKey>,
    diverted: BTreeSet<BindingKey>,
    fork: bool,
    aside: bool,
    joined: bool,
    out: bool,
    back: bool,
    old: Option<Vec<u32>>,
    new: Option<Vec<u32>>,
    published: u32,
    /// Coming events: true publishes, `None` at the end.
    events: std::vec::IntoIter<u8>,
}

/// The process was killed.
struct Killed;

impl World {
    fn new(held: u32, bound: usize, events: Vec<u8>) -> Self {
        Self {
            queue: Some((false, (0..held).collect())),
            direct: KEYS[..bound].iter().map(|routing_key| key(routing_key)).collect(),
            diverted: BTreeSet::new(),
            fork: false,
            aside: false,
            joined: false,
            out: false,
            back: false,
            old: None,
            new: None,
            published: held,
            events: events.into_iter(),
        }
    }

    fn publish(&mut self, routing_key: &str) {
        let key = key(routing_key);
        let (direct, forked) = (self.direct.contains(&key), self.diverted.contains(&key));
        if !direct && !forked {
            return;
        }
        let number = self.published;
        self.published += 1;
        if direct || (forked && self.joined) {
            self.queue.as_mut().expect("bound").1.push(number);
        }
        if forked && !self.joined {
            self.new.as_mut().expect("nothing is lost").push(number);
        }
    }

    /// Something happens between two things that the process does.
    fn meanwhile(&mut self) -> Result<(), Killed> {
        match self.events.next().unwrap_or(255) {
            0..=2 => return Err(Killed),
            event @ 3..=120 => self.publish(KEYS[usize::from(event) % KEYS.len()]),
            _ => {}
        }
        Ok(())
    }

    fn sight(&self) -> MigrationSight {
        let count = |held: &Option<Vec<u32>>| held.as_ref().map_or(0, Vec::len) as u64;
        MigrationSight {
            queue: self.queue.as_ref().map(|(as_wanted, _)| *as_wanted),
            messages: self.queue.as_ref().map_or(0, |(_, held)| held.len()) as u64,
            direct: self.direct.clone(),
            diverted: self.diverted.clone(),
            fork: self.fork && self.aside,
            joined: self.joined,
            out: self.out,
            back: self.back,
            old: count(&self.old),
            new: count(&self.new),
            remains: self.fork
                || self.aside
                || self.out
                || self.back
                || self.old.is_some()
                || self.new.is_some(),
        }
    }

    fn perform(&mut self, step: Step) -> Result<(), Killed> {
        match step {
            Step::Scaffold => {
                self.old.get_or_insert_default();
                self.meanwhile()?;
                self.new.get_or_insert_default();
                self.meanwhile()?;
                self.aside = true;
                self.meanwhile()?;
                self.fork = true;
                self.meanwhile()?;
                self.joined = true;
            }
            Step::Divert => {
                for key in self.direct.clone() {
                    self.diverted.insert(key);
                    self.meanwhile()?;
                }
                for key in self.direct.clone() {
                    self.direct.remove(&key);
                    self.meanwhile()?;
                }
            }
            Step::OpenOut => self.out = true,
            Step::SetAside => self.joined = false,
            Step::Empty => {
                while let Some(&first) = self.queue.as_ref().expect("there").1.first() {
                    self.old.as_mut().expect("there").push(first);
                    self.meanwhile()?;
                    self.queue.as_mut().expect("there").1.remove(0);
                    self.meanwhile()?;
                }
            }
            Step::Recreate => {
                if self.queue.as_ref().is_some_and(|(_, held)| !held.is_empty()) {
                    return Ok(());
                }
                assert!(self.direct.is_empty() && !self.joined, "bindings would go with it");
                self.queue = None;
                self.meanwhile()?;
                self.queue = Some((true, Vec::new()));
                self.meanwhile()?;
                self.back = true;
            }
            Step::OpenBack => self.back = true,
            Step::Return => self.drain(true)?,
            Step::Rejoin => {
                self.drain(false)?;
                if self.fork {
                    self.joined = true;
                }
                self.drain(false)?;
            }
            Step::Restore => {
                for key in self.diverted.clone() {
                    self.direct.insert(key);
                    self.meanwhile()?;
                }
                for key in self.diverted.clone() {
                    self.diverted.remove(&key);
                    self.meanwhile()?;
                }
            }
            Step::Clear => {
                assert!(self.diverted.is_empty(), "bindings would go with it");
                (self.fork, self.joined) = (false, false);
                self.meanwhile()?;
                self.aside = false;
                self.meanwhile()?;
                self.out = false;
                self.meanwhile()?;
                self.back = false;
                self.meanwhile()?;
                for held in [&mut self.old, &mut self.new] {
                    assert!(held.as_ref().is_none_or(Vec::is_empty));
                    *held = None;
                }
            }
            Step::Done => {}
        }
        self.meanwhile()
    }

    fn drain(&mut self, old: bool) -> Result<(), Killed> {
        loop {
            let held = if old { &self.old } else { &self.new };
            let Some(first) = held.as_ref().and_then(|held| held.first().copied()) else {
                return Ok(());
            };
            self.queue.as_mut().expect("there").1.push(first);
            self.meanwhile()?;
            let held = if old { &mut self.old } else { &mut self.new };
            held.as_mut().expect("there").remove(0);
            self.meanwhile()?;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever comes in meanwhile and however often the process is killed: it ends, nothing is
    /// lost, the bindings are what they were, nothing temporary is left.
    #[test]
    fn nothing_is_lost(
        held in 0..12_u32,
        bound in 0..4_usize,
        events in prop::collection::vec(any::<u8>(), 0..160),
    ) {
        let mut world = World::new(held, bound, events);
        let (mut turns, mut kills) = (0, 0);
        loop {
            let step = next_step(&world.sight());
            if step == Step::Done {
                break;
            }
            turns += 1;
            prop_assert!(turns < 500, "no end at {step:?}: {:?}", world.sight());
            kills += u32::from(world.perform(step).is_err());
        }
        let direct: BTreeSet<_> = KEYS[..bound].iter().map(|routing_key| key(routing_key)).collect();
        prop_assert_eq!(&world.direct, &direct);
        prop_assert!(world.diverted.is_empty() && !world.sight().remains);
        let (as_wanted, held) = world.queue.expect("it is there");
        prop_assert!(as_wanted);
        let mut seen = BTreeSet::new();
        let firsts: Vec<u32> = held.iter().copied().filter(|number| seen.insert(*number)).collect();
        prop_assert_eq!(seen.len(), world.published as usize);
        if kills == 0 {
            prop_assert_eq!(held.len(), firsts.len(), "twice, and nobody was killed");
        }
    }
}

#[test]
fn without_disturbance_the_order_is_kept() {
    // A publish between any two things, until the last switch; no kill.
    let mut world = World::new(5, 3, [vec![9; 44], vec![255; 200]].concat());
    let mut steps = vec![next_step(&world.sight())];
    while steps.last() != Some(&Step::Done) {
        assert!(world.perform(*steps.last().unwrap()).is_ok());
        steps.push(next_step(&world.sight()));
    }
    assert_eq!(
        steps,
        [
            Step::Scaffold,
            Step::Divert,
            Step::OpenOut,
            Step::SetAside,
            Step::Empty,
            Step::Recreate,
            Step::Return,
            Step::Rejoin,
            Step::Restore,
            Step::Clear,
            Step::Done,
        ]
    );
    let held = world.queue.unwrap().1;
    assert!(held.is_sorted(), "{held:?}");
    assert_eq!(held.len(), world.published as usize);
    assert!(world.published > 30);
}

#[test]
fn names_are_the_queues_own_and_never_too_long() {
    let scaffold = Scaffold::of(&QueueName::new("billing").unwrap());
    assert_eq!(scaffold.fork.as_str(), "warrener.migrate.billing");
    assert_eq!(scaffold.old.as_str(), "warrener.migrate.billing.old");
    let [one, other] = ["x", "y"].map(|end| {
        let name = QueueName::new(format!("{}{end}", "ü".repeat(127))).unwrap();
        Scaffold::of(&name).aside
    });
    assert_ne!(one, other);
    assert_eq!(one.as_str().len(), PREFIX.len() + 16 + LONGEST_ENDING);
}
