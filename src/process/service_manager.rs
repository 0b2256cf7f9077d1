//! What started this process as a service, and what it is told: systemd's `sd_notify` protocol.
//!
//! The socket is opened once and never waited for. A process that has run out of descriptors can
//! still say that it lives, and a service manager that does not read holds nobody up.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// The longest status line, bytes.
const LONGEST_STATUS: usize = 512;

/// Whoever started this process as a service; nobody, where it was started otherwise.
#[derive(Debug, Default)]
pub struct ServiceManager {
    socket: Option<(UnixDatagram, SocketAddr)>,
    watchdog: Option<Duration>,
}

impl ServiceManager {
    /// The one that `NOTIFY_SOCKET` names, and the time of its watchdog (`WATCHDOG_USEC`, where
    /// `WATCHDOG_PID` is this process or unset).
    ///
    /// # Errors
    /// There is one, but no socket to speak to it.
    pub fn found() -> io::Result<Self> {
        let Some(name) = env::var_os("NOTIFY_SOCKET").filter(|name| !name.is_empty()) else {
            return Ok(Self::default());
        };
        let number = |name| env::var(name).ok()?.parse::<u64>().ok();
        let ours =
            env::var_os("WATCHDOG_PID").is_none_or(|pid| *pid == *std::process::id().to_string());
        let watchdog = number("WATCHDOG_USEC").filter(|micros| ours && *micros > 0);
        let open = || {
            let socket = UnixDatagram::unbound()?;
            socket.set_nonblocking(true)?;
            Ok((socket, address(&name)?))
        };
        let refused = |error: io::Error| {
            io::Error::new(error.kind(), format!("the socket of `NOTIFY_SOCKET`: {error}"))
        };
        let socket = Some(open().map_err(refused)?);
        Ok(Self { socket, watchdog: watchdog.map(Duration::from_micros) })
    }

    /// How often [`ServiceManager::alive`] has to be called, so that the watchdog never bites.
    pub fn beat(&self) -> Option<Duration> {
        self.watchdog.map(|limit| limit / 2)
    }

    /// It works now, or again after a reload; and what it does, in one line.
    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\n{}", status_line(status)));
    }

    /// What it does now, in one line.
    pub fn status(&self, status: &str) {
        self.tell(&status_line(status));
    }

    /// It has begun to read its files again; [`ServiceManager::ready`] follows.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let micros = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
    }

    /// It has begun to end.
    pub fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\n{}", status_line(status)));
    }

    /// It lives.
    pub fn alive(&self) {
        self.tell("WATCHDOG=1\n");
    }

    fn tell(&self, message: &str) {
        let Some((socket, address)) = &self.socket else { return };
        if let Err(error) = socket.send_to_addr(message.as_bytes(), address) {
            tracing::debug!(%error, "the service manager does not listen");
        }
    }
}

/// The path of a socket, or `@` and the name of an abstract one.
fn address(name: &OsStr) -> io::Result<SocketAddr> {
    match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(name),
    }
}

/// One line: what follows in the message would be commands.
fn status_line(status: &str) -> String {
    let line: String =
        status.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    format!("STATUS={}\n", &line[..line.floor_char_boundary(LONGEST_STATUS)])
}
