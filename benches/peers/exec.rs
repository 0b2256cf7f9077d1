//! A process a message: Warrener's `exec` beside amqp-consume.

use std::fmt::Write as _;

use serde_json::json;

use crate::args::Args;
use crate::bare;
use crate::contest::{Rules, hold};
use crate::contestants::Contestant;
use crate::report::{Report, thousands};
use crate::room::Room;

/// What is run for each message. It reads its input, or amqp-consume would end with it.
const COMMAND: [&str; 3] = ["dd", "of=/dev/null", "status=none"];
/// Messages of the other tables for each one here.
const SHARE: u32 = 20;

/// Runs the same command for each message, by several means.
pub(crate) async fn measure(args: &Args, room: &Room, report: &Report) {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let messages = (args.messages / SHARE).max(500);
    let rules = Rules { messages, bytes: 256, prefetch: 20, rounds: args.rounds };
    let exec = |workers: usize| json!({"protocol": "exec", "workers": workers, "command": COMMAND});
    let consume = [
        "amqp-consume",
        "-u",
        "{url}",
        "-q",
        "{queue}",
        "-p",
        "20",
        COMMAND[0],
        COMMAND[1],
        COMMAND[2],
    ];
    let all = vec![
        Contestant::client("amqp-consume", &consume),
        Contestant::warrener("warrener, 1 worker", exec(1)),
        Contestant::warrener("warrener, workers = cores", exec(cores)),
    ];
    let outcome = hold(args, room, rules, all).await;
    let mut text = format!(
        "`{}` for each of {} messages of {} B, {cores} cores; {}; median of {} rounds.\n\n",
        COMMAND.join(" "),
        thousands(f64::from(messages)),
        rules.bytes,
        report.machine,
        rules.rounds
    );
    text.push_str("| | messages/s | µs of CPU each | × amqp-consume |\n|---|---|---|---|\n");
    let yardstick = outcome.of("amqp-consume").map_or(0.0, |score| score.rate);
    for score in &outcome.scores {
        let (rate, ratio) = (thousands(score.rate), score.rate / yardstick);
        let _ = writeln!(text, "| {} | {rate} | {:.0} | {ratio:.2} |", score.name, score.cpu);
    }
    let bare = [
        ("fork", "fork and exec, one at a time", 1),
        ("spawn", "posix_spawn, one at a time", 1),
        ("spawn", "posix_spawn, one at a time on each core", cores),
    ];
    for (how, words, at_once) in bare {
        if let Some(rate) = bare::start(how, at_once, messages.min(2000), &COMMAND) {
            let (micros, ratio) = (1e6 / rate, rate / yardstick);
            let rate = thousands(rate);
            let _ = writeln!(
                text,
                "| bare {words}, no broker | {rate} ({micros:.0} µs each) | | {ratio:.2} |"
            );
        }
    }
    for (name, why) in &outcome.absent {
        let _ = writeln!(text, "| {name} | absent: {why} | | |");
    }
    report.section("exec", &text);
}
