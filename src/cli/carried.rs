//! What `import` and `export` have in common: a file that is written, and the account of what did
//! not come along.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use secrecy::ExposeSecret as _;

use super::diagnostics::{self, count};
use super::exit::Exit;
use crate::config::{Environment, Loader};
use crate::definitions::{Carried, Note, Reason, Weight};
use crate::model::{BadName, SettingKind, StackName, VhostName};

/// What a vhost has escaped in an address.
const VHOST: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// How many names stand in a line about what is not needed.
const NAMED: usize = 3;

/// A stack's name out of any text: what is not allowed in one becomes `-`.
pub(super) fn stack_name(given: Option<&str>, text: &str) -> Result<StackName, BadName> {
    if let Some(given) = given {
        return StackName::new(given);
    }
    let letters = text.chars().map(|c| {
        let fine = c.is_alphanumeric() || matches!(c, '.' | '_' | '-');
        if fine { c } else { '-' }
    });
    StackName::new(letters.collect::<String>().trim_matches(['-', '.']))
        .or_else(|_| StackName::new("stack"))
}

/// The address that a file gets where nobody says one: a broker on this machine, unless `AMQP_URL`
/// says another.
pub(super) fn local_url(vhost: &VhostName) -> String {
    let vhost = utf8_percent_encode(vhost.as_str(), VHOST);
    format!("${{AMQP_URL:-amqp://guest:guest@localhost:5672/{vhost}}}")
}

/// Says why a command gives nothing.
pub(super) fn failed(words: &str) -> Exit {
    // Where nobody listens, the exit code still says it.
    let _ = writeln!(anstream::stderr(), "error: {words}");
    Exit::Failed
}

/// Writes a text to a new file, or to standard output. What is private nobody else may read.
pub(super) fn write(out: Option<&Path>, text: &str, private: bool) -> Result<(), String> {
    let Some(path) = out else {
        let mut stdout = io::stdout().lock();
        let written = stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush());
        return written.map_err(|error| format!("cannot write to standard output: {error}"));
    };
    let shown = path.display();
    let mode = if private { 0o600 } else { 0o666 };
    match OpenOptions::new().write(true).create_new(true).mode(mode).open(path) {
        Ok(mut file) => file
            .write_all(text.as_bytes())
            .map_err(|error| format!("cannot write `{shown}`: {error}")),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(format!("`{shown}` is there already\n  hint: name another file, or remove it"))
        }
        Err(error) => Err(format!("cannot write `{shown}`: {error}")),
    }
}

/// Says on standard error what did not come along as it was, and how it went.
pub(super) fn report(carried: &Carried, text: &str, quiet: bool) -> Exit {
    let passes = passes(carried, text);
    let notes = &carried.notes;
    let of = |weight| notes.iter().filter(move |note| note.reason.weight() == weight);
    let lost = of(Weight::LeftOut).chain(of(Weight::Changed)).count();
    let mut err = anstream::stderr().lock();
    // Where nobody listens, the exit code still says it.
    let _ = account(&mut err, notes, quiet);
    if !quiet {
        let _ = writeln!(err, "{}", summary(carried));
    }
    if lost == 0 && passes { Exit::Done } else { Exit::Partly }
}

/// Every note, those of one reason together with their mend.
fn account(err: &mut dyn Write, notes: &[Note], quiet: bool) -> io::Result<()> {
    for notes in notes.chunk_by(|a, b| a.reason == b.reason) {
        let Some(reason) = notes.first().map(|note| note.reason) else { continue };
        match reason.weight() {
            Weight::Needless if quiet => {}
            Weight::Needless => writeln!(err, "{}", together(reason, notes))?,
            _ => {
                for note in notes {
                    writeln!(err, "{note}")?;
                }
                if let Some(hint) = reason.hint() {
                    writeln!(err, "  hint: {hint}")?;
                }
            }
        }
    }
    Ok(())
}

/// One line about all that is not needed for one reason.
fn together(reason: Reason, notes: &[Note]) -> String {
    let names: Vec<_> = notes.iter().take(NAMED).map(|note| note.what.as_str()).collect();
    let more = match notes.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    let why = notes.first().map(Note::why).unwrap_or_default();
    format!("{}: {}{more}: {why}", reason.weight().word(), names.join(", "))
}

fn summary(carried: &Carried) -> String {
    let topology = &carried.topology;
    let settings = |kind| topology.settings_of(kind).count();
    let vhosts = topology.vhosts().len().max(1);
    let place = match vhosts {
        1 => format!("vhost `{}`", carried.vhost),
        vhosts => format!("{vhosts} vhosts"),
    };
    let mut came = format!(
        "{place}: {}, {}, {}, {}",
        count(topology.exchanges().len(), "exchange", "exchanges"),
        count(topology.queues().len(), "queue", "queues"),
        count(topology.bindings().len(), "binding", "bindings"),
        count(topology.policies().len(), "policy", "policies"),
    );
    for kind in SettingKind::ALL {
        let (number, kind, kinds) =
            (settings(kind), kind.as_str().replace('_', " "), kind.plural());
        if number > 0 && kind != "vhost" {
            came = format!("{came}, {}", count(number, &kind, kinds));
        }
    }
    let number =
        |weight| carried.notes.iter().filter(|note| note.reason.weight() == weight).count();
    let others: Vec<_> = [Weight::LeftOut, Weight::Changed, Weight::Added]
        .into_iter()
        .filter(|weight| number(*weight) > 0)
        .map(|weight| format!("{} {}", number(weight), weight.word()))
        .collect();
    if others.is_empty() { came } else { format!("{came}; {}", others.join(", ")) }
}

/// Whether the file can be used as it was written. What is wrong with it is shown.
fn passes(carried: &Carried, text: &str) -> bool {
    let itself = Itself(carried);
    let mut loader = Loader::new(&itself);
    loader.add("the file", text, Path::new("/"));
    match loader.finish() {
        Ok(_) => true,
        Err(error) => {
            diagnostics::print(&error.sources, &error.problems);
            false
        }
    }
}

/// What a file says by itself, with its own secrets and nothing else from outside.
struct Itself<'a>(&'a Carried);

impl Environment for Itself<'_> {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        Ok(self.0.secrets.variable(name).map(|secret| secret.expose_secret().to_owned()))
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("it is not looked at".into())
    }
}
