//! The hot path of a message, without IO: encoding it, reading the answer, settling it.

use std::collections::BTreeMap;
use std::hint::black_box;

use amq_protocol::protocol::BasicProperties;
use amq_protocol::types::{AMQPValue, FieldTable, ShortString};
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use warrener::model::{BodyAs, Delimiter, Epoch, WireProtocol};
use warrener::protocol::{
    Answer, Decoder, DeliveryId, Encoder, Envelope, Ledger, Line, Reply, Target, Verdict,
};

/// Messages in flight: the prefetch of a busy worker.
const WINDOW: u64 = 64;

fn properties() -> BasicProperties {
    let headers: BTreeMap<ShortString, AMQPValue> = [
        ("tenant".into(), AMQPValue::LongString("acme".into())),
        (
            "traceparent".into(),
            AMQPValue::LongString("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01".into()),
        ),
        ("warrener-attempt".into(), AMQPValue::LongInt(1)),
    ]
    .into();
    BasicProperties::default()
        .with_content_type("application/json".into())
        .with_delivery_mode(2)
        .with_message_id("0b5f2a1e-6f0b-4f5e-9e0c-2f9f5b6a1c3d".into())
        .with_headers(FieldTable::from(headers))
}

/// A JSON body of about `bytes` bytes, with the quotes that have to be escaped in a string.
fn body(bytes: usize) -> Vec<u8> {
    let mut body = b"[".to_vec();
    while body.len() < bytes {
        body.extend_from_slice(br#"{"sku":"A-1017","name":"Kettle, steel","quantity":2},"#);
    }
    body.pop();
    body.push(b']');
    body
}

fn encode(c: &mut Criterion) {
    let properties = properties();
    let mut group = c.benchmark_group("encode");
    for size in [256, 16 * 1024] {
        let body = body(size);
        let envelope = Envelope {
            id: DeliveryId { epoch: Epoch(3), tag: 42 },
            attempt: 2,
            redelivered: false,
            queue: "billing",
            exchange: "orders",
            routing_key: "order.created",
            deadline: Some("2026-01-31T12:00:00.000Z"),
            properties: &properties,
            body: &body,
        };
        group.throughput(Throughput::Bytes(body.len() as u64));
        for (name, protocol) in [
            ("json", WireProtocol::Json { body_as: BodyAs::String }),
            ("json, embedded", WireProtocol::Json { body_as: BodyAs::Json }),
            ("lines", WireProtocol::Lines { delimiter: Delimiter::Newline }),
        ] {
            let encoder = Encoder::new(protocol);
            let mut out = Vec::new();
            group.bench_function(format!("{name}/{size}"), |b| {
                b.iter(|| {
                    out.clear();
                    encoder.encode(black_box(&envelope), &mut out).expect("encodable");
                    black_box(&out);
                });
            });
        }
    }
    group.finish();
}

fn decode(c: &mut Criterion) {
    let mut group = c.benchmark_group("decode");
    group.throughput(Throughput::Elements(WINDOW));
    for (name, line) in [
        ("ack", "ack\n"),
        ("ack ID", "ack 3-42\n"),
        ("nack ID reason", "nack 3-42 no connection to the warehouse\n"),
        ("json ack", "{\"id\":\"3-42\",\"result\":\"ack\"}\n"),
        ("log", "2026-01-31T12:00:00Z INFO order 1017 billed in 12 ms\n"),
    ] {
        let chunk = line.repeat(usize::try_from(WINDOW).expect("small")).into_bytes();
        let mut decoder = Decoder::new(1 << 20);
        group.bench_function(name, |b| {
            b.iter(|| decoder.feed(black_box(&chunk), &mut |line: Line<'_>| drop(black_box(line))));
        });
    }
    group.finish();
}

fn ledger(c: &mut Criterion) {
    let mut group = c.benchmark_group("ledger");
    group.throughput(Throughput::Elements(WINDOW));
    let mut ledger: Ledger<[u64; 8]> = Ledger::new();
    let mut epoch = Epoch(0);
    for (name, reverse) in [("in order", false), ("newest first", true)] {
        epoch = epoch.next();
        ledger.open(epoch);
        let mut next = 1;
        let mut items = Vec::new();
        let mut ops = Vec::new();
        group.bench_function(format!("deliver, ack, flush/{name}"), |b| {
            b.iter(|| {
                for tag in next..next + WINDOW {
                    ledger.deliver(tag, [tag; 8]).expect("the next tag");
                }
                for nth in 0..WINDOW {
                    let tag = if reverse { next + WINDOW - 1 - nth } else { next + nth };
                    let reply = Reply {
                        target: Target::Id(DeliveryId { epoch, tag }),
                        multiple: false,
                        verdict: Verdict::Ack,
                    };
                    assert_eq!(ledger.answer(&reply, &mut items), Answer::Settled);
                    items.clear();
                }
                next += WINDOW;
                black_box(ledger.flush(&mut ops));
                ops.clear();
            });
        });
        // One flush for each answer, as when answers come singly.
        group.bench_function(format!("deliver, ack, flush each/{name}"), |b| {
            b.iter(|| {
                for tag in next..next + WINDOW {
                    ledger.deliver(tag, [tag; 8]).expect("the next tag");
                }
                for nth in 0..WINDOW {
                    let tag = if reverse { next + WINDOW - 1 - nth } else { next + nth };
                    let reply = Reply {
                        target: Target::Id(DeliveryId { epoch, tag }),
                        multiple: false,
                        verdict: Verdict::Ack,
                    };
                    assert_eq!(ledger.answer(&reply, &mut items), Answer::Settled);
                    items.clear();
                    black_box(ledger.flush(&mut ops));
                    ops.clear();
                }
                next += WINDOW;
            });
        });
    }
    group.finish();
}

criterion_group!(benches, encode, decode, ledger);
criterion_main!(benches);
