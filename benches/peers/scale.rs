//! Many consumers on one supervisor: how soon all of them consume, and what they cost idle.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::args::Args;
use crate::bare;
use crate::contestants::warrener;
use crate::report::Report;
use crate::room::Room;
use crate::stage::{Stage, cpu, memory};

/// Consumers, each with a queue of its own.
const CONSUMERS: u32 = 500;
/// Workers of each.
const WORKERS: u32 = 2;
/// What a worker runs: something that waits for its input.
const CHILD: [&str; 3] = ["sed", "-u", "s/.*/ack/"];
/// How long it is watched doing nothing.
const IDLE: Duration = Duration::from_secs(10);

/// What was seen of one supervisor.
struct Seen {
    start: Duration,
    /// Share of one core.
    idle: f64,
    /// KiB.
    memory: u64,
}

/// Starts many workers, and one, and compares.
pub(crate) async fn measure(_args: &Args, room: &Room, report: &Report) {
    let one = watch(room, 1, 1).await;
    let many = watch(room, CONSUMERS, WORKERS).await;
    let workers = CONSUMERS * WORKERS;
    let bare = bare::start("spawn", 1, workers, &CHILD);
    #[expect(clippy::cast_precision_loss, reason = "kibibytes")]
    let each = (many.memory.saturating_sub(one.memory)) as f64 / f64::from(workers - 1);
    let mut text = format!(
        "{CONSUMERS} consumers of {WORKERS} workers each; {}.\n\n| | |\n|---|---|\n",
        report.machine
    );
    let (start, spawns) =
        (many.start.as_secs_f64(), bare.map_or(0.0, |rate| f64::from(workers) / rate));
    let _ =
        writeln!(text, "| from start until all consume, their queues among it | {start:.1} s |");
    let _ =
        writeln!(text, "| starting and ending {workers} such processes, bare | {spawns:.1} s |");
    let _ = writeln!(text, "| the difference | {:.1} s |", start - spawns);
    let _ = writeln!(text, "| CPU while idle | {:.2} % of one core |", many.idle * 100.0);
    let _ = writeln!(text, "| memory of the supervisor with one worker | {} KiB |", one.memory);
    let _ = writeln!(text, "| memory of the supervisor for each further worker | {each:.0} KiB |");
    report.section("scale", &text);
}

async fn watch(room: &Room, consumers: u32, workers: u32) -> Seen {
    let queues: Vec<String> = (0..consumers).map(|nth| format!("scale.{nth}")).collect();
    let file = room.folder.join("scale.yaml");
    write(&file, room, &queues, workers);
    let mut command = warrener();
    command.arg("run").arg("--no-watch").arg(&file);
    let from = Instant::now();
    let stage = Stage::enter(command, &room.folder.join("scale.log"));
    // They are declared by it, so they may not be there yet.
    while !room.exists(&queues[queues.len() - 1]).await {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for queue in &queues {
        room.wait_consumers(queue, workers).await;
    }
    let start = from.elapsed();
    tokio::time::sleep(Duration::from_secs(2)).await;
    let before = cpu(stage.pid());
    tokio::time::sleep(IDLE).await;
    let idle = (cpu(stage.pid()).saturating_sub(before)).as_secs_f64() / IDLE.as_secs_f64();
    let memory = memory(stage.pid());
    stage.leave().await;
    for queue in &queues {
        room.remove(queue).await;
    }
    Seen { start, idle, memory }
}

fn write(file: &Path, room: &Room, queues: &[String], workers: u32) {
    let map = |of: &dyn Fn(&String) -> Value| -> BTreeMap<String, Value> {
        queues.iter().map(|queue| (queue.clone(), of(queue))).collect()
    };
    let consumer = |queue: &String| {
        json!({"queue": queue, "workers": workers, "protocol": "lines", "command": CHILD,
            "discard": true})
    };
    let stack = json!({
        "stack": "scale",
        "broker": {"url": room.url(), "management": room.management_url()},
        "queues": map(&|_| json!({})),
        "consumers": map(&consumer),
    });
    std::fs::write(file, stack.to_string()).expect("a file");
}
