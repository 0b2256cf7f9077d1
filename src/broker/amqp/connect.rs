//! One attempt at a connection: resolve, dial, handshake, each within a limit.

use std::fmt;
use std::net::Shutdown;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lapin::protocol::{AMQPErrorKind, AMQPHardError, AMQPSoftError};
use lapin::{AsyncTcpStream, Connection, ConnectionProperties, ErrorKind};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::stream::{self, GulpingStream};
use crate::broker::tls;
use crate::model::Endpoint;
use crate::telemetry::ConnectionRole;

/// How long any single call on an open connection may take.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// How long name resolution and dialling may take, all addresses together.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long TLS and the AMQP handshake may take after that.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Heartbeat asked for where the address does not say, seconds. RabbitMQ's documentation finds
/// 5 to 20 best; below 5 there are false alarms.
const HEARTBEAT_SECONDS: u16 = 10;

/// Largest frame asked for where the address does not say, bytes: RabbitMQ's own default. lapin has
/// room for 32 of them in each direction. What it knows before the broker speaks, it takes from the
/// system as it is used; what it has to add afterwards, it fills with zeros at once.
const FRAME_MAX: u32 = 131_072;

/// Why a connection could not be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot connect to {endpoint}: {detail}")]
pub struct ConnectError {
    /// The address, without credentials.
    pub endpoint: String,
    /// What went wrong, as the system or the broker put it.
    pub detail: String,
    /// The class, which decides how soon to try again.
    pub kind: ConnectErrorKind,
}

/// Classes of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectErrorKind {
    /// Nobody answers there, or not in time: worth trying again soon.
    Unreachable,
    /// The broker refuses these credentials.
    Credentials,
    /// The vhost is missing, forbidden or full.
    Vhost,
    /// The vhost exists, and the broker has not started it, or not yet.
    VhostDown,
    /// The certificate or the TLS handshake is at fault.
    Tls,
}

impl ConnectErrorKind {
    /// Whether the broker is there and will not: more attempts mend nothing.
    pub fn is_refusal(self) -> bool {
        !matches!(self, Self::Unreachable | Self::VhostDown)
    }
}

impl ConnectError {
    fn new(endpoint: &Endpoint, kind: ConnectErrorKind, detail: impl fmt::Display) -> Self {
        Self { endpoint: endpoint.to_string(), detail: detail.to_string(), kind }
    }

    /// What to do about it.
    pub fn hint(&self) -> &'static str {
        match self.kind {
            ConnectErrorKind::Unreachable => {
                "is the broker running, and is `broker.url` its AMQP address (port 5672, or 5671 for amqps)?"
            }
            ConnectErrorKind::Credentials => {
                "check user and password in `broker.url`; the user `guest` may connect from localhost only"
            }
            ConnectErrorKind::Vhost => {
                "check that the vhost exists (`rabbitmqctl list_vhosts`) and that the user has permissions on it"
            }
            ConnectErrorKind::VhostDown => {
                "start the vhost: `rabbitmqctl restart_vhost -p NAME`, on every node of the broker"
            }
            ConnectErrorKind::Tls => {
                "check the broker's certificate: expired, for another name, or signed by an authority this machine does not know"
            }
        }
    }
}

/// An open connection together with a second handle on its socket.
///
/// lapin offers no way to drop a connection whose peer has fallen silent; shutting the socket down
/// makes its thread end.
pub struct Wire {
    /// The connection.
    pub connection: Connection,
    socket: std::net::TcpStream,
}

impl Wire {
    /// Cuts the connection at once, without a word to the broker.
    pub fn cut(&self) {
        let _ = self.socket.shutdown(Shutdown::Both);
    }

    /// Says goodbye, and cuts where that takes too long.
    pub async fn close(&self) {
        let goodbye = self.connection.close(200, "OK".into());
        if !matches!(timeout(Duration::from_secs(3), goodbye).await, Ok(Ok(()))) {
            self.cut();
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.cut();
    }
}

/// Connects once, within about 20 s whatever the peer does.
pub async fn connect(
    endpoint: &Endpoint,
    role: ConnectionRole,
    name: &str,
) -> Result<Wire, ConnectError> {
    use ConnectErrorKind::Unreachable;
    let tls = tls::for_amqp(&endpoint.tls)
        .map_err(|why| ConnectError::new(endpoint, ConnectErrorKind::Tls, why))?;
    let authority = &endpoint.uri.authority;
    let dial = TcpStream::connect((authority.host.as_str(), authority.port));
    let stream = match timeout(DIAL_TIMEOUT, dial).await {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return Err(ConnectError::new(endpoint, Unreachable, error)),
        Err(_) => {
            let detail = format!("no answer within {} s", DIAL_TIMEOUT.as_secs());
            return Err(ConnectError::new(endpoint, Unreachable, detail));
        }
    };
    let fault = |error: std::io::Error| ConnectError::new(endpoint, Unreachable, error);
    stream.set_nodelay(true).map_err(fault)?;
    let stream = stream.into_std().map_err(fault)?;
    let socket = stream.try_clone().map_err(fault)?;
    let stream = TcpStream::from_std(stream).map_err(fault)?;

    let mut uri = endpoint.uri.clone();
    uri.query.heartbeat.get_or_insert(HEARTBEAT_SECONDS);
    uri.query.frame_max.get_or_insert(FRAME_MAX);
    // lapin takes a closure that could dial again; it never does with its recovery off.
    let dialled = Arc::new(Mutex::new(Some(stream)));
    let handshake = Connection::connector(
        uri,
        stream::runtime(),
        async move |uri: lapin::uri::AMQPUri, _runtime| {
            let stream = dialled.lock().unwrap_or_else(PoisonError::into_inner).take();
            let stream = stream.ok_or_else(|| std::io::Error::other("already dialled"))?;
            let stream = AsyncTcpStream::Plain(GulpingStream::new(stream));
            Ok(match uri.scheme {
                lapin::uri::AMQPScheme::AMQP => stream,
                lapin::uri::AMQPScheme::AMQPS => {
                    stream.into_tls(&uri.authority.host, tls.as_ref()).await?
                }
            })
        },
        ConnectionProperties::default()
            .with_connection_name(format!("warrener {name} {}", role.as_str()).into()),
    );
    match timeout(HANDSHAKE_TIMEOUT, handshake).await {
        Ok(Ok(connection)) => Ok(Wire { connection, socket }),
        Ok(Err(error)) => Err(classify(endpoint, &error)),
        Err(_) => {
            let _ = socket.shutdown(Shutdown::Both);
            let detail = format!(
                "no AMQP handshake within {} s: is it an AMQP port?",
                HANDSHAKE_TIMEOUT.as_secs()
            );
            Err(ConnectError::new(endpoint, Unreachable, detail))
        }
    }
}

/// `access to vhost 'x' refused for user 'y': vhost 'x' is down`
fn is_down(text: &str) -> bool {
    text.contains("access to vhost") && text.ends_with("is down")
}

fn classify(endpoint: &Endpoint, error: &lapin::Error) -> ConnectError {
    use AMQPErrorKind::{Hard, Soft};
    let (kind, detail) = match error.kind() {
        ErrorKind::ProtocolError(amqp) => {
            let kind = match amqp.kind() {
                Soft(AMQPSoftError::ACCESSREFUSED) => ConnectErrorKind::Credentials,
                Hard(AMQPHardError::NOTALLOWED) => ConnectErrorKind::Vhost,
                Hard(AMQPHardError::INTERNALERROR) if is_down(amqp.get_message().as_str()) => {
                    ConnectErrorKind::VhostDown
                }
                _ => ConnectErrorKind::Unreachable,
            };
            (kind, amqp.get_message().to_string())
        }
        ErrorKind::IOError(io) => {
            let tls = endpoint.uri.scheme == lapin::uri::AMQPScheme::AMQPS
                && matches!(io.kind(), std::io::ErrorKind::InvalidData | std::io::ErrorKind::Other);
            let kind = if tls { ConnectErrorKind::Tls } else { ConnectErrorKind::Unreachable };
            (kind, io.to_string())
        }
        _ => (ConnectErrorKind::Unreachable, error.to_string()),
    };
    ConnectError::new(endpoint, kind, detail)
}
