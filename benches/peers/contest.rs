//! A contest: the same messages for everybody, in turns.

use std::time::Duration;

use crate::args::Args;
use crate::contestants::{Contestant, Task};
use crate::report::median;
use crate::room::{Room, body};
use crate::stage::{Stage, Used};

/// How long a contestant is watched doing nothing, to learn what it uses besides messages.
const IDLE: Duration = Duration::from_millis(700);

/// What everybody has to do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rules {
    pub(crate) messages: u32,
    pub(crate) bytes: usize,
    pub(crate) prefetch: u16,
    pub(crate) rounds: usize,
}

/// How somebody did: medians of all rounds.
#[derive(Clone, Debug)]
pub(crate) struct Score {
    pub(crate) name: &'static str,
    pub(crate) is_warrener: bool,
    /// Messages acked a second.
    pub(crate) rate: f64,
    /// Lowest and highest of the rounds.
    pub(crate) range: (f64, f64),
    /// CPU of all of its processes, µs a message.
    pub(crate) cpu: f64,
    /// CPU of its first process, µs a message: of the supervisor, where there is one.
    pub(crate) own: f64,
    /// The same without the thread in which lapin reads and writes.
    pub(crate) above: f64,
}

/// What came of a contest.
pub(crate) struct Outcome {
    pub(crate) scores: Vec<Score>,
    /// Who could not take part, and why.
    pub(crate) absent: Vec<(&'static str, String)>,
}

impl Outcome {
    /// The score of the one with that name.
    pub(crate) fn of(&self, name: &str) -> Option<&Score> {
        self.scores.iter().find(|score| score.name == name)
    }
}

/// Lets everybody consume the same messages, round by round.
pub(crate) async fn hold(args: &Args, room: &Room, rules: Rules, all: Vec<Contestant>) -> Outcome {
    let mut absent = Vec::new();
    let mut present = Vec::new();
    for contestant in all.into_iter().filter(|one| args.wants(one.name)) {
        match contestant.missing() {
            Some(why) => absent.push((contestant.name, why)),
            None => present.push(contestant),
        }
    }
    let mut idle = Vec::new();
    for contestant in &present {
        idle.push(stand_by(room, rules, contestant).await);
    }
    let mut turns: Vec<Vec<(f64, Used)>> = vec![Vec::new(); present.len()];
    for round in 1..=rules.rounds {
        for (nth, contestant) in present.iter().enumerate() {
            let (rate, used) = turn(room, rules, contestant).await;
            let used = used.beyond(idle[nth]);
            let micros = used.tree.as_secs_f64() * 1e6 / f64::from(rules.messages);
            eprintln!("round {round}: {:32} {rate:8.0} msg/s {micros:6.1} µs", contestant.name);
            turns[nth].push((rate, used));
        }
    }
    let per_message = |used: Duration| used.as_secs_f64() * 1e6 / f64::from(rules.messages);
    let scores = present.iter().zip(&turns).map(|(contestant, turns)| Score {
        name: contestant.name,
        is_warrener: contestant.is_warrener(),
        rate: median(turns.iter().map(|turn| turn.0)),
        range: (
            turns.iter().map(|turn| turn.0).fold(f64::INFINITY, f64::min),
            turns.iter().map(|turn| turn.0).fold(0.0, f64::max),
        ),
        cpu: median(turns.iter().map(|turn| per_message(turn.1.tree))),
        own: median(turns.iter().map(|turn| per_message(turn.1.own))),
        above: median(turns.iter().map(|turn| per_message(turn.1.above))),
    });
    Outcome { scores: scores.collect(), absent }
}

/// What starting, ending and waiting take.
async fn stand_by(room: &Room, rules: Rules, contestant: &Contestant) -> Used {
    let queue = room.fresh_queue().await;
    let url = room.url();
    let task = Task { url: &url, queue: &queue, prefetch: rules.prefetch };
    let stage = Stage::enter(contestant.command(task, room), &room.folder.join("contestant.log"));
    room.wait_consumers(&queue, 1).await;
    tokio::time::sleep(IDLE).await;
    let used = stage.leave().await;
    room.remove(&queue).await;
    used
}

/// One turn: messages a second, and what that took.
///
/// A message leaves the queue only when there is room in the prefetch, so from the moment when the
/// first window has left it, each that leaves stands for one that was acked.
async fn turn(room: &Room, rules: Rules, contestant: &Contestant) -> (f64, Used) {
    let queue = room.fresh_queue().await;
    room.fill(&queue, rules.messages, &body(rules.bytes)).await;
    let url = room.url();
    let task = Task { url: &url, queue: &queue, prefetch: rules.prefetch };
    let log = room.folder.join("contestant.log");
    let mut stage = Stage::enter(contestant.command(task, room), &log);
    let (left, from) =
        room.wait_ready(&queue, |ready| ready < rules.messages || stage.is_over()).await;
    let (_, to) = room.wait_ready(&queue, |ready| ready == 0 || stage.is_over()).await;
    tokio::time::sleep(IDLE).await;
    assert!(!stage.is_over(), "{} has ended: see {}", contestant.name, log.display());
    let used = stage.leave().await;
    let unacked = room.remove(&queue).await;
    assert!(unacked == 0, "{} left {unacked} messages unacked", contestant.name);
    (f64::from(left) / to.duration_since(from).as_secs_f64(), used)
}
