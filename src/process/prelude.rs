//! What a child does until it becomes its program, and which files it may inherit.

#![expect(
    unsafe_code,
    reason = "on descriptors and signals of a child that is not yet its program, nothing is safe by type"
)]

use std::ffi::CStr;
use std::fs;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use rustix::fs::Mode;
use rustix::io::{Errno, FdFlags, dup2, fcntl_getfd, fcntl_setfd};
use rustix::process::{
    Pid, Resource, Rlimit, chdir, getegid, geteuid, getgid, getppid, getuid,
    set_parent_process_death_signal, setrlimit, setsid, umask,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::family::Mark;
use super::identity::Identity;
use super::limits::Limit;

/// The descriptor that a child may have beside the standard three.
const EXTRA: RawFd = 3;

/// What a child is given on its way. All of it is found out before it starts.
#[derive(Debug, Default)]
pub(super) struct Prelude {
    /// A file, open until the child is started, that it finds as its descriptor 3.
    pub(super) extra: Option<RawFd>,
    pub(super) mark: Option<Mark>,
    pub(super) identity: Option<Identity>,
    pub(super) limits: Vec<Limit>,
    pub(super) umask: Option<u16>,
    pub(super) no_new_privs: bool,
}

impl Prelude {
    /// Has this process, a child that is not yet its program, die with the thread of `parent` that
    /// started it, lead a session and a process group of its own, take every signal the default
    /// way, have `files` as its standard three and all that is said here. No signal may reach it
    /// before.
    ///
    /// It makes system calls and nothing else (those of rustix go straight to the kernel, for the
    /// calling thread alone): takes no lock, allocates nothing and frees nothing.
    pub(super) fn take_on(
        &self,
        parent: Pid,
        cwd: &CStr,
        files: [BorrowedFd<'_>; 3],
    ) -> rustix::io::Result<()> {
        for (number, file) in (0..).zip(files) {
            give(file, number)?;
        }
        if let Some(extra) = self.extra {
            // SAFETY: `extra` was open when this process was started, so it is here; it is no
            // standard file, so it is what it was still.
            give(unsafe { BorrowedFd::borrow_raw(extra) }, EXTRA)?;
        }
        chdir(cwd)?;
        setsid()?;
        // A limit above what is allowed needs the rights that the next step gives away.
        for (resource, limit, _) in &self.limits {
            setrlimit(*resource, *limit)?;
        }
        if let Some(mask) = self.umask {
            umask(Mode::from_raw_mode(mask.into()));
        }
        if let Some(identity) = &self.identity {
            become_them(identity)?;
        }
        if let Some(mark) = self.mark {
            let limit = Rlimit { current: Some(mark.0), maximum: None };
            setrlimit(Resource::Locks, limit)?;
        }
        if self.no_new_privs {
            set_no_new_privs(true)?;
        }
        // Only now: the kernel forgets it when the user changes.
        set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // The parent may have died before that took effect; then nobody would be told.
        if getppid() != Some(parent) {
            return Err(Errno::SRCH);
        }
        hear_all_signals();
        Ok(())
    }
}

/// Takes every signal the default way, and lets it come. Our parent may have had us ignore some, as
/// a shell does for what it puts into the background and `nohup` does for SIGHUP; an ignored signal
/// stays ignored over exec, and a consumer could then not be stopped by it. What we handle
/// ourselves would fall back at exec; but what comes between here and there would be handled.
fn hear_all_signals() {
    let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
    for signal in Signal::iterator() {
        // Two signals are always taken the default way, and say so.
        // SAFETY: the default action runs no code of ours.
        let _ = unsafe { sigaction(signal, &default) };
    }
    // It fails only for what is no way to change a mask.
    let _ = SigSet::empty().thread_set_mask();
}

/// Takes on an identity for good. Groups go first: who is no longer root cannot drop them.
fn become_them(identity: &Identity) -> rustix::io::Result<()> {
    set_thread_groups(&identity.groups)?;
    let gid = identity.gid;
    set_thread_res_gid(gid, gid, gid)?;
    let Some(uid) = identity.uid else { return Ok(()) };
    set_thread_res_uid(uid, uid, uid)?;
    let taken = getuid() == uid && geteuid() == uid && getgid() == gid && getegid() == gid;
    if !uid.is_root() {
        // The kernel takes capabilities from who was root, but not from who only had some.
        clear_ambient_capability_set()?;
        let none = CapabilitySet::empty();
        set_capabilities(
            None,
            CapabilitySets { effective: none, permitted: none, inheritable: none },
        )?;
        let root = rustix::fs::Uid::ROOT;
        if set_thread_res_uid(root, root, root).is_ok() {
            return Err(Errno::PERM);
        }
    }
    if taken { Ok(()) } else { Err(Errno::PERM) }
}

/// Makes the file the descriptor of that number, to be kept over exec.
fn give(file: BorrowedFd<'_>, number: RawFd) -> rustix::io::Result<()> {
    if file.as_raw_fd() == number {
        // Copied onto itself it would keep the mark that closes it.
        return fcntl_setfd(file, FdFlags::empty());
    }
    // SAFETY: this is the child, alone with its copy of the descriptors; whatever has this number
    // is not used by anything that happens before exec. It is never closed from here.
    let mut target = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(number) });
    dup2(file, &mut target)
}

/// Marks every descriptor beyond the standard three as close-on-exec. All that this program opens
/// is marked from the start; this is about what it inherited.
pub(super) fn seal_inherited_descriptors() -> io::Result<()> {
    for entry in fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse::<RawFd>().ok())
        else {
            continue;
        };
        if number <= 2 {
            continue;
        }
        // SAFETY: nothing is done to the open file itself, and the borrow ends with this turn of
        // the loop. Should the number be closed meanwhile, the calls fail; should it be reused, the
        // new file has the mark already.
        let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
        if let Ok(flags) = fcntl_getfd(descriptor)
            && !flags.contains(FdFlags::CLOEXEC)
        {
            let _ = fcntl_setfd(descriptor, flags | FdFlags::CLOEXEC);
        }
    }
    Ok(())
}
