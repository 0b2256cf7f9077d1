//! The group of one worker.

use std::ffi::{CStr, CString};
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{Mode, OFlags, mkdirat, openat};
use rustix::io::Errno;
use tokio::sync::mpsc::UnboundedSender;

use super::ends::{end_all, open_folder};
use super::home::Home;
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
    /// Its name below the home; none before it is made.
    name: Mutex<Option<CString>>,
    /// Removes it.
    orders: UnboundedSender<Order>,
}

impl ControlGroup {
    /// A group whose name begins with that.
    pub(in crate::process) fn new(
        home: &'static Home,
        label: &str,
        orders: UnboundedSender<Order>,
    ) -> Self {
        // No file that the kernel puts into a folder of a group has a `-`, so none has this name.
        let label = label.replace('/', "_");
        let label = label[..label.floor_char_boundary(LONGEST)].to_owned();
        Self(Arc::new(Inner { home, label, name: Mutex::default(), orders }))
    }

    /// Its folder, which is made where there is none.
    pub(in crate::process) fn open(&self) -> rustix::io::Result<OwnedFd> {
        let home = self.0.home.folder();
        let mut name = self.0.name.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(name) = &*name {
            match open_folder(home, name) {
                // Somebody has tidied up: it was empty between two processes.
                Err(Errno::NOENT) => make(name, home)?,
                other => return other,
            }
            return open_folder(home, name);
        }
        for count in 1..MOST_ALIKE {
            let text = match count {
                1 => self.0.label.clone(),
                more => format!("{}.{more}", self.0.label),
            };
            let candidate = CString::new(text).map_err(|_| Errno::INVAL)?;
            match make(&candidate, home) {
                // Of another version of this worker.
                Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
                Ok(()) => return open_folder(home, name.insert(candidate)),
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

    /// What to say where a child could not be put into it.
    pub(in crate::process) fn complain(&self, error: Errno) {
        self.0.home.complain(error);
    }
}

impl Inner {
    /// Kills everyone where that is wanted. The next child comes into a new folder: not all may be
    /// gone by then, and the kernel would kill it too.
    fn end(&self, wanted: impl FnOnce(&OwnedFd) -> bool) {
        let mut name = self.name.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(folder) = name.as_ref().map(|name| open_folder(self.home.folder(), name)) else {
            return;
        };
        // One that is not there has nobody in it. Where it fails otherwise, the marks are left.
        if let Ok(folder) = folder
            && wanted(&folder)
        {
            let _ = end_all(folder);
            self.remove(name.take());
        }
    }

    fn remove(&self, name: Option<CString>) {
        if let Some(name) = name {
            // Without the thread, the guardian removes it.
            let _ = self.orders.send(Order::Remove(name));
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        let name = self.name.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        self.remove(name);
    }
}

fn make(name: &CStr, home: rustix::fd::BorrowedFd<'_>) -> rustix::io::Result<()> {
    mkdirat(home, name, Mode::from_raw_mode(0o755))
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
