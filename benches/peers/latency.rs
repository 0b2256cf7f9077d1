//! From publish to ack, at a steady pace that leaves everybody time.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use lapin::options::BasicPublishOptions;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use serde_json::json;

use crate::args::Args;
use crate::contestants::{Contestant, Task, here, peer};
use crate::native;
use crate::proxy::Proxy;
use crate::report::{Report, median, percentile};
use crate::room::{Room, body};
use crate::stage::Stage;

/// Messages a second.
const PACE: u32 = 1000;
/// Seconds of one turn.
const SECONDS: u32 = 4;
/// Messages at the beginning that do not count: caches and allocators warm up.
const WARM_UP: usize = 500;

/// Publishes at a steady pace and notes when each message's ack passes on the wire.
pub(crate) async fn measure(args: &Args, room: &Room, report: &Report) {
    let lines = |name, command: &[&str]| {
        Contestant::warrener(name, json!({"protocol": "lines", "command": command}))
    };
    let child = peer("lines_c").to_string_lossy().into_owned();
    let all = [
        Contestant::native("lapin", native::POLLED),
        lines("warrener, C", &[&child]),
        lines("warrener, `sed -u`", &["sed", "-u", "s/.*/ack/"]),
        lines("warrener, Python, `lines`", &["python3", &here("children/lines.py")]),
    ];
    let present: Vec<_> = all.into_iter().filter(|one| one.missing().is_none()).collect();
    let mut turns = vec![Vec::new(); present.len()];
    for round in 1..=args.rounds {
        for (nth, contestant) in present.iter().enumerate() {
            let (middle, late) = turn(room, contestant).await;
            eprintln!(
                "round {round}: {:32} median {middle:6.0} µs, p99 {late:6.0} µs",
                contestant.name
            );
            turns[nth].push((middle, late));
        }
    }
    let mut text = format!(
        "{PACE} messages of 256 B a second for {SECONDS} s, µs from publish until the ack is on the \
         wire to the broker; {}; median of {} rounds.\n\n\
         | consumer | median | p99 | median over lapin | p99 over lapin |\n|---|---|---|---|---|\n",
        report.machine, args.rounds
    );
    let of = |nth: usize| {
        let turns: &[(f64, f64)] = &turns[nth];
        (median(turns.iter().map(|turn| turn.0)), median(turns.iter().map(|turn| turn.1)))
    };
    let native = of(0);
    for (nth, contestant) in present.iter().enumerate() {
        let (middle, late) = of(nth);
        let (more, later) = (middle - native.0, late - native.1);
        let _ = writeln!(
            text,
            "| {} | {middle:.0} | {late:.0} | {more:+.0} | {later:+.0} |",
            contestant.name
        );
    }
    report.section("latency", &text);
}

/// One turn: the median and the 99th percentile, µs.
async fn turn(room: &Room, contestant: &Contestant) -> (f64, f64) {
    let queue = room.fresh_queue().await;
    let proxy = Proxy::start(room.port()).await;
    let url = format!("amqp://guest:guest@127.0.0.1:{}/%2f", proxy.port);
    let task = Task { url: &url, queue: &queue, prefetch: 1000 };
    let stage = Stage::enter(contestant.command(task, room), &room.folder.join("contestant.log"));
    room.wait_consumers(&queue, 1).await;
    let published = publish(room, &queue).await;
    // All but what is under way now.
    tokio::time::sleep(Duration::from_millis(500)).await;
    stage.leave().await;
    room.remove(&queue).await;
    let mut acked = vec![None; published.len()];
    let mut told = 0;
    for (tag, multiple, at) in proxy.take() {
        let last = usize::try_from(tag).expect("a few thousand");
        let first = if multiple { told } else { last - 1 };
        for slot in acked.iter_mut().take(last).skip(first) {
            slot.get_or_insert(at);
        }
        told = told.max(last);
    }
    let mut micros: Vec<f64> = published
        .iter()
        .zip(&acked)
        .skip(WARM_UP)
        .filter_map(|(from, to)| Some(to.as_ref()?.duration_since(*from).as_secs_f64() * 1e6))
        .collect();
    assert!(micros.len() > published.len() / 2, "{} has acked too little", contestant.name);
    micros.sort_by(f64::total_cmp);
    (percentile(&micros, 0.5), percentile(&micros, 0.99))
}

/// Publishes at the pace, from a thread of its own that sleeps as exactly as the system can; when
/// each was published.
async fn publish(room: &Room, queue: &str) -> Vec<Instant> {
    let (url, queue) = (room.url(), queue.to_owned());
    let connection =
        Connection::connect(&url, ConnectionProperties::default()).await.expect("a connection");
    let channel = connection.create_channel().await.expect("a channel");
    let runtime = tokio::runtime::Handle::current();
    let work = move || {
        let body = body(256);
        let pause = Duration::from_secs(1) / PACE;
        let mut next = Instant::now();
        let mut published = Vec::new();
        for _ in 0..PACE * SECONDS {
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
            next += pause;
            published.push(Instant::now());
            let publish = channel.basic_publish(
                "".into(),
                queue.as_str().into(),
                BasicPublishOptions::default(),
                &body,
                BasicProperties::default(),
            );
            drop(runtime.block_on(publish));
        }
        published
    };
    let published = tokio::task::spawn_blocking(work).await.expect("no panic");
    let _ = connection.close(200, "OK".into()).await;
    published
}
