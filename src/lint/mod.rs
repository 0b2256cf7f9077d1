//! Advice over what should be: one rule a row, each with a code, a reason and a mend. Pure.
//!
//! The reasons are those of the codes in [`crate::model::codes`]. Advice that needs the text of the
//! files, such as a password spelled in an address, is given where the text is read, in
//! [`crate::config`].

mod losses;
mod rules;

pub use rules::{RULES, Rule, lint};
