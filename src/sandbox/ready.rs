//! Whether a node answers.

use std::net::Ipv4Addr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// What a client of AMQP 0-9-1 says first.
const PROTOCOL_HEADER: &[u8] = b"AMQP\x00\x00\x09\x01";
/// The type of the frame that a willing broker answers with, which holds `connection.start`.
const METHOD_FRAME: u8 = 1;
/// How long one question may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// The version that the management API gives, or `None` where it does not answer.
pub(super) async fn management_version(http: &reqwest::Client, port: u16) -> Option<String> {
    let ask = async {
        let response = http
            .get(format!("http://127.0.0.1:{port}/api/overview"))
            .basic_auth("guest", Some("guest"))
            .send()
            .await
            .ok()?;
        let overview: serde_json::Value = response.error_for_status().ok()?.json().await.ok()?;
        overview.get("rabbitmq_version")?.as_str().map(str::to_owned)
    };
    timeout(PATIENCE, ask).await.ok().flatten()
}

/// Whether the broker takes up the AMQP handshake; an open port alone says nothing, since the
/// listener may be there before the broker serves it.
pub(super) async fn speaks_amqp(port: u16) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        stream.write_all(PROTOCOL_HEADER).await.ok()?;
        stream.read_u8().await.ok()
    };
    timeout(PATIENCE, ask).await.ok().flatten() == Some(METHOD_FRAME)
}

/// Whether an epmd answers.
pub(super) async fn speaks_epmd(port: u16) -> bool {
    /// `NAMES_REQ` with its length.
    const LIST: [u8; 3] = [0, 1, b'n'];
    let ask = async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok()?;
        stream.write_all(&LIST).await.ok()?;
        stream.read_u32().await.ok()
    };
    timeout(PATIENCE, ask).await.ok().flatten() == Some(u32::from(port))
}
