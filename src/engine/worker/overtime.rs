//! What a worker does when the time of something is over.

use std::time::Instant;

use super::super::crew::News;
use super::super::deadlines;
use super::{STALL, Worker};
use crate::model::{AckMode, duration_label};
use crate::process::Exit;
use crate::supervise::{Event, State, Wish};
use crate::telemetry::{Reason, RestartReason};

impl Worker {
    pub(super) async fn tick(&mut self) {
        let now = Instant::now();
        if matches!(self.lifecycle.state(), State::Killing { deadline } if deadline <= now) {
            deadlines::give_up(&self.spec, self.slot);
            return self.exited(Exit::KILLED).await;
        }
        if let Some((id, at)) = self.desk.overdue_at(now)
            && at <= now
            && self.lifecycle.state().works()
        {
            if now.duration_since(at) > STALL {
                // Who stood still with us could not answer; it has its time again.
                tracing::warn!(consumer = %self.spec.name, worker = self.slot, %id, "this machine stood still: the time of the message begins anew");
                self.desk.restart_clock(now);
                return;
            }
            let timeout = duration_label(self.desk.time_limit().unwrap_or_default());
            let silent = self.child.as_ref().is_some_and(|child| !child.has_answered());
            let hint = silent.then_some(
                "it has never answered anything: is its output flushed after each answer?",
            );
            tracing::warn!(consumer = %self.spec.name, worker = self.slot, %id, hint, "no answer within {timeout}: the worker is replaced");
            let why = format!("no answer within {timeout}");
            if self.spec.ack == AckMode::Each {
                self.desk.fail_by_us(id, Wish::Later, Reason::Timeout, &why);
            }
            self.replaced = Some(RestartReason::Timeout);
            self.on(Event::Replace).await;
        }
        if let State::Warming { deadline } = self.lifecycle.state()
            && deadline <= now
        {
            let why = deadlines::not_ready(&self.spec);
            tracing::warn!(consumer = %self.spec.name, worker = self.slot, "{why}: the worker is replaced");
            self.replaced = Some(RestartReason::NotReady);
            self.reporter.tell(News::NotReady(why)).await;
        }
        self.on(Event::Tick).await;
    }
}
