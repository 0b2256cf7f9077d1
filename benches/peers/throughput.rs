//! How many messages a second, and at what cost in CPU.

use std::fmt::Write as _;

use serde_json::json;

use crate::args::Args;
use crate::bare;
use crate::contest::{Outcome, Rules, Score, hold};
use crate::contestants::{CHILDLESS, Contestant, flushing, here, peer, small};
use crate::plot;
use crate::report::{Report, thousands};
use crate::room::Room;

/// Size of a small message.
const SMALL: usize = 256;
/// Size of a message of which a child that reads byte by byte is through soon.
const TINY: usize = 16;
/// Size of a large message.
const LARGE: usize = 64 * 1024;
/// Small messages for each large one, so that both take about as long.
const SMALL_PER_LARGE: u32 = 10;

/// Small messages.
pub(crate) async fn measure(args: &Args, room: &Room, report: &Report) {
    let rules =
        Rules { messages: args.messages, bytes: SMALL, prefetch: 1000, rounds: args.rounds };
    let outcome = hold(args, room, rules, small()).await;
    let title = format!(
        "{} persistent messages of {SMALL} B, prefetch {}, an ack for each; {}; median of {} rounds.",
        thousands(f64::from(rules.messages)),
        rules.prefetch,
        report.machine,
        rules.rounds
    );
    let mut text = table(&title, &outcome, &["pika", "rabbitmq-c"]);
    text.push_str("\n![messages a second](throughput.svg)\n");
    report.section("throughput", &text);
    report.plot("throughput", &plot::bars("messages a second", &outcome.scores));
}

/// Children that flush each line, beside the same children with each reply settled alone, and on
/// nothing but a pair of pipes.
pub(crate) async fn measure_flushing(args: &Args, room: &Room, report: &Report) {
    let mut text = format!(
        "{} persistent messages of each size, prefetch 1000; {}; median of {} rounds.\n",
        thousands(f64::from(args.messages)),
        report.machine,
        args.rounds
    );
    for bytes in [SMALL, TINY] {
        let rules = Rules { messages: args.messages, bytes, prefetch: 1000, rounds: args.rounds };
        let outcome = hold(args, room, rules, flushing()).await;
        let _ = writeln!(
            text,
            "\n| {bytes} B | each reply settled alone, msg/s | warrener, msg/s | ratio | the child on pipes alone, msg/s | {CHILDLESS}, msg/s |\n|---|---|---|---|---|---|"
        );
        let childless = outcome.of(CHILDLESS).map_or(0.0, |score| score.rate);
        for (child, command) in [("sed -u", "sed -u s/.*/ack/"), ("bash", bare::BASH)] {
            let of = |warrener: bool| {
                let mut scores = outcome.scores.iter();
                scores.find(|score| score.is_warrener == warrener && score.name.contains(child))
            };
            let (Some(alone), Some(ours)) = (of(false), of(true)) else { continue };
            let bound = bare::lines(command, args.messages, bytes);
            let _ = writeln!(
                text,
                "| `{child}` | {} | {} | {:.2} | {} | {} |",
                thousands(alone.rate),
                thousands(ours.rate),
                ours.rate / alone.rate,
                thousands(bound),
                thousands(childless)
            );
        }
    }
    report.section("flushing", &text);
}

/// Large messages, with their length before them.
pub(crate) async fn measure_frames(args: &Args, room: &Room, report: &Report) {
    let rules = Rules {
        messages: (args.messages / SMALL_PER_LARGE).max(500),
        bytes: LARGE,
        prefetch: 100,
        rounds: args.rounds,
    };
    let client = peer("rabbitmq_c").to_string_lossy().into_owned();
    let all = vec![
        Contestant::client("rabbitmq-c", &[&client]),
        Contestant::native("lapin, each ack polled once", crate::native::POLLED),
        Contestant::warrener(
            "warrener, Python, `frames`",
            json!({"protocol": "frames", "command": ["python3", here("children/frames.py")]}),
        ),
    ];
    let outcome = hold(args, room, rules, all).await;
    let title = format!(
        "{} messages of 64 KiB, prefetch {}; {}; median of {} rounds.",
        thousands(f64::from(rules.messages)),
        rules.prefetch,
        report.machine,
        rules.rounds
    );
    report.section("frames", &table(&title, &outcome, &["rabbitmq-c"]));
}

/// A row for each, and how its rate compares with those of the yardsticks.
fn table(title: &str, outcome: &Outcome, yardsticks: &[&str]) -> String {
    let mut text = format!(
        "{title}\n\n| consumer | msg/s | lowest and highest | CPU µs/msg | of it the supervisor | \
         of that above lapin's thread |"
    );
    for name in yardsticks {
        let _ = write!(text, " × {name} |");
    }
    let _ = writeln!(text, "\n|---|---|---|---|---|---|{}", "---|".repeat(yardsticks.len()));
    for score in &outcome.scores {
        let Score { name, is_warrener, rate, range, cpu, own, above } = score;
        let own = if *is_warrener { format!("{own:.1} | {above:.1}") } else { " |".to_owned() };
        let range = format!("{} – {}", thousands(range.0), thousands(range.1));
        let _ = write!(text, "| {name} | {} | {range} | {cpu:.1} | {own} |", thousands(*rate));
        for yardstick in yardsticks {
            match outcome.of(yardstick) {
                Some(other) => drop(write!(text, " {:.2} |", rate / other.rate)),
                None => text.push_str(" |"),
            }
        }
        text.push('\n');
    }
    for (name, why) in &outcome.absent {
        let _ =
            writeln!(text, "| {name} | absent: {why} | | | | |{}", " |".repeat(yardsticks.len()));
    }
    text
}
