//! What a child does between fork and exec, and which files it may inherit: the only place with
//! `unsafe`.

#![expect(
    unsafe_code,
    reason = "between fork and exec, and on descriptors of others, nothing is safe by type"
)]

use std::fs;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::sys::signal::{SaFlags, SigAction, SigHandler, SigSet, Signal, sigaction};
use rustix::io::{Errno, FdFlags, dup2, fcntl_getfd, fcntl_setfd};
use rustix::process::{getpid, getppid, set_parent_process_death_signal};

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

/// Has the child of this command die with the thread that spawns it, lead its own process group,
/// take every signal the default way, and find the file `extra`, which must be open until it is
/// spawned, as its descriptor 3.
pub(super) fn prepare(command: &mut Command, extra: Option<RawFd>) {
    command.process_group(0);
    let parent = getpid();
    let prelude = move || -> io::Result<()> {
        let default = SigAction::new(SigHandler::SigDfl, SaFlags::empty(), SigSet::empty());
        for signal in BACK_TO_DEFAULT {
            // SAFETY: the default action runs no code of ours.
            unsafe { sigaction(signal, &default) }?;
        }
        if let Some(extra) = extra {
            // SAFETY: `extra` was open when the process forked, so it is here.
            give_extra(unsafe { BorrowedFd::borrow_raw(extra) })?;
        }
        set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
        // The parent may have died before that took effect; then nobody would be told.
        if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH.into()) }
    };
    // SAFETY: after fork in a process with threads, only async-signal-safe calls are allowed. The
    // closure makes system calls (sigaction, dup2, fcntl, prctl, getppid) and nothing else: it takes no lock,
    // allocates nothing (an `io::Error` of an error number is a plain number), and reads only what
    // was copied into it.
    unsafe { command.pre_exec(prelude) };
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
