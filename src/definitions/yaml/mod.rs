//! Readable YAML: the short forms of the file, and quotes around whatever YAML would misread.

mod layout;
mod resources;
mod scalar;
mod settings;
mod sheet;

#[cfg(test)]
mod tests;

pub use sheet::Sheet;
