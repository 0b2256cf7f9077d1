//! The socket of a connection, as lapin reads it: in gulps while much comes in small pieces.

use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use async_compat::Compat;
use async_rs::traits::Reactor;
use async_rs::util::RuntimeParts;
use async_rs::{Runtime, Tokio};
use futures_util::io::{AsyncRead, AsyncWrite};
use futures_util::{Stream, TryFutureExt as _};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use crate::supervise::{Gulps, PAUSE};

/// See the module's text. Written to at once.
pub(super) struct GulpingStream {
    socket: Compat<TcpStream>,
    gulps: Gulps,
    /// Whether something was read since it was last dry.
    fresh: bool,
    /// Before its end nothing is read.
    nap: Pin<Box<Sleep>>,
    napping: bool,
}

impl GulpingStream {
    /// Must be called within a runtime.
    pub(super) fn new(socket: TcpStream) -> Self {
        Self {
            socket: Compat::new(socket),
            gulps: Gulps::default(),
            fresh: false,
            nap: Box::pin(tokio::time::sleep(Duration::ZERO)),
            napping: false,
        }
    }
}

impl AsyncRead for GulpingStream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if this.fresh && this.gulps.in_gulps() {
            // Not asking the socket, which would wake us up with the next piece.
            this.fresh = false;
            if this.gulps.dry(Instant::now()) {
                this.nap.as_mut().reset(tokio::time::Instant::now() + PAUSE);
                this.napping = true;
            }
        }
        if this.napping {
            ready!(this.nap.as_mut().poll(context));
            this.napping = false;
        }
        let read = Pin::new(&mut this.socket).poll_read(context, buffer);
        match &read {
            Poll::Ready(Ok(count)) => {
                this.fresh = true;
                this.gulps.read(*count);
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => {
                this.fresh = false;
                this.gulps.dry(Instant::now());
            }
        }
        read
    }
}

impl AsyncWrite for GulpingStream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().socket).poll_write(context, buffer)
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_close(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_close(context)
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
