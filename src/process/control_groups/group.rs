//! The group of one worker.

use std::ffi::{CStr, CString};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use tokio::sync::mpsc::UnboundedSender;

use super::ends::{end_all, open_folder};
use super::home::Home;
use super::memory::{self, Events, Shortage};
use crate::process::nursery::Order;

/// How much of a worker's name is in that of its group, bytes. The kernel takes 255.
const LONGEST: usize = 200;

/// Workers of one name at most that are there at once: versions that come and go.
const MOST_ALIKE: u32 = 1000;

/// The control group of one worker, in which its processes are, one after the other. Its folder is
/// made when the first of them starts, and anew after somebody in it had to be killed; removed some
/// time after the last clone is dropped.
///
/// One child is in it at a time, with all that comes from it: where a child ends or is dropped,
/// everyone in the group is killed.
#[derive(Clone, Debug)]
pub struct ControlGroup(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    home: &'static Home,
    label: String,
    /// What all of its processes have in memory together at most, bytes.
    memory: Option<u64>,
    /// None before it is made.
    made: Mutex<Option<Made>>,
    /// Removes it.
    orders: UnboundedSender<Order>,
}

/// A group that there is.
#[derive(Debug)]
struct Made {
    /// Its name below the home.
    name: CString,
    /// What it had counted when it was last looked.
    events: Events,
}

impl ControlGroup {
    /// A group whose name begins with that, and whose processes have so many bytes of memory
    /// together at most, where that can be limited.
    pub(in crate::process) fn new(
        home: &'static Home,
        label: &str,
        memory: Option<u64>,
        orders: UnboundedSender<Order>,
    ) -> Self {
        // No file that the kernel puts into a folder of a group has a `-`, so none has this name.
        let label = label.replace('/', "_");
        let label = label[..label.floor_char_boundary(LONGEST)].to_owned();
        let memory = memory.filter(|_| home.memory().is_ok());
        Self(Arc::new(Inner { home, label, memory, made: Mutex::default(), orders }))
    }

    /// Its folder, which is made where there is none.
    pub(in crate::process) fn open(&self) -> rustix::io::Result<OwnedFd> {
        let home = self.0.home.folder();
        let mut made = self.0.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(Made { name, events }) = &mut *made {
            return match open_folder(home, name) {
                // Somebody has tidied up: it was empty between two processes.
                Err(Errno::NOENT) => {
                    *events = Events::default();
                    self.0.make(name, home)
                }
                other => other,
            };
        }
        for count in 1..MOST_ALIKE {
            let text = match count {
                1 => self.0.label.clone(),
                more => format!("{}.{more}", self.0.label),
            };
            let candidate = CString::new(text).map_err(|_| Errno::INVAL)?;
            match self.0.make(&candidate, home) {
                // Of another version of this worker.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
                Ok(folder) => {
                    *made = Some(Made { name: candidate, events: Events::default() });
                    return Ok(folder);
                }
            }
        }
        Err(Errno::EXIST)
    }

    /// Kills everyone in it.
    pub(in crate::process) fn end_all(&self) {
        self.0.end(|_| true);
    }

    /// Kills whoever is left in it of a child that has ended.
    pub(in crate::process) fn end_rest(&self) {
        // Mostly nobody is left.
        self.0.end(|folder| is_populated(folder) != Some(false));
    }

    /// Who has run short of memory, where somebody in it was killed for that since this was last
    /// asked.
    pub(in crate::process) fn shortage(&self) -> Option<Shortage> {
        let mut made = self.0.made.lock().unwrap_or_else(PoisonError::into_inner);
        let Made { name, events } = made.as_mut()?;
        let now = Events::of(&open_folder(self.0.home.folder(), name).ok()?)?;
        now.shortage_since(std::mem::replace(events, now))
    }

    /// What to say where a child could not be put into it.
    pub(in crate::process) fn complain(&self, error: Errno) {
        self.0.home.complain(error);
    }
}

impl Inner {
    /// Kills everyone where that is wanted. The next child comes into a new folder: not all may be
    /// gone by then, and the kernel would kill it too.
    fn end(&self, wanted: impl FnOnce(&OwnedFd) -> bool) {
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = made.as_ref().map(|made| open_folder(self.home.folder(), &made.name));
        let Some(folder) = folder else { return };
        // One that is not there has nobody in it. Where it fails otherwise, the marks are left.
        if let Ok(folder) = folder
            && wanted(&folder)
        {
            let _ = end_all(folder);
            self.remove(made.take());
        }
    }

    /// Makes its folder, with its limit, and opens it.
    fn make(&self, name: &CStr, home: BorrowedFd<'_>) -> rustix::io::Result<OwnedFd> {
        mkdirat(home, name, Mode::from_raw_mode(0o755))?;
        let folder = open_folder(home, name)?;
        if let Some(bytes) = self.memory
            && let Err(error) = memory::limit(&folder, bytes)
        {
            self.home.complain_of_memory(error);
        }
        Ok(folder)
    }

    fn remove(&self, made: Option<Made>) {
        if let Some(Made { name, .. }) = made {
            // Without the thread, the guardian removes it.
            let _ = self.orders.send(Order::Remove(name));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let made = self.made.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        self.remove(made);
    }
}

/// Whether anyone is in the group, or below it.
fn is_populated(folder: &OwnedFd) -> Option<bool> {
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let events = openat(folder, c"cgroup.events", flags, Mode::empty()).ok()?;
    let mut text = [0_u8; 256];
    let length = rustix::io::read(&events, &mut text).ok()?;
    let mut lines = text[..length].split(|&byte| byte == b'\n');
    lines.find_map(|line| line.strip_prefix(b"populated ")).map(|value| value != b"0")
}
