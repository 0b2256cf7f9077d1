//! Measures Warrener beside what people would use instead, on one private broker.
//!
//! Every figure that counts is a ratio of two that were taken in turns on the same node: machines
//! differ, and a busy one differs from minute to minute. `docs/performance.md` has the method and
//! the results; with `--docs` this program writes the results there.
//!
//! Must be run as a benchmark (`make bench-peers`), since it measures the binary built beside it.

#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "tables go to the standard output, what happens meanwhile to the other"
)]

mod args;
mod bare;
mod contest;
mod contestants;
mod exec;
mod latency;
mod native;
mod plot;
mod proxy;
mod reload;
mod report;
mod room;
mod scale;
mod soak;
mod stage;
mod throughput;
mod topology;

use clap::Parser;

use args::{Args, Part};
use report::Report;
use room::Room;

fn main() {
    // A contestant is this very program in another role.
    if let Some(role) = std::env::var_os(native::ROLE) {
        return native::play(&role.to_string_lossy());
    }
    let args = Args::parse();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(&args));
}

async fn measure(args: &Args) {
    let room = Room::start(args.root.clone()).await;
    let report = Report::new(args, &room);
    for part in args.parts() {
        eprintln!("== {part:?}");
        match part {
            Part::Throughput => throughput::measure(args, &room, &report).await,
            Part::Flushing => throughput::measure_flushing(args, &room, &report).await,
            Part::Frames => throughput::measure_frames(args, &room, &report).await,
            Part::Exec => exec::measure(args, &room, &report).await,
            Part::Latency => latency::measure(args, &room, &report).await,
            Part::Scale => scale::measure(args, &room, &report).await,
            Part::Soak => soak::measure(args, &room, &report).await,
            Part::Topology => topology::measure(args, &room, &report).await,
        }
    }
    room.close().await;
}
