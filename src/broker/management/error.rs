//! Why a request to the management API failed.

/// What brokers say to an unknown user or a wrong password: until 3.13, and from 4.0. To a user who
/// may not do something they say what is missing.
const WRONG_LOGIN: [&str; 2] = ["Login failed", "Not_Authorized"];

/// A failed request: what happened, and in [`ManagementError::hint`] how to mend it. Never carries
/// credentials.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ManagementError {
    /// No answer: refused, not resolved, timed out, cut off, or not the management API.
    #[error("no answer from the management API at `{url}`: {reason}")]
    Unreachable {
        /// The base address.
        url: String,
        /// The innermost cause.
        reason: String,
    },
    /// 401, which the broker says to wrong credentials and to missing permissions alike.
    #[error("the management API refuses user `{user}`: {reason}")]
    Unauthorized {
        /// Who asked.
        user: String,
        /// The broker's words.
        reason: String,
    },
    /// There is no such object.
    #[error("{what} does not exist")]
    NotFound {
        /// What was asked for.
        what: String,
    },
    /// 400: the broker understood and will not.
    #[error("the broker refuses {what}: {reason}")]
    Refused {
        /// What was to be done.
        what: String,
        /// The broker's words.
        reason: String,
    },
    /// Anything else.
    #[error("the management API answers {status} to {what}: {reason}")]
    Other {
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The broker's words.
        reason: String,
    },
}

impl ManagementError {
    /// The mend, where there is one to give.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Unreachable { .. } => Some(
                "enable it on the broker with `rabbitmq-plugins enable rabbitmq_management`, or give its address as `broker.management`"
                    .into(),
            ),
            Self::Unauthorized { user, reason } if WRONG_LOGIN.contains(&reason.as_str()) => Some(format!(
                "check the password of `{user}`, and that it has the tag `management`: `rabbitmqctl set_user_tags {user} management`"
            )),
            Self::Unauthorized { user, .. } => Some(format!(
                "policies need the tag `policymaker`, everything else `management`: `rabbitmqctl set_user_tags {user} policymaker`"
            )),
            Self::NotFound { .. } | Self::Refused { .. } | Self::Other { .. } => None,
        }
    }

    /// Whether another way to the broker could still work: nobody answers, or not to this user.
    pub fn is_shut(&self) -> bool {
        matches!(self, Self::Unreachable { .. } | Self::Unauthorized { .. })
    }

    pub(super) fn unreachable(url: &str, error: &reqwest::Error) -> Self {
        let reason = if error.is_timeout() {
            "timed out".into()
        } else {
            // The outer layers only say that a request failed, and repeat its address.
            let mut innermost: &(dyn std::error::Error + 'static) = error;
            while let Some(source) = innermost.source() {
                innermost = source;
            }
            innermost.to_string()
        };
        Self::Unreachable { url: url.into(), reason }
    }
}
