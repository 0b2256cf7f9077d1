//! Opens a file once and judges what was opened: a check by path would be about another file if
//! somebody swapped it in between.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use nix::fcntl::OFlag;

use crate::model::codes;

/// Largest file of a stack: 16 MiB are some 80,000 queues.
const MAX_BYTES: u64 = 16 << 20;

/// Largest file that one value may be taken from.
const MAX_VALUE_BYTES: u64 = 64 << 10;

/// Why a file is not read: a code, words that follow the name of the file, and the mend.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) hint: Option<String>,
    /// The text up to the fault, where the fault is in the text.
    pub(super) before: String,
}

fn refusal(code: &'static str, message: impl Into<String>, hint: Option<&str>) -> Refusal {
    let hint = hint.map(str::to_owned);
    Refusal { code, message: message.into(), hint, before: String::new() }
}

/// The text of a file of the stack. Links are followed: that is how mounted configuration is
/// swapped, and the owner and mode of what they lead to are what counts.
pub(super) fn read_source(path: &Path) -> Result<String, Refusal> {
    let unreadable = |error: &io::Error| {
        refusal(codes::UNREADABLE, format!("cannot be read: {}", words(error)), None)
    };
    let file = open(path).map_err(|error| unreadable(&error))?;
    let metadata = file.metadata().map_err(|error| unreadable(&error))?;
    if !metadata.is_file() {
        return Err(refusal(codes::UNREADABLE, "is not a regular file", None));
    }
    if metadata.mode() & 0o002 != 0 {
        let hint = format!("chmod o-w {}", path.display());
        return Err(refusal(codes::UNSAFE_FILE, "can be written by everybody", Some(&hint)));
    }
    let ours = nix::unistd::geteuid().as_raw();
    if metadata.uid() != 0 && metadata.uid() != ours {
        let message = format!("belongs to the user with the id {}", metadata.uid());
        let hint =
            "it must belong to root or to the user who runs this, for it names commands to run";
        return Err(refusal(codes::UNSAFE_FILE, message, Some(hint)));
    }
    let bytes = read_at_most(file, MAX_BYTES).map_err(|error| unreadable(&error))?;
    let Some(bytes) = bytes else {
        let hint = "split it into several files";
        return Err(refusal(codes::TOO_MUCH, "has more than 16 MiB", Some(hint)));
    };
    decode(bytes)
}

/// The text of a file that holds one value.
pub(super) fn read_value(path: &Path) -> Result<String, String> {
    let file = open(path).map_err(|error| words(&error))?;
    if !file.metadata().map_err(|error| words(&error))?.is_file() {
        return Err("it is not a regular file".into());
    }
    let bytes = read_at_most(file, MAX_VALUE_BYTES).map_err(|error| words(&error))?;
    let bytes = bytes.ok_or("it has more than 64 KiB")?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8".into())
}

fn open(path: &Path) -> io::Result<File> {
    // Opening a named pipe would otherwise wait for a writer, perhaps for ever.
    OpenOptions::new().read(true).custom_flags(OFlag::O_NONBLOCK.bits()).open(path)
}

fn read_at_most(file: File, most: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    let read = file.take(most + 1).read_to_end(&mut bytes)?;
    Ok((u64::try_from(read).unwrap_or(u64::MAX) <= most).then_some(bytes))
}

fn decode(bytes: Vec<u8>) -> Result<String, Refusal> {
    let hint = Some("save it as UTF-8");
    if bytes.starts_with(&[0xff, 0xfe])
        || bytes.starts_with(&[0xfe, 0xff])
        || bytes.iter().take(4).any(|byte| *byte == 0)
    {
        return Err(refusal(codes::ENCODING, "is UTF-16 or UTF-32, not UTF-8", hint));
    }
    String::from_utf8(bytes).map_err(|error| {
        let valid = error.utf8_error().valid_up_to();
        let before = String::from_utf8_lossy(&error.as_bytes()[..valid]).into_owned();
        Refusal { before, ..refusal(codes::ENCODING, "is not UTF-8 from here on", hint) }
    })
}

/// The system's words without the number that Rust adds to them.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or_default();
    text.to_lowercase()
}
