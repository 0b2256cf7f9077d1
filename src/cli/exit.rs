//! What the process says when it ends.

use std::process::ExitCode;

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done; for `plan`, nothing to do.
    Done,
    /// Failed: a bad file, a broker out of reach.
    Failed,
    /// There are changes to make (`plan`, `drift`).
    Changes,
    /// Some of it is done (`apply`, `reload`), or came along (`import`, `export`).
    Partly,
    /// No supervisor is running (`status` and its kin).
    NotRunning,
    /// The command line itself cannot be understood.
    Usage,
}

impl Exit {
    /// Every way to end.
    pub const ALL: [Self; 6] =
        [Self::Done, Self::Failed, Self::Changes, Self::Partly, Self::NotRunning, Self::Usage];

    /// The number that a shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            // The number that other planning tools use, and the one that parsers of command lines
            // use for their own errors; those have 64 here, `EX_USAGE`, so that a typing error in a
            // pipeline is not taken for "there are changes".
            Self::Changes => 2,
            Self::Partly => 3,
            Self::NotRunning => 4,
            Self::Usage => 64,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}
