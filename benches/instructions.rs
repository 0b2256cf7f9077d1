//! The pure part of a message's way, so many times: encoded, booked, answered, settled. For
//! `benches/instructions.sh`, which counts its instructions.

use std::hint::black_box;

use amq_protocol::protocol::BasicProperties;
use warrener::model::{BodyAs, Delimiter, Epoch, WireProtocol};
use warrener::protocol::{Decoder, DeliveryId, Encoder, Envelope, Ledger, Line};

/// Messages between two settlements.
const WINDOW: usize = 64;

fn main() {
    // Cargo adds `--bench`.
    let mut words = std::env::args().skip(1).filter(|word| word != "--bench");
    let (Some(name), Some(count)) = (words.next(), words.next()) else { return };
    let count: usize = count.parse().expect("a number of messages");
    let protocol = match name.as_str() {
        "lines" => WireProtocol::Lines { delimiter: Delimiter::Newline },
        "json" => WireProtocol::Json { body_as: BodyAs::String },
        "frames" => WireProtocol::Frames,
        other => panic!("no protocol `{other}` is measured"),
    };
    let encoder = Encoder::new(protocol);
    let mut decoder = Decoder::new(1 << 20);
    let mut ledger = Ledger::new();
    ledger.open(Epoch(1));
    let properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(2)
        .with_message_id("0b5f2a1e-6f0b-4f5e-9e0c-2f9f5b6a1c3d".into());
    let body = vec![b'x'; 256];
    let (mut out, mut answers, mut settled, mut calls) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    let mut tag = 0;
    for _ in 0..count / WINDOW {
        for _ in 0..WINDOW {
            tag += 1;
            let id = ledger.deliver(tag, [tag; 8]).expect("the next tag");
            let envelope = Envelope {
                id,
                attempt: 1,
                redelivered: false,
                queue: "billing",
                exchange: "orders",
                routing_key: "order.created",
                deadline: None,
                properties: &properties,
                body: &body,
            };
            encoder.encode(&envelope, &mut out).expect("encodable");
            answer(id, name == "lines", &mut answers);
        }
        black_box(&out);
        out.clear();
        decoder.feed(black_box(&answers), &mut |line| {
            if let Line::Reply(reply) = line {
                let _ = black_box(ledger.answer(&reply, &mut settled));
                settled.clear();
            }
        });
        answers.clear();
        black_box(ledger.flush(&mut calls));
        black_box(&calls);
        calls.clear();
    }
}

/// What a child says that is done with it.
fn answer(id: DeliveryId, bare: bool, answers: &mut Vec<u8>) {
    use std::io::Write as _;
    let said = if bare { writeln!(answers, "ack") } else { writeln!(answers, "ack {id}") };
    said.expect("a Vec can be written to");
}
