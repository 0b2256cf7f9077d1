//! Asking a supervisor.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::time::timeout;

use super::wire::{Answered, Asked};
use super::{Answer, Request, VERSION};

/// How long it may take until somebody is there and has taken a request.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest answer, bytes. A thousand consumers of a hundred workers each fit.
const LONGEST: u64 = 32 << 20;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// Nobody listens.
    #[error("nobody listens on `{}`", .0.display())]
    Nobody(PathBuf),
    /// The socket is another user's.
    #[error("the supervisor on `{}` belongs to another user", .0.display())]
    Denied(PathBuf),
    /// It ended without an answer.
    #[error("the supervisor has ended without an answer")]
    Ended,
    /// It does not answer.
    #[error("the supervisor does not answer within {} s", .0.as_secs())]
    Silent(Duration),
    /// It speaks otherwise.
    #[error("the supervisor answers what this version does not understand: {0}")]
    Strange(String),
    /// The system fails.
    #[error("cannot speak to the supervisor: {0}")]
    Failed(io::Error),
}

/// A connection to a supervisor.
#[derive(Debug)]
pub struct Client {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Client {
    /// Connects.
    ///
    /// # Errors
    /// [`AskError`]: above all, nobody is there.
    pub async fn connect(path: &Path) -> Result<Self, AskError> {
        let connected = timeout(PATIENCE, UnixStream::connect(path)).await;
        let stream =
            connected.map_err(|_| AskError::Silent(PATIENCE))?.map_err(|error| {
                match error.kind() {
                    io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused => {
                        AskError::Nobody(path.to_owned())
                    }
                    io::ErrorKind::PermissionDenied => AskError::Denied(path.to_owned()),
                    _ => AskError::Failed(error),
                }
            })?;
        let (reader, writer) = stream.into_split();
        Ok(Self { reader: BufReader::new(reader), writer })
    }

    /// Asks, and waits for the answer: without a limit where there is none given.
    ///
    /// # Errors
    /// [`AskError`].
    pub async fn ask(
        &mut self,
        request: Request,
        limit: Option<Duration>,
    ) -> Result<Answer, AskError> {
        let asked = Asked { version: VERSION, request };
        let mut line =
            serde_json::to_vec(&asked).map_err(|error| AskError::Strange(error.to_string()))?;
        line.push(b'\n');
        // Where it has closed the connection, it may have said why before.
        if timeout(PATIENCE, self.writer.write_all(&line)).await.is_err() {
            return Err(AskError::Silent(PATIENCE));
        }
        let line = match limit {
            None => self.line().await?,
            Some(limit) => {
                timeout(limit, self.line()).await.map_err(|_| AskError::Silent(limit))??
            }
        };
        let answered: Answered =
            serde_json::from_slice(&line).map_err(|error| AskError::Strange(error.to_string()))?;
        Ok(answered.answer)
    }

    async fn line(&mut self) -> Result<Vec<u8>, AskError> {
        let mut line = Vec::new();
        let read = (&mut self.reader).take(LONGEST).read_until(b'\n', &mut line).await;
        match read {
            Ok(_) if line.ends_with(b"\n") => Ok(line),
            Ok(_) => Err(AskError::Ended),
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Err(AskError::Ended),
            Err(error) => Err(AskError::Failed(error)),
        }
    }
}
