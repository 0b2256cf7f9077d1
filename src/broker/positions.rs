//! Where the readers of streams have come to: a small file for each worker, on this machine.
//!
//! AMQP 0.9.1 has no place on the broker for that, and each host reads a stream for itself anyway.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ledger::{replace_file, state_folder};
use crate::model::{ConsumerSpec, Desired};

/// The positions of one stack on one broker.
#[derive(Clone, Debug)]
pub struct Positions {
    folder: PathBuf,
    stack: String,
    broker: String,
}

/// The position of one worker in one stream.
#[derive(Clone, Debug)]
pub struct PositionFile {
    path: PathBuf,
    vhost: String,
    queue: String,
}

/// What is in the file. The names are for whoever looks into it.
#[derive(Serialize, Deserialize)]
struct Stored {
    vhost: String,
    queue: String,
    next: u64,
}

impl Positions {
    /// Those of the stack of these files.
    pub fn of(desired: &Desired) -> Self {
        Self::under(&state_folder(|name| std::env::var_os(name)), desired)
    }

    fn under(state: &Path, desired: &Desired) -> Self {
        let address = desired.broker.endpoints.first().map(ToString::to_string);
        Self {
            folder: state.join("positions"),
            stack: desired.stack.to_string(),
            broker: address.unwrap_or_default(),
        }
    }

    /// That of one worker. Whoever reads another stream, or one of that name on another broker, has
    /// another position.
    pub fn file(&self, spec: &ConsumerSpec, slot: u16) -> PositionFile {
        self.named(spec.name.as_str(), spec.vhost.as_str(), spec.queue.as_str(), slot)
    }

    fn named(&self, consumer: &str, vhost: &str, queue: &str, slot: u16) -> PositionFile {
        let stream = [&self.stack, &self.broker, vhost, queue].join("\0");
        let hash = blake3::hash(stream.as_bytes()).to_hex();
        let name = format!("{consumer}.{slot}.{}.json", &hash[..16]);
        PositionFile { path: self.folder.join(name), vhost: vhost.into(), queue: queue.into() }
    }
}

impl PositionFile {
    /// The offset to go on with; `None` where nothing is stored.
    ///
    /// # Errors
    /// It cannot be read or understood. Whoever began anew then could pass over something.
    pub fn read(&self) -> Result<Option<u64>, String> {
        let bytes = match std::fs::read(&self.path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(self.failed("read", &error)),
        };
        let stored: Stored =
            serde_json::from_slice(&bytes).map_err(|error| self.failed("understood", &error))?;
        Ok(Some(stored.next))
    }

    /// Replaces the file as a whole. What was written is on the disk when this returns.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, next: u64) -> Result<(), String> {
        let stored = Stored { vhost: self.vhost.clone(), queue: self.queue.clone(), next };
        serde_json::to_value(&stored)
            .map_err(io::Error::from)
            .and_then(|json| replace_file(&self.path, &json))
            .map_err(|error| self.failed("written", &error))
    }

    fn failed(&self, what: &str, error: &dyn Display) -> String {
        format!("the position `{}` cannot be {what}: {error}", self.path.display())
    }
}

#[cfg(test)]
mod tests;
