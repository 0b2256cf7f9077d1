//! From what was asked for to a running child and our ends of its files.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd as _, AsRawFd as _, BorrowedFd, OwnedFd};

use bytes::{Buf as _, Bytes};
use rustix::fs::{OFlags, fcntl_setfl};
use rustix::io::Errno;
use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};
use rustix::pty::{OpenptFlags, grantpt, ioctl_tiocgptpeer, openpt, unlockpt};
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};

use super::child::Pipes;
use super::family::Mark;
use super::identity::Accounts;
use super::image::Image;
use super::launch::{Launched, Stack, launch, rehearse};
use super::prelude::Prelude;
use super::spawner::{Fd3, Input, SpawnError, SpawnRequest};
use super::{environment, limits};
use crate::model::Program;

/// How much of its input lies ready for a child while it works. The kernel's own 64 KiB hold a few
/// messages; beyond 64 MiB for all pipes of a user it gives out crippled ones.
const STDIN_PIPE: usize = 256 * 1024;

/// What a pipe holds that nobody enlarges.
const USUAL_PIPE: usize = 64 * 1024;

/// Both ends of a file of a child. Ours does not block.
struct Ends {
    ours: OwnedFd,
    theirs: OwnedFd,
}

/// A pipe in which the child writes, or reads.
fn pipe(child_reads: bool) -> rustix::io::Result<Ends> {
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC)?;
    let (ours, theirs) = if child_reads { (writer, reader) } else { (reader, writer) };
    fcntl_setfl(&ours, OFlags::NONBLOCK)?;
    Ok(Ends { ours, theirs })
}

/// A terminal that changes nothing on the way.
fn pseudo_terminal() -> rustix::io::Result<Ends> {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let ours = openpt(flags)?;
    grantpt(&ours)?;
    unlockpt(&ours)?;
    let theirs = ioctl_tiocgptpeer(&ours, flags)?;
    let mut settings = tcgetattr(&theirs)?;
    settings.make_raw();
    tcsetattr(&theirs, OptionalActions::Now, &settings)?;
    fcntl_setfl(&ours, OFlags::RDWR | OFlags::NONBLOCK)?;
    Ok(Ends { ours, theirs })
}

/// Starts what was asked for, with that mark.
pub(super) fn start_child(
    request: &SpawnRequest,
    mark: Option<Mark>,
    accounts: &mut Accounts,
    stack: &mut Stack,
) -> Result<(Launched, Pipes), SpawnError> {
    let group = request.group.as_ref();
    prepare(request, mark, accounts, |image, files, prelude| {
        launch(image, files, prelude, group, stack)
    })
}

/// Finds out whether that can be started, without having it do anything.
pub(super) fn rehearse_child(
    request: &SpawnRequest,
    accounts: &mut Accounts,
    stack: &mut Stack,
) -> Result<(), SpawnError> {
    prepare(request, None, accounts, |image, files, prelude| rehearse(image, files, prelude, stack))
        .map(|_| ())
}

/// Prepares all that a child takes, and starts it in that way.
fn prepare<T>(
    request: &SpawnRequest,
    mark: Option<Mark>,
    accounts: &mut Accounts,
    start: impl FnOnce(&Image, [BorrowedFd<'_>; 3], &Prelude) -> io::Result<T>,
) -> Result<(T, Pipes), SpawnError> {
    let confinement = &request.confinement;
    let account = accounts.find(confinement)?;
    let refused = |error| SpawnError::Refused {
        program: name(&request.program),
        cwd: request.cwd.clone(),
        error,
    };
    let mut variables: BTreeMap<OsString, OsString> =
        environment::passed(&confinement.env_pass).collect();
    variables.extend(account.env.into_iter().map(|(name, value)| (name.into(), value.into())));
    variables.extend(request.env.iter().map(|(name, value)| (name.into(), value.into())));
    let image = Image::new(&request.program, &request.cwd, &variables)
        .map_err(|error| refused(error.into()))?;
    let limits = limits::limits(&confinement.limits);
    let too_high = limits::too_high(&limits);
    let stranger = account.identity.is_some();

    let make = |ends: rustix::io::Result<Ends>| ends.map_err(|error| refused(error.into()));
    let stdin = make(pipe(true))?;
    let stdout = make(if request.terminal { pseudo_terminal() } else { pipe(false) })?;
    let stderr = make(pipe(false))?;
    let extra = request.fd3.map(|fd3| make(pipe(fd3 == Fd3::Metadata))).transpose()?;
    let unwritten = match &request.input {
        Input::Open => {
            enlarge(&stdin.ours, STDIN_PIPE);
            Bytes::new()
        }
        Input::Whole(bytes) => lay_ready(&stdin.ours, bytes),
    };
    let fed = request.input != Input::Open && unwritten.is_empty();
    let prelude = Prelude {
        extra: extra.as_ref().map(|extra| extra.theirs.as_raw_fd()),
        mark,
        identity: account.identity,
        limits,
        umask: confinement.umask,
        no_new_privs: confinement.no_new_privs,
    };
    let files = [stdin.theirs.as_fd(), stdout.theirs.as_fd(), stderr.theirs.as_fd()];
    let started = start(&image, files, &prelude).map_err(|error| {
        // A right is missing, rather than the permission for a file.
        let denied = error.raw_os_error() == Some(Errno::PERM.raw_os_error());
        match too_high {
            Some((key, most)) if denied => {
                SpawnError::Limit { program: name(&request.program), key, most }
            }
            None if denied && stranger => {
                SpawnError::Identity { program: name(&request.program), error }
            }
            _ => refused(error),
        }
    })?;
    let pipes = Pipes {
        stdin: (!fed).then_some(stdin.ours),
        unwritten,
        stdout: stdout.ours,
        stderr: stderr.ours,
        fd3: request.fd3.zip(extra.map(|extra| extra.ours)),
    };
    Ok((started, pipes))
}

/// Writes what the pipe holds; gives the rest.
fn lay_ready(pipe: &OwnedFd, bytes: &Bytes) -> Bytes {
    if bytes.len() > USUAL_PIPE {
        enlarge(pipe, bytes.len().min(STDIN_PIPE));
    }
    let mut rest = bytes.clone();
    while !rest.is_empty() {
        match rustix::io::write(pipe, &rest) {
            Ok(written) => rest.advance(written),
            Err(Errno::INTR) => {}
            // It is full. Whatever else it is, who writes the rest meets it too.
            Err(_) => break,
        }
    }
    rest
}

/// Where the limit of the user is reached, the usual size does as well.
fn enlarge(pipe: &OwnedFd, size: usize) {
    let _ = fcntl_setpipe_size(pipe, size);
}

/// The program, without its arguments.
fn name(program: &Program) -> String {
    match program {
        Program::Shell(_) => "/bin/sh".to_owned(),
        Program::Command(words) => words.first().cloned().unwrap_or_default(),
    }
}
