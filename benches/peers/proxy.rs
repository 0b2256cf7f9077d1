//! A wire with a clock: notes when acks pass on their way to the broker.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// The greeting of a client, before its first frame.
const GREETING: usize = 8;
/// Type, channel and size of a frame.
const HEAD: usize = 7;
/// Class and method of `basic.ack`.
const ACK: [u8; 4] = [0, 60, 0, 80];

/// A delivery tag that was acked, whether all below it were too, and when.
pub(crate) type Ack = (u64, bool, Instant);

/// A proxy in front of the broker.
pub(crate) struct Proxy {
    /// Where it listens, on 127.0.0.1.
    pub(crate) port: u16,
    acks: Arc<Mutex<Vec<Ack>>>,
}

impl Proxy {
    /// Starts one for the broker on that port. It ends with the runtime.
    pub(crate) async fn start(broker: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let port = listener.local_addr().expect("a port").port();
        let acks = Arc::new(Mutex::new(Vec::new()));
        let noted = acks.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(pass(client, broker, noted.clone()));
            }
        });
        Self { port, acks }
    }

    /// The acks that have passed since this was last asked, in order.
    pub(crate) fn take(&self) -> Vec<Ack> {
        std::mem::take(&mut self.acks.lock().expect("nobody panics with it"))
    }
}

async fn pass(client: TcpStream, broker: u16, acks: Arc<Mutex<Vec<Ack>>>) {
    let Ok(broker) = TcpStream::connect(("127.0.0.1", broker)).await else { return };
    let _ = (client.set_nodelay(true), broker.set_nodelay(true));
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_broker, mut to_broker) = broker.into_split();
    let back = tokio::spawn(async move {
        let _ = tokio::io::copy(&mut from_broker, &mut to_client).await;
    });
    let mut buffer = vec![0; 64 * 1024];
    let mut unread: Vec<u8> = Vec::new();
    let mut greeted = false;
    while let Ok(count @ 1..) = from_client.read(&mut buffer).await {
        let now = Instant::now();
        if to_broker.write_all(&buffer[..count]).await.is_err() {
            break;
        }
        unread.extend_from_slice(&buffer[..count]);
        let mut at = 0;
        if !greeted && unread.len() >= GREETING {
            greeted = true;
            at = GREETING;
        }
        while greeted && unread.len() >= at + HEAD {
            let frame = &unread[at..];
            let size = u32::from_be_bytes([frame[3], frame[4], frame[5], frame[6]]) as usize;
            if frame.len() < HEAD + size + 1 {
                break;
            }
            let payload = &frame[HEAD..HEAD + size];
            if frame[0] == 1 && payload.starts_with(&ACK) {
                let tag = payload[4..12].try_into().expect("eight bytes");
                let ack = (u64::from_be_bytes(tag), payload[12] & 1 == 1, now);
                acks.lock().expect("nobody panics with it").push(ack);
            }
            at += HEAD + size + 1;
        }
        unread.drain(..at);
    }
    back.abort();
}
