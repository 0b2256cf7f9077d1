//! What a path holds, in 32 bytes: two equal digests mean that nothing needs to be read again.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use blake3::{Hash, Hasher};

use super::load::is_source;

/// The digest of a file's content and of who may write it, for a change of owner or mode can make
/// a file acceptable or not. Of a directory: of every source file in it. Whatever cannot be read
/// has a digest as well, by the kind of failure, so that "gone" differs from "empty".
pub(super) fn digest(path: &Path) -> Hash {
    let mut hasher = Hasher::new();
    if let Err(error) = feed(path, &mut hasher) {
        hasher.update(format!("failed: {:?}", error.kind()).as_bytes());
    }
    hasher.finalize()
}

/// When the file, or of a directory any source file in it, was changed last, in nanoseconds of the
/// clock of the file system; nothing where none can be asked.
pub(super) fn changed_at(path: &Path) -> Option<i128> {
    let of = |path: &Path| {
        let meta = fs::metadata(path).ok()?;
        Some(i128::from(meta.ctime()) * 1_000_000_000 + i128::from(meta.ctime_nsec()))
    };
    // Files of others change a directory as well.
    match sources_in(path) {
        Ok(sources) => sources.iter().filter_map(|source| of(source)).max(),
        Err(_) => of(path),
    }
}

fn feed(path: &Path, hasher: &mut Hasher) -> io::Result<()> {
    let meta = fs::metadata(path)?;
    if meta.is_dir() {
        hasher.update(b"directory");
        for source in sources_in(path)? {
            // Names cannot contain a zero byte, which makes it a separator, and a digest has one
            // length: no two listings look the same.
            hasher.update(source.as_os_str().as_encoded_bytes());
            hasher.update(&[0]);
            hasher.update(digest(&source).as_bytes());
        }
    } else if meta.is_file() {
        hasher.update(b"file");
        hasher.update(&meta.mode().to_le_bytes());
        hasher.update(&meta.uid().to_le_bytes());
        hasher.update_reader(File::open(path)?)?;
    } else {
        // Opening a pipe would wait for a writer.
        hasher.update(b"neither file nor directory");
    }
    Ok(())
}

/// The source files of a directory, sorted.
pub(super) fn sources_in(directory: &Path) -> io::Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if is_source(&path) && !path.is_dir() {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
