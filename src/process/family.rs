//! The mark that every process has that comes from a child, however far it has run from it.
//!
//! A process can leave its group and its session, outlive its parent, clear its environment and
//! overwrite its arguments. It keeps its resource limits through all of that: they pass on by fork
//! and by exec, and changing one takes intent. `RLIMIT_LOCKS` is one that Linux has not looked at
//! since 2.4.25, so its soft value is free to carry a number, and everybody may read it in
//! `/proc/PID/limits`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{
    Pid, Resource, Rlimit, Signal, WaitId, WaitIdOptions, getpid, getrlimit, kill_process,
    set_child_subreaper, setrlimit, waitid,
};

use super::control_groups::{Home, Undivided};
use super::guardian;

/// Bits of a mark that count the children; those above name the supervisor.
const COUNT_BITS: u32 = 24;

/// Bits of a supervisor's number. All together stay clear of what means "unlimited".
const FAMILY_BITS: u32 = 38;

/// How long it is known that somebody of a mark was reaped by another thread than that of his child.
const KEPT: Duration = Duration::from_secs(10);

/// How often it is told of one consumer that it leaves processes behind.
const TELL_PAUSE: Duration = Duration::from_mins(1);

/// The line of `/proc/PID/limits` that has the mark.
const LINE: &[u8] = b"Max file locks";

/// What a child and all that come from it have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark(pub(super) u64);

impl Mark {
    /// The number of the supervisor that it comes from.
    pub(super) fn family(self) -> u64 {
        self.0 >> COUNT_BITS
    }

    /// Reads it out of `/proc/PID/limits`. Allocates nothing, for the guardian.
    pub(super) fn read(limits: &[u8]) -> Option<Self> {
        let at = limits.windows(LINE.len()).position(|window| window == LINE)?;
        let rest = limits[at + LINE.len()..].trim_ascii_start();
        let mut number = None;
        for &byte in rest.iter().take_while(|byte| byte.is_ascii_digit()) {
            let digit = u64::from(byte - b'0');
            number = Some(number.unwrap_or(0_u64).checked_mul(10)?.checked_add(digit)?);
        }
        number.map(Self)
    }

    fn of(pid: Pid) -> Option<Self> {
        let path = format!("/proc/{}/limits", pid.as_raw_nonzero());
        Self::read(&fs::read(path).ok()?)
    }
}

/// This process as an ancestor.
#[derive(Debug)]
pub(super) struct Family {
    number: u64,
    next: AtomicU64,
    /// Whether there is room for marks: somebody may have limited this process already.
    marks: bool,
    /// Where its children's control groups are, or why they have none.
    home: Result<Home, Undivided>,
    /// Its end is what the guardian waits for.
    _guarded: guardian::Guarded,
    /// Those that this process has adopted, as the kernel lists them; none where it does not.
    adopted: Option<File>,
    /// Held while children are looked at and reaped, so that no number is taken for another.
    looking: Mutex<()>,
    /// By their marks, those that had not ended by themselves and were reaped on the way, and when:
    /// whoever knows that their child has ended may not have looked for them yet.
    forced: Mutex<BTreeMap<Mark, Instant>>,
    /// When it was last told of a consumer that it leaves processes behind.
    told: Mutex<BTreeMap<Arc<str>, Instant>>,
}

static FAMILY: OnceLock<Family> = OnceLock::new();

/// What a look at the processes that this one has adopted has shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Look {
    /// There are none at all.
    Nobody,
    /// There are, but none of those to be ended.
    Others,
    /// Some were still there, and were killed.
    Some,
}

impl Family {
    /// The one of this process. The first call makes this process the one that orphans among its
    /// descendants fall to, makes a home for control groups where it may, starts the guardian, and
    /// forbids core dumps, in which secrets would be.
    pub(super) fn found() -> io::Result<&'static Self> {
        static FOUNDING: Mutex<()> = Mutex::new(());
        let _founding = FOUNDING.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(family) = FAMILY.get() {
            return Ok(family);
        }
        setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
        let number = fastrand::u64(1..1 << FAMILY_BITS);
        let home = Home::made(number);
        // Before this process adopts anyone, so that the guardian falls to another.
        let guarded = guardian::start(number, home.as_ref().ok())?;
        set_child_subreaper(Some(getpid()))?;
        let us = getpid().as_raw_nonzero();
        Ok(FAMILY.get_or_init(|| Self {
            adopted: File::open(format!("/proc/self/task/{us}/children")).ok(),
            number,
            next: AtomicU64::new(0),
            marks: getrlimit(Resource::Locks).maximum.is_none(),
            home,
            _guarded: guarded,
            looking: Mutex::new(()),
            forced: Mutex::default(),
            told: Mutex::default(),
        }))
    }

    /// Where the control groups of its children are.
    ///
    /// # Errors
    /// Why they have none.
    pub(super) fn home(&self) -> Result<&Home, &Undivided> {
        self.home.as_ref()
    }

    /// A mark for one more child.
    pub(super) fn mark(&self) -> Option<Mark> {
        let count = self.next.fetch_add(1, Ordering::Relaxed) & ((1 << COUNT_BITS) - 1);
        self.marks.then_some(Mark(self.number << COUNT_BITS | count))
    }

    /// Kills what this process has adopted and what has one of these marks, whose children have ended
    /// not before these moments, and reaps what is dead.
    /// `strangers` says whether to reap as well what has no mark of ours: only for a process that
    /// starts no others. What had not ended by itself is put down by its mark in `killed`.
    ///
    /// All that comes from a child is below it, or below one that was adopted. So when this finds
    /// nobody of a mark whose child has ended, nobody is left of it, unless somebody ended during
    /// the look itself: then the list has gaps.
    pub(super) fn look(
        &self,
        ended: &BTreeMap<Mark, Instant>,
        strangers: bool,
        killed: &mut BTreeSet<Mark>,
    ) -> Look {
        let _looking = self.looking.lock().unwrap_or_else(PoisonError::into_inner);
        let mut look = Look::Nobody;
        for pid in self.adopted() {
            if look == Look::Nobody {
                look = Look::Others;
            }
            let mark = Mark::of(pid);
            let left = mark.filter(|mark| ended.contains_key(mark));
            if left.is_some() {
                look = Look::Some;
                let _ = kill_process(pid, Signal::KILL);
            }
            if strangers || mark.is_some_and(|mark| mark.family() == self.number) {
                let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
                let end = waitid(WaitId::Pid(pid), options).ok().flatten();
                let by_force = Some(Signal::KILL.as_raw());
                if left.is_some() && end.is_none_or(|end| end.terminating_signal() == by_force) {
                    killed.extend(left);
                } else if let (None, Some(mark), Some(end)) = (left, mark, end)
                    && end.terminating_signal() == by_force
                {
                    self.reaped_by_force(mark);
                }
            }
        }
        killed.extend(
            ended
                .iter()
                .filter(|(mark, since)| self.had_forced(**mark, **since))
                .map(|(mark, _)| *mark),
        );
        look
    }

    fn reaped_by_force(&self, mark: Mark) {
        let now = Instant::now();
        let mut forced = self.forced.lock().unwrap_or_else(PoisonError::into_inner);
        forced.retain(|_, at| now - *at < KEPT);
        forced.insert(mark, now);
    }

    /// Whether somebody of that mark who had not ended by himself was reaped since then, by a thread
    /// that did not know of the end of his child.
    fn had_forced(&self, mark: Mark, since: Instant) -> bool {
        let forced = self.forced.lock().unwrap_or_else(PoisonError::into_inner);
        forced.get(&mark).is_some_and(|at| *at >= since)
    }

    /// Whether a child with that mark that ended not before then may have left somebody behind: hardly
    /// ever, and far cheaper to ask than to [look](Self::look).
    pub(super) fn may_have_left(mark: Mark, since: Instant) -> bool {
        Self::has_adopted() || FAMILY.get().is_some_and(|family| family.had_forced(mark, since))
    }

    /// Whether it is time to tell that a consumer leaves processes behind: it may with every message.
    pub(super) fn may_tell_of(&self, consumer: &Arc<str>) -> bool {
        let now = Instant::now();
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        let due = told.get(consumer).is_none_or(|last| now - *last >= TELL_PAUSE);
        if due {
            told.insert(consumer.clone(), now);
        }
        due
    }

    /// Whether there is anybody whom [`look`](Self::look) would see.
    fn has_adopted() -> bool {
        let list = FAMILY.get().and_then(|family| family.adopted.as_ref());
        // Where nobody can tell, there may be somebody.
        list.is_none_or(|list| !matches!(list.read_at(&mut [0; 8], 0), Ok(0)))
    }

    /// The processes that fell to this one when their parents ended. They fall to its first thread,
    /// while those that the spawner starts belong to the spawner's.
    fn adopted(&self) -> Vec<Pid> {
        // Where the kernel does not tell, the guardian still looks when all is over.
        let Some(list) = &self.adopted else { return Vec::new() };
        let mut text = vec![0; 4096];
        let mut length = 0;
        while let Ok(read @ 1..) = list.read_at(&mut text[length..], length as u64) {
            length += read;
            text.resize(length + 4096, 0);
        }
        let text = String::from_utf8_lossy(&text[..length]);
        text.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
    }
}
