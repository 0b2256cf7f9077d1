//! What is said about the workers of a consumer as a crew: how many, restarts, rollouts.

use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use super::node::{Node, Value};
use super::read::{Reading, misshapen};
use crate::model::{
    CanarySpec, Intensity, Origin, PoolSpec, Problem, RecycleSpec, RestartPolicy, RestartSpec,
    RolloutSpec, WireProtocol, codes,
};

/// Most workers of one consumer.
const MOST_WORKERS: u16 = 1024;

/// Messages for which there is one worker, and how long fewer must have sufficed, where the file
/// does not say.
const DEFAULT_BACKLOG: NonZeroU32 = NonZeroU32::new(100).expect("100 is not 0");
const DEFAULT_COOL_DOWN: Duration = Duration::from_mins(1);

/// How `rollout` goes about it.
#[derive(Clone, Copy, PartialEq)]
enum Strategy {
    Rolling,
    Replace,
    Canary,
}

impl Reading {
    /// `restart:`.
    pub(super) fn restart(&mut self, key: &str, node: &Node) -> Option<RestartSpec> {
        let place = node.origin;
        let mut fields = self.fields(key, place, node.clone())?;
        let default = RestartSpec::default();
        let backoff = fields.read("backoff", self, Self::duration);
        let backoff_max = fields.read("backoff_max", self, Self::duration);
        let reset_after = fields.read("reset_after", self, Self::duration);
        let words = [
            ("permanent", RestartPolicy::Permanent),
            ("transient", RestartPolicy::Transient),
            ("temporary", RestartPolicy::Temporary),
        ];
        let policy = fields.read("policy", self, |r, key, node| r.choice(key, node, &words));
        let intensity = fields.read("intensity", self, Self::intensity);
        fields.finish(self, &[]);
        let backoff = backoff.unwrap_or(default.backoff);
        // A longer first pause raises the default ceiling with it; two that were given must agree.
        let ceiling = backoff_max.unwrap_or(default.backoff_max.max(backoff));
        if ceiling < backoff {
            let message = "`backoff_max` is shorter than `backoff`";
            let place = self.spots.find(place, "backoff_max");
            self.push(Problem::error(codes::VALUE, place, message));
        }
        Some(RestartSpec {
            policy: policy.unwrap_or_default(),
            backoff,
            backoff_max: ceiling,
            reset_after: reset_after.unwrap_or(default.reset_after),
            intensity: intensity.unwrap_or(default.intensity),
        })
    }

    /// With `exec` the end of a process is the answer to its message.
    pub(super) fn exec_has_nobody_to(&mut self, key: &str, wire: WireProtocol, owner: Origin) {
        if wire == WireProtocol::Exec {
            let place = self.spots.find(owner, key);
            let what = if key == "restart" { "policy" } else { key };
            let message =
                format!("`{what}` goes with processes that live on, not with `protocol: exec`");
            self.push(
                Problem::error(codes::EXCLUSIVE, place, message)
                    .hint("remove it: each message has a process of its own anyway"),
            );
        }
    }

    fn intensity(&mut self, key: &str, node: &Node) -> Option<Intensity> {
        let mut fields = self.fields(key, node.origin, node.clone())?;
        let default = RestartSpec::default().intensity;
        let max = fields.read("max", self, |r, key, node| r.whole(key, node, 0..=1_000_000));
        let period = fields.read("period", self, Self::duration);
        fields.finish(self, &[]);
        let max = max.and_then(|max| u32::try_from(max).ok());
        Some(Intensity {
            max: max.unwrap_or(default.max),
            period: period.unwrap_or(default.period),
        })
    }

    /// `rollout:`.
    pub(super) fn rollout(&mut self, key: &str, node: &Node) -> Option<RolloutSpec> {
        let place = node.origin;
        let mut fields = self.fields(key, place, node.clone())?;
        let words = [
            ("rolling", Strategy::Rolling),
            ("replace", Strategy::Replace),
            ("canary", Strategy::Canary),
        ];
        let strategy = fields.read("strategy", self, |r, key, node| r.choice(key, node, &words));
        let window = fields.read("window", self, Self::window);
        let rate = fields.read("max_error_rate", self, Self::percent);
        let ratio = fields.read("max_latency_ratio", self, Self::ratio);
        fields.finish(self, &[]);
        if strategy != Some(Strategy::Canary) {
            for key in ["window", "max_error_rate", "max_latency_ratio"] {
                if self.noted(place, key) {
                    let message = format!("`{key}` goes with `strategy: canary`");
                    let place = self.spots.find(place, key);
                    self.push(
                        Problem::error(codes::EXCLUSIVE, place, message)
                            .hint("add that, or remove this"),
                    );
                }
            }
        }
        Some(match strategy.unwrap_or(Strategy::Rolling) {
            Strategy::Rolling => RolloutSpec::Rolling,
            Strategy::Replace => RolloutSpec::Replace,
            Strategy::Canary => {
                let default = CanarySpec::default();
                let (messages, time) = window.unwrap_or_default();
                RolloutSpec::Canary(CanarySpec {
                    messages: messages.unwrap_or(default.messages),
                    time: time.unwrap_or(default.time),
                    max_error_percent: rate,
                    max_latency_percent: ratio.unwrap_or(default.max_latency_percent),
                })
            }
        })
    }

    fn window(&mut self, key: &str, node: &Node) -> Option<(Option<NonZeroU32>, Option<Duration>)> {
        let mut fields = self.fields(key, node.origin, node.clone())?;
        let messages = fields.read("messages", self, |r, key, node| {
            let messages = r.whole(key, node, 1..=100_000)?;
            NonZeroU32::new(u32::try_from(messages).ok()?)
        });
        let time = fields.read("time", self, Self::duration);
        fields.finish(self, &[]);
        Some((messages, time))
    }

    /// `5%`.
    fn percent(&mut self, key: &str, node: &Node) -> Option<u8> {
        let text = self.text(key, node)?;
        let number = text.strip_suffix('%').and_then(|number| number.trim().parse().ok());
        if let Some(number @ 0..=100) = number {
            return Some(number);
        }
        let problem = misshapen(key, "whole per cent from `0%` to `100%`", node);
        self.push(Problem { code: codes::VALUE, ..problem });
        None
    }

    /// `2` or `1.5`, as 200 or 150 per cent.
    fn ratio(&mut self, key: &str, node: &Node) -> Option<u32> {
        let text = self.text(key, node)?;
        let (whole, part) = text.split_once('.').unwrap_or((&text, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        if !whole.is_empty() && part.len() <= 2 && digits(whole) && digits(part) {
            let percent = format!("{whole}{part:0<2}").parse();
            if let Ok(percent @ 100..=100_000) = percent {
                return Some(percent);
            }
        }
        let wanted = "a number from 1 to 1000 with at most two decimals";
        let problem = misshapen(key, wanted, node);
        self.push(Problem { code: codes::VALUE, ..problem });
        None
    }

    /// `workers:`, a number or the limits of one.
    pub(super) fn workers(&mut self, key: &str, node: &Node) -> Option<PoolSpec> {
        let pool = |min, max, backlog: Option<NonZeroU32>, cool_down: Option<Duration>| PoolSpec {
            min,
            max,
            backlog: backlog.unwrap_or(DEFAULT_BACKLOG),
            cool_down: cool_down.unwrap_or(DEFAULT_COOL_DOWN),
        };
        let place = node.origin;
        let Value::Map(_) = node.value else {
            let workers = self.count(key, node, MOST_WORKERS)?;
            return Some(pool(workers, workers, None, None));
        };
        let mut fields = self.fields(key, place, node.clone())?;
        let min = fields.read("min", self, |r, key, node| r.count(key, node, MOST_WORKERS));
        let max = fields.read("max", self, |r, key, node| r.count(key, node, MOST_WORKERS));
        let backlog = fields.read("backlog", self, |r, key, node| {
            let backlog = r.whole(key, node, 1..=i64::from(u32::MAX))?;
            NonZeroU32::new(u32::try_from(backlog).ok()?)
        });
        let cool_down = fields.read("cool_down", self, Self::duration);
        fields.finish(self, &[]);
        let Some(max) = max else {
            if !self.noted(place, "max") {
                self.push(
                    Problem::error(codes::MISSING, place, "`workers` has no `max`")
                        .hint("write `workers: { min: 1, max: 8, backlog: 100 }`, or a number"),
                );
            }
            return None;
        };
        let min = min.unwrap_or(NonZeroU16::MIN);
        if min > max {
            let place = self.spots.find(place, "min");
            self.push(Problem::error(codes::VALUE, place, "`min` is more than `max`"));
        }
        Some(pool(min, max, backlog, cool_down))
    }

    /// `recycle:`.
    pub(super) fn recycle(&mut self, key: &str, node: &Node) -> Option<RecycleSpec> {
        let mut fields = self.fields(key, node.origin, node.clone())?;
        let messages = fields.read("messages", self, |r, key, node| {
            let messages = r.whole(key, node, 1..=i64::from(u32::MAX))?;
            NonZeroU32::new(u32::try_from(messages).ok()?)
        });
        let age = fields.read("age", self, Self::duration);
        let idle = fields.read("idle", self, Self::duration);
        let memory =
            fields.read("memory", self, |r, key, node| r.size(key, node, 1 << 20..=u64::MAX));
        fields.finish(self, &[]);
        Some(RecycleSpec { messages, age, idle, memory })
    }
}
