//! Starts a process inside a control group: the system call, as the C library has none for it.
//!
//! The other way, a process that moves itself, makes the kernel wait until no processor is in the
//! middle of a fork: ten milliseconds where nobody has done so lately, and for that long nobody on
//! the machine starts a process. Some may not use this one: sandboxes that forbid some flags of
//! `clone` forbid `clone3` as a whole, because they cannot look at its flags.

#![expect(unsafe_code, reason = "a system call after which two processes go on from one place")]

use std::ffi::{c_int, c_void};
use std::os::fd::{AsRawFd as _, BorrowedFd, FromRawFd as _, OwnedFd};
use std::sync::atomic::{AtomicBool, Ordering};

use nix::libc;
use rustix::io::Errno;
use rustix::process::Pid;

/// `CLONE_INTO_CGROUP` (Linux 5.7).
const INTO_GROUP: u64 = 0x2_0000_0000;

/// Whether the system has once said that it has no such call for us.
static ABSENT: AtomicBool = AtomicBool::new(false);

/// The stack of a process that is to start, from its lowest address.
pub(super) struct Ground {
    pub(super) lowest: *mut c_void,
    /// Bytes, a multiple of 16, as the address is.
    pub(super) size: usize,
}

/// What a process does that was started; it must not return.
pub(super) type Run = extern "C" fn(*mut c_void) -> c_int;

/// Has every process from now on start the other way.
pub(super) fn forbid() {
    ABSENT.store(true, Ordering::Relaxed);
}

/// Starts a process in that group, on that stack, as `clone` would with these flags and as a child
/// that tells of its end by `SIGCHLD`; gives its number and, with `CLONE_PIDFD`, the descriptor of
/// it. Nothing where the system has no such call for us, now and from now on; then nothing was
/// started.
///
/// Linux kills the process at its birth where somebody in the group was ever killed through
/// `cgroup.kill` more often than in ours, or less often (from 6.14 on, and in older ones since
/// 2025; it compares two counts of which it takes one from the wrong group). So a group is used no
/// more after that, and whether the process has begun is to be looked at.
///
/// # Safety
/// As for `libc::clone`, with `CLONE_VM` and `CLONE_VFORK` among the flags: the stack belongs to
/// nobody else, `run` and what `argument` points to bear being used in a process that shares our
/// memory, and `run` never returns.
pub(super) unsafe fn clone_into(
    group: BorrowedFd<'_>,
    flags: c_int,
    ground: &Ground,
    run: Run,
    argument: *mut c_void,
) -> Option<rustix::io::Result<(Pid, Option<OwnedFd>)>> {
    if ABSENT.load(Ordering::Relaxed) {
        return None;
    }
    let mut handle: c_int = -1;
    let group = u64::try_from(group.as_raw_fd()).ok()?;
    let arguments = libc::clone_args {
        flags: u64::from(flags.cast_unsigned()) | INTO_GROUP,
        pidfd: (&raw mut handle).expose_provenance() as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: libc::SIGCHLD as u64,
        stack: ground.lowest.expose_provenance() as u64,
        stack_size: ground.size as u64,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: group,
    };
    // SAFETY: as the caller promises.
    let result = unsafe { clone3(&arguments, run, argument) };
    if let Some(pid) = i32::try_from(result).ok().filter(|_| result > 0).and_then(Pid::from_raw) {
        // SAFETY: the call has just opened it, for us.
        let handle = (handle >= 0).then(|| unsafe { OwnedFd::from_raw_fd(handle) });
        return Some(Ok((pid, handle)));
    }
    let error = Errno::from_raw_os_error(c_int::try_from(-result).unwrap_or(libc::EINVAL));
    if matches!(error, Errno::NOSYS | Errno::PERM | Errno::TOOBIG | Errno::INVAL) {
        forbid();
        return None;
    }
    Some(Err(error))
}

/// The system call. The number of the process, or of an error below zero.
///
/// # Safety
/// As for [`clone_into`].
#[cfg(target_arch = "x86_64")]
unsafe fn clone3(arguments: &libc::clone_args, run: Run, argument: *mut c_void) -> i64 {
    let result: i64;
    // SAFETY: this process leaves the block where it entered it, with all registers but those that
    // are named as the kernel found them; it stands still until the other has left its memory, of
    // which the other changes what `run` may and its own stack. The other process never leaves the
    // block: it begins at the end of its stack, aligned as a call needs it, calls `run`, and would
    // be killed by the instruction after that.
    unsafe {
        std::arch::asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            // The outermost frame, for whoever walks the stack.
            "xor ebp, ebp",
            "mov rdi, r13",
            "call r12",
            "ud2",
            "2:",
            inlateout("rax") libc::SYS_clone3 => result,
            in("rdi") arguments,
            in("rsi") size_of::<libc::clone_args>(),
            in("r12") run,
            in("r13") argument,
            lateout("rcx") _,
            lateout("r11") _,
        );
    }
    result
}

/// Nobody has written and seen it for this kind of processor yet.
///
/// # Safety
/// None is needed.
#[cfg(not(target_arch = "x86_64"))]
unsafe fn clone3(_: &libc::clone_args, _: Run, _: *mut c_void) -> i64 {
    -i64::from(libc::ENOSYS)
}
