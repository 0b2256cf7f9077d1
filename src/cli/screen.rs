//! What a command needs to speak to people and programs.

use std::io::{self, Write};

use crate::model::Origin;
use crate::plan::Style;

/// Where a command writes, and how it names places in the files.
pub(super) struct Screen<'a> {
    /// What was asked for; standard output.
    pub(super) out: &'a mut (dyn Write + Send),
    /// Everything else; standard error.
    pub(super) err: &'a mut (dyn Write + Send),
    /// How texts look on `out`.
    pub(super) style: Style,
    /// Where in the files a resource was declared: `orders.yaml:12:3`.
    pub(super) place: &'a (dyn Fn(Origin) -> String + Sync),
}

impl Screen<'_> {
    /// Writes an error and its mend.
    pub(super) fn error(
        &mut self,
        error: &dyn std::error::Error,
        hint: Option<&str>,
    ) -> io::Result<()> {
        writeln!(self.err, "error: {error}")?;
        match hint {
            Some(hint) if !hint.is_empty() => writeln!(self.err, "  hint: {hint}"),
            _ => Ok(()),
        }
    }
}
