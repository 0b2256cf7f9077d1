//! The variables of this process and the files of this machine, for `${…}`.

use std::env::{self, VarError};
use std::path::Path;

use super::open;
use crate::config::Environment;

/// What `${NAME}` and `${file:/path}` mean on this machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct HostEnvironment;

impl Environment for HostEnvironment {
    fn variable(&self, name: &str) -> Result<Option<String>, String> {
        match env::var(name) {
            Ok(value) => Ok(Some(value)),
            Err(VarError::NotPresent) => Ok(None),
            Err(VarError::NotUnicode(_)) => Err("its value is not UTF-8".into()),
        }
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        open::read_value(path)
    }
}
