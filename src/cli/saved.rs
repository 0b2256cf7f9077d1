//! Plans in files.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::screen::Screen;
use crate::model::Desired;
use crate::plan::{Plan, SavedPlan};

/// The largest file that is read as a plan: a hundred thousand steps are not half of it.
const LARGEST: u64 = 256 << 20;

/// Writes a plan to a file, as a whole or not at all; false where it could not, which is said.
pub(super) fn write(
    path: &Path,
    plan: &Plan,
    desired: &Desired,
    files: &[PathBuf],
    screen: &mut Screen<'_>,
) -> io::Result<bool> {
    let files = files.iter().map(|file| file.display().to_string()).collect();
    let saved = match SavedPlan::new(plan, desired, files) {
        Ok(saved) => saved,
        Err(fault) => {
            screen.error(&fault, Some(fault.hint()))?;
            return Ok(false);
        }
    };
    if let Err(error) = replace(path, &saved) {
        writeln!(screen.err, "error: cannot write the plan to `{}`: {error}", path.display())?;
        return Ok(false);
    }
    Ok(true)
}

fn replace(path: &Path, saved: &SavedPlan) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    let mut file = tempfile::NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    serde_json::to_writer_pretty(&mut file, saved)?;
    file.write_all(b"\n")?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    Ok(())
}

/// Reads a plan from a file; else what is wrong with it, and the mend.
pub(super) fn read(path: &Path) -> Result<SavedPlan, (String, &'static str)> {
    let cannot = |error: &dyn std::fmt::Display| {
        (
            format!("cannot read the plan `{}`: {error}", path.display()),
            "give the file that `warrener plan --out` has written",
        )
    };
    let size = std::fs::metadata(path).map_err(|error| cannot(&error))?.len();
    if size > LARGEST {
        return Err(cannot(&"it is too large"));
    }
    let text = std::fs::read_to_string(path).map_err(|error| cannot(&error))?;
    SavedPlan::parse(&text).map_err(|fault| {
        (format!("cannot use the plan `{}`: {fault}", path.display()), fault.hint())
    })
}
