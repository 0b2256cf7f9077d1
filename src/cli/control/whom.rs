//! Which supervisor a command is for.

use std::path::PathBuf;
use std::time::Duration;

use super::super::exit::Exit;
use crate::admin::{Answer, AskError, Client, Report, Request, find};

/// How long a supervisor may take to answer what it need not think about. It hears nothing while it
/// looks at a broker that does not answer.
pub(super) const PATIENCE: Duration = Duration::from_mins(1);

/// Which supervisor, where several run.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct Whom {
    /// The supervisor of that stack, where several run.
    #[arg(long, value_name = "NAME")]
    pub(super) stack: Option<String>,
    /// The supervisor that listens on that socket.
    #[arg(long, value_name = "PATH", env = "WARRENER_SOCKET")]
    pub(super) socket: Option<PathBuf>,
}

/// Why a command could not be carried out.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) exit: Exit,
    pub(super) what: String,
    pub(super) hint: Option<String>,
}

impl Trouble {
    pub(super) fn new(what: impl Into<String>) -> Self {
        Self { exit: Exit::Failed, what: what.into(), hint: None }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    fn nobody(what: String) -> Self {
        Self { exit: Exit::NotRunning, ..Self::new(what) }.hint(
            "`warrener run FILE` starts one; it answers the user who has started it, and root",
        )
    }

    /// Says it on standard error.
    pub(super) fn report(self) -> Exit {
        anstream::eprintln!("error: {}", self.what);
        if let Some(hint) = self.hint {
            anstream::eprintln!("  hint: {hint}");
        }
        self.exit
    }
}

impl From<AskError> for Trouble {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Nobody(path) => {
                Self::nobody(format!("no supervisor listens on `{}`", path.display()))
            }
            AskError::Denied(_) => {
                Self::new(error.to_string()).hint("ask as that user, or as root")
            }
            AskError::Strange(_) => Self::new(error.to_string())
                .hint("use the `warrener` that the supervisor was started from"),
            AskError::Ended | AskError::Silent(_) | AskError::Failed(_) => {
                Self::new(error.to_string())
            }
        }
    }
}

impl Whom {
    /// Connects to the one that is meant.
    pub(super) async fn reach(&self) -> Result<Client, Trouble> {
        if let Some(path) = &self.socket {
            return Ok(Client::connect(path).await?);
        }
        let found = find(self.stack.as_deref());
        match (found.as_slice(), &self.stack) {
            ([one], _) => Ok(Client::connect(&one.path).await?),
            ([], None) => Err(Trouble::nobody("no supervisor is running".into())),
            ([], Some(stack)) => {
                let others = find(None);
                let names: Vec<_> =
                    others.iter().map(|found| format!("`{}`", found.name)).collect();
                let trouble =
                    Trouble::nobody(format!("no supervisor of the stack `{stack}` is running"));
                Err(match names.as_slice() {
                    [] => trouble,
                    names => trouble.hint(format!("these are: {}", names.join(", "))),
                })
            }
            (several, _) => {
                let lines: Vec<_> = several
                    .iter()
                    .map(|found| format!("\n  {}: {}", found.name, found.path.display()))
                    .collect();
                Err(Trouble::new(format!("several supervisors are running:{}", lines.concat()))
                    .hint("say which by `--stack NAME` or `--socket PATH`"))
            }
        }
    }
}

/// How a supervisor stands.
pub(super) async fn report(client: &mut Client) -> Result<Report, Trouble> {
    match client.ask(Request::Status, Some(PATIENCE)).await? {
        Answer::Status { report } => Ok(*report),
        other => Err(strange(&other)),
    }
}

/// An answer that does not fit the question, or that refuses it.
pub(super) fn strange(answer: &Answer) -> Trouble {
    match answer {
        Answer::Refused { why } => Trouble::new(why),
        other => AskError::Strange(format!("{other:?}")).into(),
    }
}
