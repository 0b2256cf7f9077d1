//! Whether a program can be started at all, asked before a message is taken for it.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, access};

use super::identity::find_account;
use crate::model::{ConsumerSpec, Program};

/// Where programs are looked for when there is no `PATH`.
pub(super) const DEFAULT_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// As much of the first line of a script as the kernel reads.
const FIRST_LINE: u64 = 256;

/// Why a program cannot be started. The mend stands on a line of its own.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotRunnable {
    /// The working directory.
    #[error("the working directory `{}` {problem}\nhint: create it, or mend `cwd`", path.display())]
    WorkingDirectory {
        /// The directory.
        path: PathBuf,
        /// What is the matter with it.
        problem: Problem,
    },
    /// A program without a `/` is in no folder of `PATH`.
    #[error("the program `{name}` is in no folder of PATH ({path})\nhint: {hint}")]
    NotInPath {
        /// The program.
        name: String,
        /// The folders.
        path: String,
        /// The mend.
        hint: String,
    },
    /// The file of the program.
    #[error("the program `{}` {problem}\nhint: {hint}", path.display())]
    Program {
        /// The file.
        path: PathBuf,
        /// What is the matter with it.
        problem: Problem,
        /// The mend.
        hint: String,
    },
    /// The interpreter that a script names in its first line.
    #[error(
        "the first line of `{}` asks for `{}`, which {problem}\nhint: {hint}",
        script.display(), interpreter.escape_debug()
    )]
    Interpreter {
        /// The script.
        script: PathBuf,
        /// What it asks for.
        interpreter: String,
        /// What is the matter with it.
        problem: Problem,
        /// The mend.
        hint: String,
    },
}

/// What is the matter with a file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// There is none.
    #[error("does not exist")]
    Missing,
    /// A folder where a file should be.
    #[error("is a directory")]
    Directory,
    /// A file where a folder should be.
    #[error("is not a directory")]
    NotDirectory,
    /// No permission to execute.
    #[error("is not executable")]
    NotExecutable,
    /// It cannot even be looked at.
    #[error("cannot be read: {0}")]
    Unreadable(String),
}

/// Checks that `program` can be started in `cwd` with `env` on top of this process's own
/// variables: that it exists, is an executable file, and that the interpreter it names, if it is a
/// script, is one too.
///
/// # Errors
/// [`NotRunnable`]: which part of that does not hold. It can still change until the spawn.
pub fn find_program(
    program: &Program,
    cwd: &Path,
    env: &BTreeMap<String, String>,
) -> Result<(), NotRunnable> {
    check_directory(cwd)
        .map_err(|problem| NotRunnable::WorkingDirectory { path: cwd.to_owned(), problem })?;
    let search = match env.get("PATH") {
        Some(path) => path.clone(),
        None => env::var("PATH").unwrap_or_else(|_| DEFAULT_PATH.to_owned()),
    };
    let name = match program {
        Program::Shell(_) => "/bin/sh",
        Program::Command(words) => words.first().map_or("", String::as_str),
    };
    let path = if name.contains('/') {
        let path = cwd.join(name);
        check_file(&path).map_err(|problem| {
            let hint = file_hint(&problem, name, cwd);
            NotRunnable::Program { path: path.clone(), problem, hint }
        })?;
        path
    } else {
        search_path(name, &search, cwd)?
    };
    check_interpreter(&path, cwd, &search)
}

/// Checks that the processes of a consumer can be started: [`find_program`], and that there is the
/// user and the group that they are to be.
///
/// # Errors
/// What is missing and the mend, for a person.
pub fn check_startable(spec: &ConsumerSpec) -> Result<(), String> {
    find_program(&spec.program, &spec.cwd, &spec.env).map_err(|error| error.to_string())?;
    find_account(&spec.confinement).map_err(|error| error.to_string())?;
    Ok(())
}

fn search_path(name: &str, search: &str, cwd: &Path) -> Result<PathBuf, NotRunnable> {
    let mut denied = None;
    for folder in env::split_paths(search).filter(|_| !name.is_empty()) {
        let candidate = cwd.join(folder).join(name);
        match check_file(&candidate) {
            Ok(()) => return Ok(candidate),
            Err(Problem::NotExecutable) => denied = denied.or(Some(candidate)),
            Err(_) => {}
        }
    }
    if let Some(path) = denied {
        let problem = Problem::NotExecutable;
        let hint = file_hint(&problem, name, cwd);
        return Err(NotRunnable::Program { path, problem, hint });
    }
    let hint = if !name.is_empty() && cwd.join(name).is_file() {
        format!("there is one in the working directory: write `./{name}`")
    } else {
        "install it, or give its whole path".to_owned()
    };
    Err(NotRunnable::NotInPath { name: name.to_owned(), path: search.to_owned(), hint })
}

fn check_directory(path: &Path) -> Result<(), Problem> {
    match fs::metadata(path) {
        Ok(metadata) if !metadata.is_dir() => Err(Problem::NotDirectory),
        Ok(_) => access(path, Access::EXEC_OK)
            .map_err(|error| Problem::Unreadable(io::Error::from(error).to_string())),
        Err(error) => Err(problem_of(&error)),
    }
}

fn check_file(path: &Path) -> Result<(), Problem> {
    match fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => Err(Problem::Directory),
        Ok(_) => access(path, Access::EXEC_OK).map_err(|_| Problem::NotExecutable),
        Err(error) => Err(problem_of(&error)),
    }
}

fn problem_of(error: &io::Error) -> Problem {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Problem::Missing,
        _ => Problem::Unreadable(error.to_string()),
    }
}

fn file_hint(problem: &Problem, name: &str, cwd: &Path) -> String {
    match problem {
        Problem::NotExecutable => {
            format!("`chmod +x` it, or put its interpreter in front: `command: [python3, {name}]`")
        }
        Problem::Missing if !name.starts_with('/') => {
            format!("a path is looked for from the consumer's `cwd`, `{}`", cwd.display())
        }
        _ => "mend `command`".to_owned(),
    }
}

/// Checks what a script says in its first line. A file that cannot be read has none: the kernel
/// runs programs that their user may not read.
fn check_interpreter(script: &Path, cwd: &Path, search: &str) -> Result<(), NotRunnable> {
    let mut head = Vec::new();
    let read = File::open(script).and_then(|file| file.take(FIRST_LINE).read_to_end(&mut head));
    let Some(line) = head.strip_prefix(b"#!").filter(|_| read.is_ok()) else { return Ok(()) };
    let line = line.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let refuse = |interpreter: &[u8], problem, hint: &str| {
        let hint = if interpreter.ends_with(b"\r") {
            "the script has the line ends of Windows: turn each `\\r\\n` into `\\n`"
        } else {
            hint
        };
        Err(NotRunnable::Interpreter {
            script: script.to_owned(),
            interpreter: String::from_utf8_lossy(interpreter).into_owned(),
            problem,
            hint: hint.to_owned(),
        })
    };
    let mut words = line.split(|&byte| byte == b' ' || byte == b'\t').filter(|w| !w.is_empty());
    let Some(interpreter) = words.next() else { return Ok(()) };
    let path = cwd.join(OsStr::from_bytes(interpreter));
    if let Err(problem) = check_file(&path) {
        return refuse(interpreter, problem, "install it, or mend the first line of the script");
    }
    // `#!/usr/bin/env python3`: what is missing is seldom `env`. Its options are its own affair.
    let Some(word) = words.next().filter(|_| path.ends_with("env")) else { return Ok(()) };
    let Ok(name) = str::from_utf8(word) else { return Ok(()) };
    if name.starts_with('-') || name.contains(['=', '/']) {
        return Ok(());
    }
    match search_path(name, search, cwd) {
        Ok(_) => Ok(()),
        Err(NotRunnable::Program { problem, .. }) => {
            refuse(word, problem, "`chmod +x` it, or install another")
        }
        Err(_) => refuse(word, Problem::Missing, "install it, or add its folder to PATH"),
    }
}
