//! Whether memory stays where it is, however many messages pass and however large they are.

use std::fmt::Write as _;

use serde_json::json;

use crate::args::Args;
use crate::contestants::{Contestant, Task, here};
use crate::report::{Report, thousands};
use crate::room::{Room, body};
use crate::stage::{Stage, memory};

/// Messages that are in the queue at once.
const CHUNK: u32 = 50_000;
/// Messages of 1 MiB.
const LARGE: u32 = 400;

/// Small messages for long, then large ones.
pub(crate) async fn measure(args: &Args, room: &Room, report: &Report) {
    let chunks = u32::try_from(args.soak / u64::from(CHUNK)).unwrap_or(u32::MAX).max(4);
    let small = json!({"protocol": "lines", "command": ["python3", here("children/lines.py")]});
    let levels = soak(room, Contestant::warrener("small", small), chunks, CHUNK, 256, 1000).await;
    let frames = json!({"protocol": "frames", "command": ["python3", here("children/frames.py")]});
    let large = soak(room, Contestant::warrener("large", frames), 4, LARGE, 1 << 20, 16).await;
    let messages = thousands(f64::from(chunks) * f64::from(CHUNK));
    let mut text = format!(
        "Memory of the supervisor after each tenth of {messages} messages of 256 B, prefetch 1,000; \
         and with messages of 1 MiB, prefetch 16; {}.\n\n",
        report.machine
    );
    let _ = writeln!(text, "| messages | MiB |\n|---|---|");
    let tenth = levels.len().div_ceil(10);
    for (nth, level) in levels.iter().enumerate().filter(|(nth, _)| (nth + 1) % tenth == 0) {
        let passed = (f64::from(u32::try_from(nth).unwrap_or(0)) + 1.0) * f64::from(CHUNK);
        let _ = writeln!(text, "| {} of 256 B | {level:.1} |", thousands(passed));
    }
    let most = large.iter().copied().fold(0.0, f64::max);
    let _ = writeln!(text, "| {} of 1 MiB | {most:.1} at most |", 4 * LARGE);
    report.section("soak", &text);
}

/// MiB after each chunk.
async fn soak(
    room: &Room,
    contestant: Contestant,
    chunks: u32,
    messages: u32,
    bytes: usize,
    prefetch: u16,
) -> Vec<f64> {
    let queue = room.fresh_queue().await;
    let url = room.url();
    let task = Task { url: &url, queue: &queue, prefetch };
    let stage = Stage::enter(contestant.command(task, room), &room.folder.join("soak.log"));
    let body = body(bytes);
    let mut levels = Vec::new();
    for _ in 0..chunks {
        room.pour(&queue, messages, &body).await;
        room.wait_ready(&queue, |ready| ready == 0).await;
        #[expect(clippy::cast_precision_loss, reason = "kibibytes")]
        levels.push(memory(stage.pid()) as f64 / 1024.0);
        eprintln!("{}: {:.1} MiB", contestant.name, levels.last().expect("pushed"));
    }
    stage.leave().await;
    room.remove(&queue).await;
    levels
}
