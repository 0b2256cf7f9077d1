//! Paths in, everything that should be out.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs;
use std::path::{Path, PathBuf};

use glob::Pattern;

use super::environment::HostEnvironment;
use super::open::{Refusal, read_source};
use super::watched::{Watched, matches};
use crate::config::{Environment, Include, Loader, Resolved, SourceMap, Unresolved};
use crate::model::{Desired, Origin, Problem, codes};

/// A stack that was read and proven.
#[derive(Debug)]
pub struct Loaded {
    /// What should be.
    pub desired: Desired,
    /// Problems that stop nothing.
    pub warnings: Vec<Problem>,
    /// The files, for showing where something stands.
    pub sources: SourceMap,
    /// What may change the result by changing.
    pub watched: Vec<Watched>,
    /// A hash over all texts that were read. Equal digests of the same paths: nothing changed.
    pub digest: String,
}

/// A stack that cannot be used as it is.
#[derive(Debug)]
pub struct LoadError {
    /// Every problem found; at least one is an error.
    pub problems: Vec<Problem>,
    /// The files, for showing where something stands.
    pub sources: SourceMap,
    /// What may mend it by changing.
    pub watched: Vec<Watched>,
    /// A hash over all texts that were read.
    pub digest: String,
}

impl LoadError {
    /// All problems, for people.
    pub fn render(&self, color: bool) -> String {
        self.sources.render(&self.problems, color)
    }
}

/// Reads files and directories together as one stack, with the environment of this process.
///
/// Of a directory, all `*.yaml` and `*.yml` in it are read, in the order of their names; hidden
/// files and what editors leave behind are not.
pub fn load(paths: &[PathBuf]) -> Result<Loaded, LoadError> {
    load_with(paths, &HostEnvironment)
}

/// The same with an environment of the caller's choice.
pub fn load_with(paths: &[PathBuf], environment: &dyn Environment) -> Result<Loaded, LoadError> {
    let environment = Recording { inner: environment, files: RefCell::default() };
    let mut walk = Walk {
        loader: Loader::new(&environment),
        waiting: VecDeque::new(),
        seen: BTreeSet::new(),
        watched: BTreeSet::new(),
        hash: blake3::Hasher::new(),
    };
    for path in paths {
        walk.path(path, None);
    }
    let Walk { loader, mut watched, mut hash, .. } = walk;
    let result = loader.finish();
    for (path, text) in environment.files.into_inner() {
        hash.update(text.unwrap_or_default().as_bytes()).update(&[0xff]);
        watched.insert(path.into());
    }
    let digest = hash.finalize().to_hex().to_string();
    let watched = watched.into_iter().collect();
    match result {
        Ok(Resolved { desired, warnings, sources }) => {
            Ok(Loaded { desired, warnings, sources, watched, digest })
        }
        Err(Unresolved { problems, sources }) => {
            Err(LoadError { problems, sources, watched, digest })
        }
    }
}

/// Remembers which files values were taken from.
struct Recording<'e> {
    inner: &'e dyn Environment,
    files: RefCell<BTreeMap<PathBuf, Option<String>>>,
}

impl Environment for Recording<'_> {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        self.inner.variable(name)
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        let text = self.inner.file(path);
        self.files.borrow_mut().insert(path.to_owned(), text.clone().ok());
        text
    }
}

/// One reading of all files.
struct Walk<'e> {
    loader: Loader<'e>,
    /// Included patterns that nobody has followed yet, with the folder they are relative to.
    waiting: VecDeque<(PathBuf, Include)>,
    /// Files by their real path: each is read once, however often it is named.
    seen: BTreeSet<PathBuf>,
    watched: BTreeSet<Watched>,
    hash: blake3::Hasher,
}

impl Walk<'_> {
    /// Reads a file or the files of a directory, and what they include.
    fn path(&mut self, path: &Path, because: Option<Origin>) {
        if path.is_dir() {
            self.directory(path, because);
        } else {
            self.file(path, because);
        }
        while let Some((folder, include)) = self.waiting.pop_front() {
            self.include(&folder, &include);
        }
    }

    fn directory(&mut self, path: &Path, because: Option<Origin>) {
        self.watched.insert(path.to_owned().into());
        let mut files = Vec::new();
        match fs::read_dir(path) {
            Ok(entries) => files.extend(entries.flatten().map(|entry| entry.path())),
            Err(error) => {
                let message = format!("cannot be listed: {error}");
                self.refuse(
                    path,
                    because,
                    Refusal { code: codes::UNREADABLE, message, hint: None, before: String::new() },
                );
                return;
            }
        }
        files.retain(|file| is_source(file) && !file.is_dir());
        files.sort();
        if files.is_empty() {
            let message = "has no `*.yaml` or `*.yml` in it".to_owned();
            self.refuse(
                path,
                because,
                Refusal { code: codes::EMPTY, message, hint: None, before: String::new() },
            );
        }
        for file in files {
            self.file(&file, because);
        }
    }

    fn file(&mut self, path: &Path, because: Option<Origin>) {
        self.watched.insert(path.to_owned().into());
        let real = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        if !self.seen.insert(real) {
            return;
        }
        match read_source(path) {
            Ok(text) => {
                self.hash.update(text.as_bytes()).update(&[0xff]);
                let folder = path.parent().unwrap_or(Path::new(""));
                let absolute = std::path::absolute(if folder.as_os_str().is_empty() {
                    Path::new(".")
                } else {
                    folder
                });
                let absolute = absolute.unwrap_or_else(|_| folder.to_owned());
                let includes = self.loader.add(&path.display().to_string(), &text, &absolute);
                let includes = includes.into_iter().map(|include| (folder.to_owned(), include));
                self.waiting.extend(includes);
            }
            Err(refusal) => self.refuse(path, because, refusal),
        }
    }

    /// Reports a file at the place that names it, else at the fault in it.
    fn refuse(&mut self, path: &Path, because: Option<Origin>, refusal: Refusal) {
        self.hash.update(refusal.message.as_bytes()).update(&[0xff]);
        let name = path.display().to_string();
        let place = self.loader.add_refused(&name, &refusal.before);
        let message = format!("`{name}` {}", refusal.message);
        let mut problem = Problem::error(refusal.code, place, message);
        if let Some(origin) = because {
            problem = problem.related(origin, "included here");
        }
        problem.hint = refusal.hint;
        self.loader.report(problem);
    }

    fn include(&mut self, folder: &Path, include: &Include) {
        let literal = !include.pattern.contains(['*', '?', '[']);
        let path = folder.join(&include.pattern);
        if literal {
            if path.exists() {
                // Not `self.path`: what this one includes waits its turn in the queue.
                if path.is_dir() {
                    self.directory(&path, Some(include.origin));
                } else {
                    self.file(&path, Some(include.origin));
                }
            } else {
                self.watched.insert(path.clone().into());
                let message = format!("`{}` is not there", path.display());
                let problem = Problem::error(codes::INCLUDE, include.origin, message)
                    .hint("paths are relative to the folder of the file that includes them");
                self.loader.report(problem);
            }
            return;
        }
        // The folder is no pattern, whatever characters it has.
        let text = if Path::new(&include.pattern).is_absolute() {
            include.pattern.clone()
        } else {
            let folder = Pattern::escape(&folder.display().to_string());
            if folder.is_empty() {
                include.pattern.clone()
            } else {
                format!("{folder}/{}", include.pattern)
            }
        };
        if let Err(error) = Pattern::new(&text) {
            let message = format!("`{}` is no pattern: {}", include.pattern, error.msg);
            self.loader.report(Problem::error(codes::VALUE, include.origin, message));
            return;
        }
        let mut found = false;
        for path in matches(&text).filter(|path| !path.is_dir()) {
            found = true;
            self.file(&path, Some(include.origin));
        }
        self.watched.insert(Watched::Matches(text));
        if !found {
            let message = format!("`{}` matches no file", include.pattern);
            self.loader.report(Problem::warning(codes::EMPTY_INCLUDE, include.origin, message));
        }
    }
}

/// Whether a file of a directory belongs to the stack.
pub(super) fn is_source(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml")) && !name.starts_with(['.', '#', '~'])
}
