//! The fault proxy does what it says: first between two ends that speak bare frames, then between
//! a real client and a real broker.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use futures_util::{FutureExt as _, StreamExt as _};
use lapin::options::{
    BasicAckOptions, BasicConsumeOptions, BasicPublishOptions, BasicQosOptions,
    ConfirmSelectOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::support::broker;
use crate::support::frames::{Frame, Method};
use crate::support::proxy::{Direction, Proxy};

const DEADLINE: Duration = Duration::from_secs(10);
/// Long enough for what would come to have come.
const SILENCE: Duration = Duration::from_millis(300);
const TUNE: Method = Method(10, 30);

/// One end of a connection, reading frame by frame.
struct End {
    socket: TcpStream,
    buffer: Vec<u8>,
}

impl End {
    fn new(socket: TcpStream) -> Self {
        Self { socket, buffer: Vec::new() }
    }

    async fn send(&mut self, frames: &[Frame]) {
        for frame in frames {
            self.socket.write_all(frame.bytes()).await.expect("the proxy listens");
        }
    }

    async fn receive(&mut self) -> Frame {
        let frame = async {
            loop {
                if let Some(frame) = Frame::take(&mut self.buffer) {
                    return frame;
                }
                let read = self.socket.read_buf(&mut self.buffer).await;
                assert_ne!(read.expect("an open connection"), 0, "the end of the stream");
            }
        };
        timeout(DEADLINE, frame).await.expect("a frame arrives")
    }

    async fn hears_nothing(&mut self) -> bool {
        timeout(SILENCE, self.socket.read_buf(&mut self.buffer)).await.is_err()
    }

    async fn was_reset(&mut self) -> bool {
        let end = timeout(DEADLINE, async {
            loop {
                match self.socket.read_buf(&mut self.buffer).await {
                    Ok(0) => return false,
                    Ok(_) => {}
                    Err(error) => return error.kind() == ErrorKind::ConnectionReset,
                }
            }
        });
        end.await.expect("the connection ends")
    }
}

async fn connect(proxy: &Proxy) -> End {
    End::new(TcpStream::connect(("127.0.0.1", proxy.port())).await.expect("the proxy listens"))
}

/// A proxy, and the two ends of one connection through it.
async fn ends() -> (Proxy, End, End) {
    let (proxy, listener) = front().await;
    let (client, broker) = pair(&proxy, &listener).await;
    (proxy, client, broker)
}

/// A proxy and what it connects to.
async fn front() -> (Proxy, TcpListener) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    (Proxy::start(listener.local_addr().expect("it is bound")).await, listener)
}

async fn pair(proxy: &Proxy, listener: &TcpListener) -> (End, End) {
    let client = connect(proxy).await;
    let (broker, _) = listener.accept().await.expect("the proxy connects");
    (client, End::new(broker))
}

fn deliver(channel: u16, body: &[u8]) -> Vec<Frame> {
    let (head, tail) = body.split_at(body.len() / 2);
    vec![
        Frame::method(channel, Method::BASIC_DELIVER, b"arguments"),
        Frame::header(channel, body.len() as u64),
        Frame::body(channel, head),
        Frame::body(channel, tail),
    ]
}

#[tokio::test]
async fn it_forwards_and_counts_both_directions() {
    let (proxy, mut client, mut broker) = ends().await;
    proxy.slice(Some(1));
    client.socket.write_all(b"AMQP\x00\x00\x09\x01").await.expect("the proxy listens");
    let tune = Frame::method(0, TUNE, b"sixty bytes, or so");
    broker.send(&[tune.clone(), tune.clone()]).await;
    assert_eq!(broker.receive().await.bytes(), b"AMQP\x00\x00\x09\x01");
    assert_eq!(client.receive().await, tune);
    assert_eq!(client.receive().await, tune);
    proxy.wait_seen(Direction::ToClient, TUNE, 2).await;
    assert_eq!(proxy.seen(Direction::ToBroker, TUNE), 0);

    drop(client);
    assert!(!broker.was_reset().await, "an end in good order stays one");
    drop(broker);
    timeout(DEADLINE, async {
        while proxy.connections() > 0 {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the proxy forgets what has ended");
}

#[tokio::test]
async fn a_swallowed_method_takes_its_message_along() {
    let (proxy, mut client, mut broker) = ends().await;
    proxy.swallow(Direction::ToClient, Method::BASIC_DELIVER, 1);
    let (gone, other, next) = (deliver(1, b"gone"), deliver(2, b"other"), deliver(1, b"next"));
    // Channels take turns on a connection, so a message may stand between the parts of another.
    let mixed = [&gone[..2], &other[..2], &gone[2..], &other[2..], &next[..]].concat();
    broker.send(&mixed).await;
    for frame in other.iter().chain(&next) {
        assert_eq!(client.receive().await, *frame);
    }
    assert_eq!(proxy.seen(Direction::ToClient, Method::BASIC_DELIVER), 3);
}

#[tokio::test]
async fn an_empty_body_has_no_frames() {
    let (proxy, mut client, mut broker) = ends().await;
    proxy.swallow(Direction::ToBroker, Method::BASIC_PUBLISH, 1);
    let publish = Frame::method(1, Method::BASIC_PUBLISH, b"");
    let next = Frame::method(1, Method::CHANNEL_CLOSE, b"");
    client.send(&[publish, Frame::header(1, 0), next.clone()]).await;
    assert_eq!(broker.receive().await, next);
}

#[tokio::test]
async fn an_injected_frame_waits_for_the_end_of_a_message() {
    let (proxy, mut client, mut broker) = ends().await;
    let message = deliver(1, b"body");
    broker.send(&message[..3]).await;
    proxy.wait_seen(Direction::ToClient, Method::BASIC_DELIVER, 1).await;
    for frame in &message[..3] {
        assert_eq!(client.receive().await, *frame);
    }
    let cancel = Frame::basic_cancel(1, "tag");
    proxy.inject(Direction::ToClient, &cancel);
    let blocked = Frame::connection_blocked("low on memory");
    proxy.inject(Direction::ToClient, &blocked);
    assert_eq!(client.receive().await, blocked, "another channel is free");
    broker.send(&message[3..]).await;
    assert_eq!(client.receive().await, message[3]);
    assert_eq!(client.receive().await, cancel);
    assert!(broker.hears_nothing().await);
}

#[tokio::test]
async fn a_black_hole_keeps_sockets_open_and_gives_back_what_it_took() {
    let (proxy, mut client, mut broker) = ends().await;
    proxy.black_hole(true);
    let frame = Frame::connection_unblocked();
    broker.send(std::slice::from_ref(&frame)).await;
    client.send(std::slice::from_ref(&frame)).await;
    assert!(client.hears_nothing().await && broker.hears_nothing().await);
    proxy.black_hole(false);
    assert_eq!(client.receive().await, frame);
    assert_eq!(broker.receive().await, frame);
}

#[tokio::test]
async fn a_cut_resets_both_sides_and_lets_new_ones_in() {
    let (proxy, listener) = front().await;
    let (mut client, mut broker) = pair(&proxy, &listener).await;
    proxy.cut();
    assert!(client.was_reset().await && broker.was_reset().await);
    proxy.refuse(true);
    assert!(connect(&proxy).await.was_reset().await);
    proxy.refuse(false);
    let (mut again, _broker) = pair(&proxy, &listener).await;
    assert!(again.hears_nothing().await, "it is open");
    assert_eq!(proxy.accepted(), 3);
}

#[tokio::test]
async fn a_limit_cuts_inside_a_frame() {
    let (proxy, listener) = front().await;
    proxy.cut_after(Some((Direction::ToBroker, 10)));
    let (mut client, mut broker) = pair(&proxy, &listener).await;
    client.send(&[Frame::method(0, TUNE, b"more than ten")]).await;
    assert!(broker.was_reset().await && client.was_reset().await);
    assert_eq!(broker.buffer.len(), 10);
}

#[tokio::test]
async fn a_delay_holds_each_frame() {
    let (proxy, mut client, mut broker) = ends().await;
    proxy.delay(Duration::from_millis(100));
    let frame = Frame::connection_unblocked();
    let start = Instant::now();
    broker.send(&[frame.clone(), frame.clone(), frame]).await;
    for _ in 0..3 {
        client.receive().await;
    }
    assert!(start.elapsed() >= Duration::from_millis(300));
}

/// A proxy in front of the shared broker, a vhost, and a lapin channel in it with confirms on.
async fn through(vhost: &broker::Vhost, proxy: &Proxy) -> (Connection, Channel) {
    let url = format!("amqp://guest:guest@127.0.0.1:{}/{}", proxy.port(), vhost.name());
    let open = async {
        let connection = Connection::connect(&url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        channel.confirm_select(ConfirmSelectOptions::default()).await?;
        channel.basic_qos(10, BasicQosOptions::default()).await?;
        channel
            .queue_declare("q".into(), QueueDeclareOptions::default(), FieldTable::default())
            .await?;
        Ok::<_, lapin::Error>((connection, channel))
    };
    timeout(DEADLINE, open).await.expect("in time").expect("a connection through the proxy")
}

fn upstream() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], broker::shared().amqp_port()))
}

async fn publish(channel: &Channel) -> lapin::Result<lapin::Confirmation> {
    let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
    channel.basic_publish("".into(), "q".into(), options, b"body", properties).await?.await
}

#[tokio::test]
async fn a_real_client_and_a_real_broker() {
    let vhost = tokio::task::spawn_blocking(broker::fresh_vhost).await.expect("a vhost");
    let proxy = Proxy::start(upstream()).await;
    proxy.slice(Some(1));
    let (connection, channel) = through(&vhost, &proxy).await;
    proxy.slice(None);

    let consume = |tag: &str| {
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        channel.basic_consume("q".into(), tag.into(), options, arguments)
    };
    let mut consumer = timeout(DEADLINE, consume("one")).await.expect("in time").expect("a queue");
    for _ in 0..3 {
        let confirmed = timeout(DEADLINE, publish(&channel)).await.expect("in time");
        assert!(confirmed.expect("an open channel").is_ack());
        let delivery = timeout(DEADLINE, consumer.next()).await.expect("in time");
        let tag = delivery.expect("a consumer").expect("a delivery").delivery_tag;
        channel.basic_ack(tag, BasicAckOptions::default()).await.expect("an open channel");
    }
    proxy.wait_seen(Direction::ToBroker, Method::BASIC_ACK, 3).await;
    proxy.wait_seen(Direction::ToClient, Method::BASIC_DELIVER, 3).await;
    assert_eq!(proxy.seen(Direction::ToClient, Method::BASIC_ACK), 3, "confirms");
    assert_eq!(proxy.seen(Direction::ToBroker, Method::BASIC_PUBLISH), 3);

    proxy.swallow(Direction::ToClient, Method::BASIC_CONSUME_OK, 1);
    assert!(timeout(SILENCE, consume("phantom")).await.is_err(), "no answer came through");
    proxy.wait_seen(Direction::ToClient, Method::BASIC_CONSUME_OK, 2).await;
    assert_eq!(proxy.seen(Direction::ToBroker, Method::BASIC_CONSUME), 2);

    proxy.inject(Direction::ToClient, &Frame::basic_cancel(1, "one"));
    let end = timeout(DEADLINE, consumer.next()).await.expect("in time");
    assert!(end.is_none(), "the client takes the injected cancel for the broker's");

    proxy.swallow(Direction::ToClient, Method::BASIC_ACK, usize::MAX);
    assert!(timeout(SILENCE, publish(&channel)).await.is_err(), "the confirm was swallowed");
    proxy.wait_seen(Direction::ToClient, Method::BASIC_ACK, 4).await;

    assert!(connection.status().connected());
    proxy.cut();
    timeout(DEADLINE, async {
        while connection.status().connected() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the client notices the cut");
    assert!(publish(&channel).now_or_never().is_none_or(|result| result.is_err()));
}
