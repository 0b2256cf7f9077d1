//! `warrener import`: a definitions document of RabbitMQ → a file.
//!
//! Exit codes: 0 all of it came along; 3 something is left out or changed, and listed; 1 an error.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use clap::Args;

use super::args::Global;
use super::carried;
use super::exit::Exit;
use crate::definitions::{Document, Purpose, Sheet, Wish, carry};

/// Arguments of `warrener import`.
#[derive(Args, Debug)]
pub struct Import {
    /// Definitions as JSON, of any version of RabbitMQ; `-` for standard input
    #[arg(value_name = "DEFINITIONS")]
    file: PathBuf,
    /// Write to this file, which must not exist yet, rather than to standard output
    #[arg(short, long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Name of the stack; by default that of the file
    #[arg(long, value_name = "NAME")]
    stack: Option<String>,
    /// Carry over only this vhost, which is also that of entries that name none
    #[arg(long, value_name = "NAME")]
    vhost: Option<String>,
    /// Write passwords into the file, rather than variables in their place
    #[arg(long)]
    secrets: bool,
}

/// Runs the command.
pub(super) fn run(global: &Global, import: &Import) -> Exit {
    match go(global, import) {
        Ok(exit) => exit,
        Err(words) => carried::failed(&words),
    }
}

fn go(global: &Global, import: &Import) -> Result<Exit, String> {
    let shown = import.file.display();
    let text = read(&import.file).map_err(|error| format!("cannot read `{shown}`: {error}"))?;
    let document = Document::parse(&text)
        .map_err(|error| format!("`{shown}`: {error}\n  hint: {}", error.hint()))?;
    let stem = import.file.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    let stem = if stem == "-" { "imported" } else { stem };
    let stack = carried::stack_name(import.stack.as_deref(), stem)
        .map_err(|error| format!("`--stack`: {error}"))?;
    let wish = Wish {
        vhost: import.vhost.as_deref(),
        select: None,
        secrets: import.secrets,
        purpose: Purpose::Anywhere,
    };
    let came = carry(&document, &wish).map_err(|error| format!("the vhost: {error}"))?;
    let header = match document.version() {
        Some(version) => format!("From definitions of RabbitMQ {version}, by `warrener import`."),
        None => "From definitions, by `warrener import`.".into(),
    };
    let url = carried::local_url(&came.vhost);
    let text = Sheet { header: &header, url: Some(&url), ..came.sheet(&stack) }.text();
    carried::write(import.out.as_deref(), &text, came.is_private())?;
    Ok(carried::report(&came, &text, global.quiet))
}

fn read(file: &Path) -> Result<String, String> {
    let bytes = if file == Path::new("-") {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        std::fs::read(file)
    };
    let bytes = bytes.map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|error| {
        format!("it is not UTF-8 from byte {} on", error.utf8_error().valid_up_to())
    })
}
