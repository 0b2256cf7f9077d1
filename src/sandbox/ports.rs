//! Ports for one node.

use std::net::{Ipv4Addr, TcpListener};

use super::SandboxError;

/// The ports of one node, all on 127.0.0.1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) amqp: u16,
    pub(super) management: u16,
    pub(super) distribution: u16,
    pub(super) epmd: u16,
}

impl Ports {
    /// Four ports that are free now. Nothing reserves them until the node listens, so the caller
    /// tries again where someone was faster.
    pub(super) fn free() -> Result<Self, SandboxError> {
        // Below the ephemeral ranges of Linux (32768) and macOS (49152): the kernel never hands
        // such a port to somebody's outgoing connection while the node is down between a halt and
        // a resume.
        let mut candidates = std::iter::repeat_with(|| fastrand::u16(20_000..32_000)).take(1_000);
        let mut held: Vec<(u16, TcpListener)> = Vec::with_capacity(4);
        while held.len() < 4 {
            let port = candidates.next().ok_or(SandboxError::NoPorts)?;
            // Held until all are found, so that no port comes up twice.
            if let Ok(listener) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
                held.push((port, listener));
            }
        }
        let port = |index: usize| held[index].0;
        Ok(Self { amqp: port(0), management: port(1), distribution: port(2), epmd: port(3) })
    }

    /// Whether nobody listens on the ports of the broker itself.
    pub(super) fn broker_gone(self) -> bool {
        [self.amqp, self.management, self.distribution]
            .iter()
            .all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
    }
}
