//! What a worker does with a child that wants no more of one direction of the talk, or of all.

use super::super::conversation::Conversation;
use super::Worker;
use crate::model::AckMode;
use crate::supervise::{Event, State};
use crate::telemetry::RestartReason;

impl Worker {
    /// Whether the child is not on its way out already.
    pub(super) fn may_be_replaced(&self) -> bool {
        let state = self.lifecycle.state();
        let young = matches!(state, State::Warming { .. } | State::Proving { .. });
        young || state.is_fed() || state == State::Recycling
    }

    /// The child has closed its output and lives on. It can answer nothing more; which it need not,
    /// if nobody waits for it.
    pub(super) async fn mute(&mut self) {
        if self.spec.ack == AckMode::Each && self.may_be_replaced() {
            let (consumer, worker) = (&self.spec.name, self.slot);
            let hint = "answers are to come from there until its input ends";
            tracing::warn!(%consumer, worker, hint, "it has closed its output and goes on: the worker is replaced");
            self.mute = true;
            self.replaced = Some(RestartReason::Protocol);
            self.on(Event::Replace).await;
        }
    }

    /// The child wants no more: what it has not had goes to another.
    pub(super) async fn recycle(&mut self) {
        let Some(child) = &mut self.child else { return };
        let (earned, unread) = (child.has_answered(), child.take_unbegun());
        self.desk.keep_for_next(unread);
        let (consumer, worker) = (&self.spec.name, self.slot);
        tracing::info!(%consumer, worker, "it asks to be replaced, and is when it has answered what it has");
        self.replaced = Some(RestartReason::Recycle);
        self.on(Event::Recycle { earned }).await;
    }

    /// The child has closed its input: what it has not had goes to another.
    pub(super) async fn deaf(&mut self) {
        let unread = self.child.as_mut().map(Conversation::take_unwritten).unwrap_or_default();
        self.desk.keep_for_next(unread);
        if self.lifecycle.state().is_fed() {
            let (consumer, worker) = (&self.spec.name, self.slot);
            tracing::info!(%consumer, worker, "it has closed its input: it is replaced when it has answered what it has");
            self.replaced = Some(RestartReason::Recycle);
            self.on(Event::Deaf).await;
        }
    }
}
