//! The pure rooms that read what others wrote, compiled by themselves: without the rest of the
//! program they are built, and instrumented, in a minute.

#[path = "../../src/config/mod.rs"]
pub mod config;
#[path = "../../src/definitions/mod.rs"]
pub mod definitions;
#[path = "../../src/model/mod.rs"]
pub mod model;
#[path = "../../src/protocol/mod.rs"]
pub mod protocol;

use std::path::Path;

use config::{Environment, Loader, Resolved, Unresolved};

/// No file, and every variable has that value.
pub struct Outside<'a>(pub &'a str);

impl Environment for Outside<'_> {
    fn variable(&self, _: &str) -> Result<Option<String>, String> {
        Ok(Some(self.0.to_owned()))
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Err("there are no files".into())
    }
}

/// Reads a text as the commands do.
///
/// # Errors
/// What is wrong with it.
pub fn resolve(text: &str, environment: &dyn Environment) -> Result<Resolved, Unresolved> {
    let mut loader = Loader::new(environment);
    loader.add("stack.yaml", text, Path::new("/stack"));
    loader.finish()
}
