//! Readers of streams: where they begin, where they go on, and that it is written down.
//!
//! A worker knows its position from the file of its slot, and keeps the file to itself for as long
//! as it lives: its successor, who is up beside it during a change of the file, consumes only when
//! it has ended, and then goes on exactly where it stopped.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use amq_protocol::types::{AMQPValue, FieldTable};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::desk::{Desk, Pending};
use crate::broker::{PositionFile, field_table};
use crate::model::{Arguments, Delivery, QueueType};
use crate::protocol::DeliveryId;
use crate::supervise::Position;

/// The shortest time between two writes of one position. What was done since the last comes again
/// after a kill.
const STORE_PAUSE: Duration = Duration::from_secs(1);

/// The header in which the broker says the offset of a message, and the argument that asks for one.
const OFFSET: &str = "x-stream-offset";

/// Who may read for a slot: one worker at a time, whatever version it is of.
#[derive(Clone, Default)]
pub(super) struct Turns(Arc<Mutex<BTreeMap<u16, Arc<Semaphore>>>>);

impl Turns {
    fn of(&self, slot: u16) -> Arc<Semaphore> {
        // Nothing panics while it is held.
        let mut slots = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slots.entry(slot).or_insert_with(|| Arc::new(Semaphore::new(1))).clone()
    }
}

/// What a worker that has its turn knows.
pub(super) struct Reader {
    position: Position,
    file: PositionFile,
    stored: Option<u64>,
    /// The offset that was asked for, until the first message has come.
    asked: Option<u64>,
    /// When the file may be written again.
    due: Instant,
    /// Whether the last attempt to write it failed, which is said once.
    failing: bool,
    _turn: OwnedSemaphorePermit,
}

/// A worker that waits for its turn, or for its file to be read.
pub(super) struct Awaited {
    /// Whether another worker of its slot has the turn.
    behind: bool,
    pub(super) reader: Pending<Result<Reader, String>>,
}

/// How the writing of a position stands.
#[derive(Default)]
pub(super) enum Storing {
    /// There is nothing to write.
    #[default]
    Idle,
    /// There is, and it waits for its time.
    Due(Pending<()>),
    /// It is being written.
    Writing(Pending<Stored>),
}

/// What became of the attempt to write an offset.
pub(super) type Stored = (u64, Result<(), String>);

impl Storing {
    /// Waits for its time or its end; what has been written, if anything has. Cancel-safe.
    pub(super) async fn step(&mut self) -> Option<Stored> {
        let stored = match self {
            Self::Idle => std::future::pending().await,
            Self::Due(due) => {
                due.await;
                None
            }
            Self::Writing(write) => Some(write.await),
        };
        *self = Self::Idle;
        stored
    }
}

/// The offset of a message of a stream.
fn offset_of(delivery: &Delivery) -> Option<u64> {
    match delivery.properties.headers().as_ref()?.inner().get(OFFSET)? {
        AMQPValue::LongLongInt(offset) => u64::try_from(*offset).ok(),
        _ => None,
    }
}

/// The arguments to consume with. A time, which files can only say as a text, is one to the broker.
pub(super) fn consume_arguments(
    arguments: &Arguments,
    reader: Option<&mut Reader>,
) -> Result<FieldTable, String> {
    let mut table = field_table(arguments).map_err(|error| error.to_string())?;
    let Some(reader) = reader else { return Ok(table) };
    reader.asked = reader.position.next();
    let time = arguments.get(OFFSET).and_then(|value| value.as_str()?.parse().ok());
    let value = match (reader.asked, time.map(jiff::Timestamp::as_second)) {
        (Some(next), _) => AMQPValue::LongLongInt(i64::try_from(next).unwrap_or(i64::MAX)),
        (None, Some(seconds)) => AMQPValue::Timestamp(u64::try_from(seconds).unwrap_or(0)),
        (None, None) => return Ok(table),
    };
    table.insert(OFFSET.into(), value);
    Ok(table)
}

impl Reader {
    fn unstored(&self) -> Option<u64> {
        self.position.first_open().filter(|next| self.stored != Some(*next))
    }
}

impl Desk {
    /// Whether it reads a stream and does not know yet where. It asks for its turn then, after that
    /// pause.
    pub(super) fn awaits_turn(&mut self, pause: Duration) -> bool {
        if self.spec.queue_type != QueueType::Stream || self.reader.is_some() {
            return false;
        }
        if self.awaited.is_some() {
            return true;
        }
        let turns = self.context.turns.of(self.slot);
        let at_once = turns.clone().try_acquire_owned();
        let behind = at_once.is_err();
        let file = self.context.positions.file(&self.spec, self.slot);
        let reader = async move {
            tokio::time::sleep(pause).await;
            let turn = match at_once {
                Ok(turn) => turn,
                Err(_) => turns.acquire_owned().await.map_err(|error| error.to_string())?,
            };
            let (stored, file) = tokio::task::spawn_blocking(move || (file.read(), file))
                .await
                .map_err(|error| error.to_string())?;
            let stored = stored?;
            Ok(Reader {
                position: Position::at(stored),
                file,
                stored,
                asked: None,
                due: Instant::now(),
                failing: false,
                _turn: turn,
            })
        };
        self.awaited = Some(Awaited { behind, reader: Box::pin(reader) });
        true
    }

    /// Whether it waits for the worker before it to end. It is up, but for that.
    pub(super) fn stands_by(&self) -> bool {
        self.awaited.as_ref().is_some_and(|awaited| awaited.behind)
    }

    /// It has its turn, or cannot know where to begin.
    pub(super) fn has_turn(&mut self, reader: Result<Reader, String>) {
        match reader {
            Ok(reader) => {
                if let Some(next) = reader.stored {
                    tracing::info!(consumer = %self.spec.name, worker = self.slot, queue = %self.spec.queue, "goes on in the stream with offset {next}");
                }
                self.reader = Some(reader);
                if self.wanted {
                    self.open();
                }
            }
            Err(why) => {
                if self.said != why {
                    let hint = "mend it, or remove it to begin where the consumer's arguments say";
                    tracing::error!(consumer = %self.spec.name, worker = self.slot, hint, "{why}");
                    self.said = why;
                }
                let pause = self.refusals.next(fastrand::f64());
                self.awaits_turn(pause);
            }
        }
    }

    /// A message of a stream goes to the child.
    pub(super) fn reading(&mut self, id: DeliveryId) {
        if self.reader.is_none() {
            return;
        }
        let offset = self.kept(id).and_then(|kept| offset_of(&kept.delivery));
        let (Some(reader), Some(offset)) = (&mut self.reader, offset) else { return };
        reader.position.delivered(id.tag, offset);
        let Some(asked) = reader.asked.take().filter(|asked| *asked != offset) else { return };
        let (consumer, worker, queue) = (&self.spec.name, self.slot, &self.spec.queue);
        let hint = if offset > asked {
            "retention has removed what was between them, unless no message ever had those offsets"
        } else {
            "it was deleted and declared again: it may have had messages that were passed over"
        };
        tracing::warn!(%consumer, worker, %queue, hint, "the stream goes on with offset {offset} in place of {asked}");
    }

    /// The message is done: in a stream it need not come again.
    pub(super) fn reached(&mut self, id: DeliveryId) {
        if let Some(reader) = self.reader.as_mut().filter(|_| self.ledger.epoch() == Some(id.epoch))
        {
            reader.position.done(id.tag);
        }
    }

    /// The channel is gone, and what was not done on it will come again.
    pub(super) fn rewind(&mut self) {
        if let Some(reader) = &mut self.reader {
            reader.position.rewind();
        }
    }

    /// Has the position written down when it is due; nothing where it is already.
    pub(super) fn store(&mut self) {
        if let Some(next) = self.reader.as_ref().and_then(|reader| reader.position.first_open()) {
            self.shown.set_position(next);
        }
        if let (Some(reader), Storing::Idle) = (&self.reader, &self.storing)
            && reader.unstored().is_some()
        {
            self.storing = Storing::Due(Box::pin(tokio::time::sleep_until(reader.due.into())));
        }
    }

    /// The time to write the position has come, or it was written, or not.
    pub(super) fn stored(&mut self, outcome: Option<Stored>) {
        let Some(reader) = &mut self.reader else { return };
        let Some((next, outcome)) = outcome else {
            if let Some(next) = reader.unstored() {
                self.storing = Storing::Writing(Box::pin(write(reader.file.clone(), next)));
            }
            return;
        };
        reader.due = Instant::now() + STORE_PAUSE;
        match outcome {
            Ok(()) => (reader.stored, reader.failing) = (Some(next), false),
            Err(why) => {
                if !std::mem::replace(&mut reader.failing, true) {
                    let hint = "after a restart it goes on from the last that was written; `WARRENER_STATE_DIR` says where that is";
                    tracing::error!(consumer = %self.spec.name, worker = self.slot, hint, "{why}");
                }
            }
        }
    }

    /// Writes the position for the last time, and lets the next worker have its turn.
    pub(super) async fn close_reader(&mut self) {
        self.awaited = None;
        // Never two writes at once: the older could be the last.
        if let Storing::Writing(_) = self.storing {
            let outcome = self.storing.step().await;
            self.stored(outcome);
        }
        if let Some(reader) = &self.reader
            && let Some(next) = reader.unstored()
        {
            let outcome = write(reader.file.clone(), next).await;
            self.stored(Some(outcome));
        }
        self.reader = None;
    }
}

async fn write(file: PositionFile, next: u64) -> Stored {
    let outcome = tokio::task::spawn_blocking(move || file.write(next)).await;
    (next, outcome.unwrap_or_else(|error| Err(error.to_string())))
}

#[cfg(test)]
mod tests;
