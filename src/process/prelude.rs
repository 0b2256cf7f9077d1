//! What a child does between fork and exec, and which files it may inherit.

#![expect(
    unsafe_code,
    reason = "between fork and exec, and on descriptors of others, nothing is safe by type"
)]

use std::fs;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use rustix::fs::Mode;
use rustix::io::{Errno, FdFlags, dup2, fcntl_getfd, fcntl_setfd};
use rustix::process::{
    Resource, Rlimit, getegid, geteuid, getgid, getpid, getppid, getuid,
    set_parent_process_death_signal, setrlimit, setsid, umask,
};
use rustix::thread::{
    CapabilitySet, CapabilitySets, clear_ambient_capability_set, set_capabilities,
    set_no_new_privs, set_thread_groups, set_thread_res_gid, set_thread_res_uid,
};

use super::family::Mark;
use super::identity::Identity;
use super::limits::Limit;

/// Signals that the parent of this process may have had it ignore, as a shell does for what it
/// puts into the background and `nohup` does for SIGHUP. An ignored signal stays ignored over exec,
/// and a consumer could then not be stopped by it. (Caught ones fall back by themselves, and the
/// standard library sees to SIGPIPE and to the signal mask.)
const BACK_TO_DEFAULT: [Signal; 7] = [
    Signal::SIGHUP,
    Signal::SIGINT,
    Signal::SIGQUIT,
    Signal::SIGTERM,
    Signal::SIGUSR1,
    Signal::SIGUSR2,
    Signal::SIGCHLD,
];

/// The descriptor that a child may have beside the standard three.
const EXTRA: RawFd = 3;

/// What a child is given on its way. All of it is found out before the fork.
#[derive(Debug, Default)]
pub(super) struct Prelude {
    /// A file, open until the child is spawned, that it finds as its descriptor 3.
    pub(super) extra: Option<RawFd>,
    pub(super) mark: Option<Mark>,
    pub(super) identity: Option<Identity>,
    pub(super) limits: Vec<Limit>,
    pub(super) umask: Option<u16>,
    pub(super) no_new_privs: bool,
}

/// Has the child of this command die with the thread that spawns it, lead a session and a process
/// group of its own, take every signal the default way, and have what `given` says.
pub(super) fn prepare(command: &mut Command, given: Prelude) {
    let parent = getpid();
    let prelude = move || -> io::Result<()> {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        for signal in BACK_TO_DEFAULT {
            // SAFETY: the default action runs no code of ours.
            unsafe { sigaction(signal, &default) }?;
        }
        if let Some(extra) = given.extra {
            // SAFETY: `extra` was open when the process forked, so it is here.
            give_extra(unsafe { BorrowedFd::borrow_raw(extra) })?;
        }
        setsid()?;
        // A limit above what is allowed needs the rights that the next step gives away.
        for (resource, limit, _) in &given.limits {
            setrlimit(*resource, *limit)?;
        }
        if let Some(mask) = given.umask {
            umask(Mode::from_raw_mode(mask.into()));
        }
        if let Some(identity) = &given.identity {
            become_them(identity)?;
        }
        if let Some(mark) = given.mark {
            let limit = Rlimit { current: Some(mark.0), maximum: None };
            setrlimit(Resource::Locks, limit)?;
        }
        if given.no_new_privs {
            set_no_new_privs(true)?;
        }
        // Only now: the kernel forgets it when the user changes.
        set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // The parent may have died before that took effect; then nobody would be told.
        if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH.into()) }
    };
    // SAFETY: after fork in a process with threads, only async-signal-safe calls are allowed. The
    // closure makes system calls and nothing else (those of rustix go straight to the kernel, for
    // this thread, which is the only one there): it takes no lock, allocates nothing and frees
    // nothing (an `io::Error` of an error number is a plain number), and reads only what was copied
    // into it.
    unsafe { command.pre_exec(prelude) };
}

/// Takes on an identity for good. Groups go first: who is no longer root cannot drop them.
fn become_them(identity: &Identity) -> io::Result<()> {
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
            return Err(Errno::PERM.into());
        }
    }
    if taken { Ok(()) } else { Err(Errno::PERM.into()) }
}

/// Makes the file descriptor 3 of this process, to be kept over exec.
fn give_extra(file: BorrowedFd<'_>) -> io::Result<()> {
    if file.as_raw_fd() == EXTRA {
        // Copied onto itself it would keep the mark that closes it.
        return Ok(fcntl_setfd(file, FdFlags::empty())?);
    }
    // SAFETY: this is the child, alone with its copy of the descriptors; whatever has this number
    // is not used by anything that happens before exec. It is never closed from here.
    let mut target = ManuallyDrop::new(unsafe { OwnedFd::from_raw_fd(EXTRA) });
    Ok(dup2(file, &mut target)?)
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
