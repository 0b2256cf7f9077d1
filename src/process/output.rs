//! Our end of a pipe in which a child writes.
//!
//! A pipe that the runtime watches wakes up one of its threads with every line that a child flushes,
//! and with its end, whether anybody waits for it or not. So it is watched only from when it was read
//! and found empty, until somebody says that nobody waits.

use std::io;
use std::mem;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::io::Errno;
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::unix::pipe;
use tokio::task::coop::poll_proceed;

/// Our end of a child's stdout or stderr. To be read within a runtime.
#[derive(Debug)]
pub struct ChildOutput(Pipe);

#[derive(Debug)]
enum Pipe {
    /// What comes wakes up whoever waits for it.
    Watched(pipe::Receiver),
    /// What comes wakes up nobody.
    Unwatched(OwnedFd),
    /// It got lost on the way from one to the other.
    Gone,
}

impl ChildOutput {
    /// Takes over a descriptor that does not block.
    pub(super) fn new(pipe: OwnedFd) -> Self {
        Self(Pipe::Unwatched(pipe))
    }

    /// What comes wakes up nobody until this is read again and found empty.
    pub fn rest(&mut self) {
        self.0 = match mem::replace(&mut self.0, Pipe::Gone) {
            Pipe::Watched(pipe) => pipe.into_nonblocking_fd().map_or(Pipe::Gone, Pipe::Unwatched),
            other => other,
        };
    }

    fn watch(&mut self) -> io::Result<Pin<&mut pipe::Receiver>> {
        self.0 = match mem::replace(&mut self.0, Pipe::Gone) {
            Pipe::Unwatched(pipe) => Pipe::Watched(pipe::Receiver::from_owned_fd_unchecked(pipe)?),
            other => other,
        };
        match &mut self.0 {
            Pipe::Watched(pipe) => Ok(Pin::new(pipe)),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }
}

impl AsyncRead for ChildOutput {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if let Pipe::Unwatched(pipe) = &this.0 {
            // Or whoever reads a child that never stops writing would never let go of its thread.
            let turn = ready!(poll_proceed(context));
            match rustix::io::read(pipe, buffer.initialize_unfilled()) {
                Err(Errno::AGAIN | Errno::INTR) => {}
                read => {
                    turn.made_progress();
                    buffer.advance(read?);
                    return Poll::Ready(Ok(()));
                }
            }
        }
        this.watch()?.poll_read(context, buffer)
    }
}
