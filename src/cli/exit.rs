//! What the exit codes of reconciling commands mean.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is done, or there is nothing to do.
    Done,
    /// It could not be done, and nothing was changed; conflicts are errors.
    Error,
    /// There is something to do, and nothing was done about it.
    Changes,
    /// Some of it was done.
    Partly,
}

impl Exit {
    /// The number the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Error => 1,
            Self::Changes => 2,
            Self::Partly => 3,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
