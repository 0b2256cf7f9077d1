//! What a watcher looks at.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fmt;
use std::path::{Path, PathBuf};

use blake3::{Hash, Hasher};
use glob::{MatchOptions, Pattern};

use super::digest::{changed_at, digest, sources_in};
use super::follow::directories;

/// Something whose change may change a stack.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Watched {
    /// A file by its content. A directory by the files in it that end in `.yaml` or `.yml` and are
    /// not hidden; folders inside it do not count.
    Path(PathBuf),
    /// A pattern by the paths that match it, not by what is in them.
    Matches(String),
}

impl From<PathBuf> for Watched {
    fn from(path: PathBuf) -> Self {
        Self::Path(path)
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(path) => path.display().fmt(f),
            Self::Matches(pattern) => f.write_str(pattern),
        }
    }
}

impl Watched {
    /// The same by its whole path.
    pub(super) fn absolute(self) -> Self {
        match self {
            Self::Path(path) => Self::Path(std::path::absolute(&path).unwrap_or(path)),
            Self::Matches(pattern) if Path::new(&pattern).is_absolute() => Self::Matches(pattern),
            Self::Matches(pattern) => {
                match std::path::absolute(".").ok().as_deref().and_then(Path::to_str) {
                    // The folder is no pattern, whatever characters it has.
                    Some(folder) => Self::Matches(format!("{}/{pattern}", Pattern::escape(folder))),
                    None => Self::Matches(pattern),
                }
            }
        }
    }

    /// Two equal digests: nothing needs to be read again.
    pub(super) fn digest(&self) -> Hash {
        match self {
            Self::Path(path) => digest(path),
            Self::Matches(pattern) => {
                let mut hasher = Hasher::new();
                for path in matches(pattern) {
                    // Names cannot contain a zero byte.
                    hasher.update(path.as_os_str().as_encoded_bytes()).update(&[0]);
                }
                hasher.finalize()
            }
        }
    }

    /// When what is in there was changed last, see [`changed_at`].
    pub(super) fn changed_at(&self) -> Option<i128> {
        match self {
            Self::Path(path) => changed_at(path),
            Self::Matches(_) => None,
        }
    }

    /// The directories that tell of a change.
    pub(super) fn directories(&self) -> BTreeSet<PathBuf> {
        match self {
            Self::Path(path) => {
                let mut found = directories(path);
                // What a link in a source directory leads to lies elsewhere.
                for source in sources_in(path).unwrap_or_default() {
                    found.append(&mut directories(&source));
                }
                found
            }
            Self::Matches(pattern) => folders(pattern),
        }
    }
}

/// The paths that match a pattern of an `include:`; none where it is no pattern.
pub(super) fn matches(pattern: &str) -> impl Iterator<Item = PathBuf> {
    let options = MatchOptions {
        require_literal_leading_dot: true,
        require_literal_separator: true,
        ..MatchOptions::default()
    };
    glob::glob_with(pattern, options).into_iter().flatten().flatten()
}

/// Every folder in which the way to a match may go on: for `/a/*/b.yaml` that is `/a` and each
/// folder in it.
fn folders(pattern: &str) -> BTreeSet<PathBuf> {
    let mut parts: Vec<_> = Path::new(pattern).components().collect();
    // The last part is for files.
    parts.pop();
    let fixed = parts.iter().take_while(|part| !is_pattern(part.as_os_str())).count();
    let mut found = directories(&parts[..fixed].iter().collect::<PathBuf>());
    for end in fixed + 1..=parts.len() {
        let way: PathBuf = parts[..end].iter().collect();
        for folder in way.to_str().into_iter().flat_map(matches).filter(|path| path.is_dir()) {
            found.append(&mut directories(&folder));
        }
    }
    found
}

fn is_pattern(part: &OsStr) -> bool {
    part.as_encoded_bytes().iter().any(|byte| b"*?[".contains(byte))
}
