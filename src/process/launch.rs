//! Starts a process that shares our memory until it has become its program.
//!
//! A fork copies the page tables, and every page that anybody writes to afterwards; the larger this
//! process is, the dearer. A process that is cloned with `CLONE_VM` and `CLONE_VFORK`, as
//! `posix_spawn` does it, costs the same whatever we hold: it borrows our memory, and the thread that
//! started it stands still until it has let go of it by becoming its program or by ending. It has
//! descriptors, limits, signal handlers, folder, identity and mask of its own from the start, so
//! all that a child is given can be given there; `posix_spawn` itself knows only half of it.
//!
//! It is the child of the thread that started it like any other: that thread waits for it, and the
//! kernel kills it when that thread ends.

#![expect(unsafe_code, reason = "a process that shares memory is beyond what types can tell")]

use std::ffi::{CStr, c_char, c_int, c_void};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

use nix::libc;
use nix::sys::signal::{SigSet, SigmaskHow};
use rustix::fs::{Mode, OFlags, openat};
use rustix::io::Errno;
use rustix::process::{Pid, WaitId, WaitIdOptions, getpid, waitid};

use super::clone_into::{Ground, clone_into, forbid};
use super::control_groups::ControlGroup;
use super::image::{Image, Refusal};
use super::prelude::Prelude;

/// Bytes of the stack on which a child lives until it is its program. It is some calls deep, none of
/// which calls itself or has large variables; a debug build takes a few thousand of them.
const STACK: usize = 256 * 1024;

/// The kernel wants the beginning of a stack aligned like this.
#[repr(align(16))]
#[derive(Clone, Copy)]
struct Aligned(#[expect(dead_code, reason = "it is memory, not a value")] [u8; 16]);

/// The stack of one child after the other.
pub(super) struct Stack(Box<[MaybeUninit<Aligned>]>);

impl Stack {
    pub(super) fn new() -> Self {
        Self(Box::new_uninit_slice(STACK / size_of::<Aligned>()))
    }

    /// Where it begins: it grows downwards on everything that Linux runs on but for HP's PA-RISC.
    fn top(&mut self) -> *mut c_void {
        self.0.as_mut_ptr_range().end.cast()
    }

    fn ground(&mut self) -> Ground {
        Ground { lowest: self.0.as_mut_ptr().cast(), size: STACK }
    }
}

/// A process that was started.
pub(super) struct Launched {
    pub(super) pid: Pid,
    /// Becomes readable when it ends.
    pub(super) ended: OwnedFd,
}

/// What a child needs until it is its program.
struct Errand<'a> {
    image: &'a Image,
    /// Its standard three.
    files: [BorrowedFd<'a>; 3],
    prelude: &'a Prelude,
    parent: Pid,
    /// Where it puts itself into its control group, where it is not there from the start.
    join: Option<BorrowedFd<'a>>,
    /// Whether it has executed an instruction.
    begun: AtomicBool,
    /// The number of the error where it could not join; else 0.
    outside: AtomicI32,
    /// The number of the error where it could not become its program; else 0.
    refusal: AtomicI32,
}

impl<'a> Errand<'a> {
    fn new(image: &'a Image, files: [BorrowedFd<'a>; 3], prelude: &'a Prelude) -> Self {
        let (outside, refusal) = (AtomicI32::new(0), AtomicI32::new(0));
        let (begun, join) = (AtomicBool::new(false), None);
        Self { image, files, prelude, parent: getpid(), join, begun, outside, refusal }
    }
}

/// Starts a process with these three files as its standard ones, in that control group from its
/// first instruction on. Returns when it is its program, or cannot be.
///
/// Where the group does not take it, it is started outside of it, which is said once.
pub(super) fn launch(
    image: &Image,
    files: [BorrowedFd<'_>; 3],
    prelude: &Prelude,
    group: Option<&ControlGroup>,
    stack: &mut Stack,
) -> io::Result<Launched> {
    let group = group.and_then(|group| Some((group, opened(group)?)));
    let mut errand = Errand::new(image, files, prelude);
    // A handler of ours must not run in the child: it would do so in our memory.
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let started = start(&mut errand, group.as_ref().map(|(_, folders)| folders), stack);
    mask.thread_set_mask()?;
    let (pid, ended) = started?;
    if let Some((group, _)) = group
        && let outside @ 1.. = errand.outside.load(Ordering::Relaxed)
    {
        group.complain(Errno::from_raw_os_error(outside));
    }
    let refusal = errand.refusal.load(Ordering::Relaxed);
    if refusal != 0 {
        // It is on its way out already.
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
    }
    let Some(ended) = ended else {
        // Nobody would learn of its end.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
        return Err(io::Error::other("this takes Linux 5.3 or later (`pidfd`)"));
    };
    if refusal == 0 {
        Ok(Launched { pid, ended })
    } else {
        Err(io::Error::from_raw_os_error(refusal))
    }
}

/// A group's folder, and where a process puts itself into it.
type Folders = (OwnedFd, OwnedFd);

fn opened(group: &ControlGroup) -> Option<Folders> {
    let folders = group.open().and_then(|folder| {
        let flags = OFlags::WRONLY | OFlags::CLOEXEC;
        let procs = openat(&folder, c"cgroup.procs", flags, Mode::empty())?;
        Ok((folder, procs))
    });
    folders.inspect_err(|&error| group.complain(error)).ok()
}

/// Starts the process of that errand in the group; its number, and a descriptor of it where the
/// system has such. Every signal is to be blocked.
fn start<'a>(
    errand: &mut Errand<'a>,
    folders: Option<&'a Folders>,
    stack: &mut Stack,
) -> io::Result<(Pid, Option<OwnedFd>)> {
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::CLONE_PIDFD;
    if let Some((folder, _)) = folders {
        let argument = (&raw const *errand).cast_mut().cast::<c_void>();
        // SAFETY: as for `clone` below.
        match unsafe { clone_into(folder.as_fd(), flags, &stack.ground(), run, argument) } {
            Some(Ok((pid, ended))) if !errand.begun.load(Ordering::Relaxed) => {
                // Killed at its birth. It has not touched the errand.
                let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
                drop(ended);
                forbid();
            }
            Some(Ok(started)) => return Ok(started),
            // There is no room for one more process, wherever it is.
            Some(Err(error @ (Errno::AGAIN | Errno::NOMEM))) => return Err(error.into()),
            Some(Err(_)) | None => {}
        }
    }
    errand.join = folders.map(|(_, procs)| procs.as_fd());
    let argument = (&raw const *errand).cast_mut().cast::<c_void>();
    let mut handle: c_int = -1;
    let flags = flags | libc::SIGCHLD;
    // A group whose memory runs out is killed as one, and a process that shares ours would take us
    // along. It does not come to that: the kernel spares who is in the middle of a vfork, and nobody
    // else is in the group for whom it could be killed.
    // SAFETY: the stack is nobody else's: it is borrowed mutably, and this returns only when the
    // child has left it, because of `CLONE_VFORK`. For that long `errand` and what it borrows stay
    // where they are too. `run` has the signature that `clone` asks for. What `run` may do in our
    // memory is said there. `handle` is where `CLONE_PIDFD` puts a descriptor.
    let pid = unsafe { libc::clone(run, stack.top(), flags, argument, &raw mut handle) };
    let failed = io::Error::last_os_error();
    let pid = Pid::from_raw(pid).filter(|_| pid > 0).ok_or(failed)?;
    // SAFETY: `clone` has just opened it, for us.
    let ended = (handle >= 0).then(|| unsafe { OwnedFd::from_raw_fd(handle) });
    Ok((pid, ended))
}

/// Starts a process like [`launch`] and ends it before the first instruction of its program, so that
/// the program does nothing at all: the error is why it cannot be started.
///
/// A process that is traced stands still when it has become its program. Where the system forbids
/// tracing, all that comes before is tried. This one has a copy of our memory: a system may kill
/// whoever asks to be traced, and some kernels whoever has the same memory.
pub(super) fn rehearse(
    image: &Image,
    files: [BorrowedFd<'_>; 3],
    prelude: &Prelude,
    stack: &mut Stack,
) -> io::Result<()> {
    let errand = Errand::new(image, files, prelude);
    let mask = SigSet::all().thread_swap_mask(SigmaskHow::SIG_SETMASK)?;
    let argument = (&raw const errand).cast_mut().cast::<c_void>();
    // SAFETY: the child has a copy of the stack and of all that `errand` borrows. `run_traced` has the
    // signature that `clone` asks for, and does what a child may that was forked by one of several
    // threads.
    let pid = unsafe { libc::clone(run_traced, stack.top(), libc::SIGCHLD, argument) };
    let failed = io::Error::last_os_error();
    mask.thread_set_mask()?;
    let Some(pid) = Pid::from_raw(pid).filter(|_| pid > 0) else { return Err(failed) };
    let ended = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED | WaitIdOptions::STOPPED)?;
    let Some(status) = ended.filter(|status| !status.stopped() && !status.trapped()) else {
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        let _ = waitid(WaitId::Pid(pid), WaitIdOptions::EXITED);
        return Ok(());
    };
    // What was killed on its way has shown nothing.
    match status.exit_status() {
        Some(refusal @ 1..) => Err(io::Error::from_raw_os_error(refusal)),
        _ => Ok(()),
    }
}

/// The child of [`rehearse`]. It ends with the number of the error with which it was refused; these
/// fit into an exit code.
extern "C" fn run_traced(errand: *mut c_void) -> c_int {
    // SAFETY: `rehearse` gives the address of its errand, of which this process has a copy.
    let errand = unsafe { &*errand.cast::<Errand<'_>>() };
    let refusal = match errand.prelude.take_on(errand.parent, &errand.image.cwd, errand.files) {
        // SAFETY: changes nothing but that this process stands still when it becomes its program.
        Ok(()) => match unsafe { libc::ptrace(libc::PTRACE_TRACEME) } {
            0 => errand.image.execute(execute).raw_os_error(),
            _ => 0,
        },
        Err(refusal) => refusal.raw_os_error(),
    };
    // SAFETY: ends this process and runs nothing that was registered for the end of ours.
    unsafe { libc::_exit(refusal) }
}

/// The child, until it is its program.
///
/// It has our memory, and a thread of ours stands still inside `clone` for it; our other threads
/// run on and may hold any lock. So it makes system calls, reads what was prepared, and writes to
/// nothing but its own stack, the errand, one pointer of the image that is meant for that, and the
/// `errno` of the thread that stands still, which looks at it only where there is no child. It
/// takes no lock, allocates and frees nothing, and never unwinds: what could panic would abort it
/// at the border of this function, and it alone.
extern "C" fn run(errand: *mut c_void) -> c_int {
    // SAFETY: `launch` gives the address of its errand, which stays until this process has left our
    // memory. Nobody has it mutably.
    let errand = unsafe { &*errand.cast::<Errand<'_>>() };
    errand.begun.store(true, Ordering::Relaxed);
    // First of all: what it starts is then inside as well, and it still has our rights.
    if let Some(join) = errand.join
        && let Err(error) = rustix::io::write(join, b"0")
    {
        errand.outside.store(error.raw_os_error(), Ordering::Relaxed);
    }
    let refusal = match errand.prelude.take_on(errand.parent, &errand.image.cwd, errand.files) {
        Ok(()) => errand.image.execute(execute),
        Err(refusal) => refusal,
    };
    errand.refusal.store(refusal.raw_os_error(), Ordering::Relaxed);
    // SAFETY: ends this process alone, and runs nothing that was registered for the end of ours.
    unsafe { libc::_exit(127) }
}

fn execute(
    program: &CStr,
    arguments: *const *const c_char,
    variables: *const *const c_char,
) -> Refusal {
    // SAFETY: the image gives strings with a zero at their end, in lists with a null at theirs.
    unsafe { libc::execve(program.as_ptr(), arguments, variables) };
    Refusal::from_raw_os_error(nix::Error::last_raw())
}
