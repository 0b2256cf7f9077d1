//! The socket of a connection, as lapin reads it: in gulps while much comes in small pieces.

use std::future::Future;
use std::io::{self, Read, Write};
use std::mem;
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::thread;
use std::time::{Duration, Instant};

use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::io::{AsyncRead, AsyncWrite};
use futures_util::{Stream, TryFutureExt as _};
use tokio::io::{AsyncRead as _, AsyncWrite as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::time::Sleep;

use crate::supervise::{Gulps, PAUSE};

/// See the module's text. Written to at once, but for the pause before a gulp.
///
/// lapin has a thread for each connection, which does nothing but read and write here, so a pause
/// is slept in that thread: a timer of the runtime would wake up two more.
pub(super) struct GulpingStream {
    socket: Socket,
    runtime: Handle,
    gulps: Gulps,
    /// Whether something was read since it was last dry.
    fresh: bool,
    /// Whether to sleep before anything is read.
    napping: bool,
    /// Whether a write waits for room.
    stuck: bool,
}

/// Who has the socket.
enum Socket {
    /// The runtime, which wakes up whoever waits for it.
    Watched(TcpStream),
    /// Nobody else: whatever comes wakes up no thread at all.
    Unwatched(std::net::TcpStream),
    /// It got lost on the way from one to the other.
    Gone,
}

impl GulpingStream {
    /// Must be called within a runtime.
    pub(super) fn new(socket: TcpStream) -> Self {
        Self {
            socket: Socket::Watched(socket),
            runtime: Handle::current(),
            gulps: Gulps::default(),
            fresh: false,
            napping: false,
            stuck: false,
        }
    }

    /// The socket, as the runtime watches it.
    fn watch(&mut self) -> io::Result<Pin<&mut TcpStream>> {
        self.socket = match mem::replace(&mut self.socket, Socket::Gone) {
            Socket::Unwatched(socket) => {
                let _within = self.runtime.enter();
                Socket::Watched(TcpStream::from_std(socket)?)
            }
            other => other,
        };
        match &mut self.socket {
            Socket::Watched(socket) => Ok(Pin::new(socket)),
            _ => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Takes the socket from the runtime, unless that is to tell when it can be written to.
    fn unwatch(&mut self) {
        self.socket = match mem::replace(&mut self.socket, Socket::Gone) {
            Socket::Watched(socket) if !self.stuck => {
                socket.into_std().map_or(Socket::Gone, Socket::Unwatched)
            }
            other => other,
        };
    }

    /// Has lapin deal with what it has, and come back for a nap and more.
    fn nap<T>(&mut self, context: &Context<'_>) -> Poll<T> {
        self.napping = true;
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

impl AsyncRead for GulpingStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if mem::take(&mut this.napping) {
            this.unwatch();
            thread::sleep(PAUSE);
        } else if mem::take(&mut this.fresh)
            && this.gulps.in_gulps()
            && this.gulps.dry(Instant::now())
        {
            return this.nap(context);
        }
        if let Socket::Unwatched(socket) = &mut this.socket {
            match socket.read(buffer) {
                Ok(count) => {
                    this.gulps.read(count);
                    this.fresh = count < buffer.len();
                    return Poll::Ready(Ok(count));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if this.gulps.dry(Instant::now()) {
                        return this.nap(context);
                    }
                }
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
        let mut into = ReadBuf::new(buffer);
        let read = this.watch()?.poll_read(context, &mut into);
        match &read {
            Poll::Ready(Ok(())) => {
                this.fresh = true;
                this.gulps.read(into.filled().len());
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                this.gulps.dry(Instant::now());
            }
        }
        read.map_ok(|()| into.filled().len())
    }
}

impl AsyncWrite for GulpingStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Socket::Unwatched(socket) = &mut this.socket {
            match socket.write(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
        let written = this.watch()?.poll_write(context, buffer);
        this.stuck = written.is_pending();
        written
    }

    /// A socket keeps nothing back.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.get_mut().watch()?.poll_shutdown(context))?;
        Poll::Ready(Ok(()))
    }
}

/// What lapin runs on: tokio, with the sockets of this module.
pub(super) fn runtime() -> Runtime<RuntimeParts<Tokio, Sockets>> {
    Runtime::new(RuntimeParts::new(Tokio::current(), Sockets(Tokio::current())))
}

/// tokio's reactor, but for the type of its sockets.
#[derive(Clone, Debug)]
pub(super) struct Sockets(Tokio);

impl Reactor for Sockets {
    type TcpStream = GulpingStream;
    type Sleep = Sleep;

    /// For sockets that somebody else has connected, of which lapin has none.
    fn register<H: Read + Write + Send + 'static>(
        &self,
        _: H,
    ) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + 'static> {
        Err::<GulpingStream, _>(io::ErrorKind::Unsupported.into())
    }

    fn sleep(&self, duration: Duration) -> Sleep {
        self.0.sleep(duration)
    }

    fn interval(&self, duration: Duration) -> impl Stream<Item = Instant> + Send + 'static {
        self.0.interval(duration)
    }

    fn tcp_connect_addr(
        &self,
        address: SocketAddr,
    ) -> impl Future<Output = io::Result<GulpingStream>> + Send + 'static {
        TcpStream::connect(address).map_ok(GulpingStream::new)
    }
}
