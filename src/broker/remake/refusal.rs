//! Why something is not made anew, and what to do about it.

use crate::broker::amqp::ConnectError;
use crate::broker::declare::DeclareError;
use crate::broker::management::ManagementError;
use crate::model::QueueName;
use crate::plan::Usage;

#[cfg(test)]
mod tests;

/// Why a queue or an exchange was not made anew, or not wholly.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::broker) enum RemakeError {
    /// The management API did not do it.
    #[error("{0}")]
    Management(#[from] ManagementError),
    /// AMQP did not.
    #[error("{0}")]
    Declare(#[from] DeclareError),
    /// There is no connection.
    #[error("{0}")]
    Connect(#[from] ConnectError),
    /// The connection was lost, or the broker takes no messages.
    #[error("{0}")]
    Lost(String),
    /// It must not be done as things are.
    #[error("{reason}")]
    Unfit {
        /// Why.
        reason: String,
        /// The mend.
        hint: String,
    },
}

impl RemakeError {
    /// The mend, where there is one to give.
    pub(in crate::broker) fn hint(&self) -> Option<String> {
        match self {
            Self::Management(error) => error.hint(),
            Self::Declare(error) => error.hint().map(str::to_owned),
            Self::Connect(error) => Some(error.hint().to_owned()),
            Self::Lost(_) => {
                Some("what was begun goes on with the next apply; no message is lost".into())
            }
            Self::Unfit { hint, .. } => Some(hint.clone()),
        }
    }

    /// Only what is empty and unused was to be made anew, and this is neither.
    pub(super) fn in_use(usage: Usage) -> Self {
        Self::Unfit {
            reason: usage.to_string(),
            hint: "`on_conflict: migrate` takes its messages along".into(),
        }
    }

    /// Somebody consumes it, and goes on to.
    pub(super) fn consumed(usage: Usage) -> Self {
        Self::Unfit {
            reason: usage.to_string(),
            hint: "end its consumers, or have them wait, until it is made anew".into(),
        }
    }

    /// Somebody has taken so many messages and does not settle them.
    pub(super) fn held(messages: u64) -> Self {
        Self::Unfit {
            reason: format!("{messages} of its messages are taken and not settled"),
            hint: "end whoever holds them".into(),
        }
    }

    /// A policy would take messages out of a temporary queue.
    pub(super) fn policy(policy: &str, setting: &str, queue: &QueueName) -> Self {
        Self::Unfit {
            reason: format!(
                "the policy `{policy}` would set `{setting}` on the temporary queue `{queue}`, and messages could be lost"
            ),
            hint: r"have its pattern leave out names that begin with `warrener.migrate.`: write `^(?!warrener\.migrate\.)` in front".into(),
        }
    }

    /// A binding, told as its two ends, that could not be put back.
    pub(super) fn binding(source: &str, destination: &str) -> Self {
        Self::Unfit {
            reason: format!(
                "the binding {source} → {destination} has arguments that could not be put back"
            ),
            hint: "remove that binding first".into(),
        }
    }
}
