//! What a child becomes: its program, arguments, variables and folder, as the kernel takes them.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::env;
use std::ffi::{CStr, CString, NulError, OsStr, OsString, c_char};
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::Path;
use std::ptr;

use super::program::DEFAULT_PATH;
use crate::model::Program;

/// What runs a script that does not say by what it is run, as `execvp` does.
const SHELL: &CStr = c"/bin/sh";

/// Pointers to strings, and a null at the end.
type Pointers = Vec<Cell<*const c_char>>;

/// Everything that `execve` takes, ready: between the start of a process and its program nothing
/// can be allocated.
pub(super) struct Image {
    pub(super) cwd: CString,
    /// Where the program may be, in the order in which it is looked for.
    candidates: Vec<CString>,
    arguments: Pointers,
    /// The same for [`SHELL`]; the script stands in second place.
    for_shell: Pointers,
    variables: Pointers,
    /// What the pointers point to. The strings never move, wherever this goes.
    _strings: Vec<CString>,
}

impl Image {
    /// The image of `program` in `cwd` with these variables and no others. A program without a `/`
    /// is looked for in their `PATH`.
    pub(super) fn new(
        program: &Program,
        cwd: &Path,
        variables: &BTreeMap<OsString, OsString>,
    ) -> Result<Self, NulError> {
        let words: Vec<&str> = match program {
            Program::Shell(text) => vec!["/bin/sh", "-c", text],
            Program::Command(words) => words.iter().map(String::as_str).collect(),
        };
        let arguments =
            words.iter().map(|word| CString::new(*word)).collect::<Result<Vec<_>, _>>()?;
        let variables_text = variables
            .iter()
            .map(|(name, value)| {
                let mut text = name.as_bytes().to_vec();
                text.push(b'=');
                text.extend_from_slice(value.as_bytes());
                CString::new(text)
            })
            .collect::<Result<Vec<_>, _>>()?;
        let path = variables.get(OsStr::new("PATH"));
        let path = path.map_or(OsStr::new(DEFAULT_PATH), OsString::as_os_str);
        let candidates = candidates(words.first().copied().unwrap_or_default(), path)?;
        let pointers = |strings: &[CString]| -> Pointers {
            let strings = strings.iter().map(|text| text.as_ptr());
            strings.chain([ptr::null()]).map(Cell::new).collect()
        };
        let (argument_pointers, variables) = (pointers(&arguments), pointers(&variables_text));
        let mut for_shell = vec![Cell::new(SHELL.as_ptr()), Cell::new(ptr::null())];
        for_shell.extend(argument_pointers.iter().skip(1).cloned());
        let mut strings = arguments;
        strings.extend(variables_text);
        Ok(Self {
            cwd: CString::new(cwd.as_os_str().as_bytes())?,
            candidates,
            arguments: argument_pointers,
            for_shell,
            variables,
            _strings: strings,
        })
    }

    /// Tries `execve` with one place after the other, each with its arguments and variables, until
    /// it does not return; as `execvp` does. Allocates nothing.
    ///
    /// `execute` gives the number of the error with which the kernel refused.
    pub(super) fn execute(
        &self,
        execute: impl Fn(&CStr, *const *const c_char, *const *const c_char) -> Refusal,
    ) -> Refusal {
        // A `Cell` of a pointer is laid out as the pointer.
        let raw = |pointers: &Pointers| pointers.as_ptr().cast::<*const c_char>();
        let variables = raw(&self.variables);
        let (mut denied, mut last) = (None, Refusal::NOENT);
        for place in &self.candidates {
            let refusal = execute(place, raw(&self.arguments), variables);
            match refusal {
                Refusal::NOEXEC => {
                    if let Some(script) = self.for_shell.get(1) {
                        script.set(place.as_ptr());
                    }
                    return execute(SHELL, raw(&self.for_shell), variables);
                }
                Refusal::ACCESS => denied = Some(refusal),
                Refusal::NOENT
                | Refusal::NOTDIR
                | Refusal::STALE
                | Refusal::NODEV
                | Refusal::NAMETOOLONG
                | Refusal::TIMEDOUT => last = refusal,
                _ => return refusal,
            }
        }
        denied.unwrap_or(last)
    }
}

/// Why the kernel would not.
pub(super) type Refusal = rustix::io::Errno;

fn candidates(program: &str, path: &OsStr) -> Result<Vec<CString>, NulError> {
    if program.is_empty() {
        return Ok(Vec::new());
    }
    if program.contains('/') {
        return Ok(vec![CString::new(program)?]);
    }
    // An empty folder is the working directory.
    env::split_paths(path)
        .map(|folder| CString::new(folder.join(program).into_os_string().into_vec()))
        .collect()
}

#[cfg(test)]
mod tests;
