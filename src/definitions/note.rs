//! What does not come along as it is, why, and the mend: a closed list of reasons.

use std::fmt;

/// How much a note matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// It is not in the file.
    LeftOut,
    /// It is in the file, and not as it was.
    Changed,
    /// It was not there, and something else needs it.
    Added,
    /// The file has a variable in its place.
    Variable,
    /// It is not in the file and need not be: the broker or Warrener makes it by itself.
    Needless,
}

impl Weight {
    /// The word that a note begins with.
    pub fn word(self) -> &'static str {
        match self {
            Self::LeftOut => "left out",
            Self::Changed => "changed",
            Self::Added => "added",
            Self::Variable => "variable",
            Self::Needless => "not needed",
        }
    }
}

/// Why something does not come along as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// It is outside of the vhost that was asked for.
    OtherVhost,
    /// A section that files do not have.
    Section,
    /// A key that means nothing here.
    Key,
    /// The entry is not of the form that definitions have.
    Form,
    /// A name that no file can spell.
    Name,
    /// A value that no file can spell.
    Value,
    /// A type of queue that files do not know.
    QueueType,
    /// Declared twice; the first one is taken.
    Twice,
    /// A binding without one of its ends.
    Dangling,
    /// A pattern that is no regular expression.
    Pattern,
    /// Mirrored queues, which ended with RabbitMQ 4.0.
    Mirroring,
    /// An argument that brokers have retired, or refuse on such a queue.
    Refused,
    /// Dead-lettered messages would go round for ever.
    Cycle,
    /// It exists and cannot be spelled; the file only says that it exists.
    Unmanaged,
    /// A dead-letter target that does not exist.
    Target,
    /// Beyond the selection, but something selected refers to it.
    Beyond,
    /// The broker's own: `amq.*` and what plugins make for themselves.
    Own,
    /// Named by the broker, or of one connection alone: it goes with its client.
    Passing,
    /// A retry queue of Warrener.
    Retry,
    /// Where Warrener notes what a stack owns.
    Ledger,
    /// A secret: the file has a variable in its place.
    Secret,
}

impl Reason {
    /// Every reason.
    pub const ALL: [Self; 21] = [
        Self::OtherVhost,
        Self::Section,
        Self::Key,
        Self::Form,
        Self::Name,
        Self::Value,
        Self::QueueType,
        Self::Twice,
        Self::Dangling,
        Self::Pattern,
        Self::Mirroring,
        Self::Refused,
        Self::Cycle,
        Self::Unmanaged,
        Self::Target,
        Self::Beyond,
        Self::Own,
        Self::Passing,
        Self::Retry,
        Self::Ledger,
        Self::Secret,
    ];

    /// How much it matters.
    pub fn weight(self) -> Weight {
        match self {
            Self::Section
            | Self::Key
            | Self::Form
            | Self::Name
            | Self::Value
            | Self::QueueType
            | Self::Twice
            | Self::Dangling
            | Self::Pattern
            | Self::Mirroring
            | Self::Refused
            | Self::Cycle => Weight::LeftOut,
            Self::Unmanaged => Weight::Changed,
            Self::Target | Self::Beyond => Weight::Added,
            Self::Secret => Weight::Variable,
            Self::OtherVhost | Self::Own | Self::Passing | Self::Retry | Self::Ledger => {
                Weight::Needless
            }
        }
    }

    /// The reason in words, where a note says no more.
    fn why(self) -> &'static str {
        match self {
            Self::OtherVhost => "it is not selected",
            Self::Section => "files do not have it",
            Self::Key => "it means nothing here",
            Self::Form => "it is not of the form that definitions have",
            Self::Name => "no file can spell its name",
            Self::Value => "no file can spell its value",
            Self::QueueType => "files do not know queues of its type",
            Self::Twice => "it is there twice, and the first one is taken",
            Self::Dangling => "one of its ends is not there",
            Self::Pattern => "its pattern is no regular expression",
            Self::Mirroring => "mirroring ended with RabbitMQ 4.0",
            Self::Refused => "brokers refuse it",
            Self::Cycle => "dead-lettered messages would go round for ever",
            Self::Unmanaged => "it exists, and no file can say all of it",
            Self::Target => "it was not there, and something dead-letters to it",
            Self::Beyond => "it is not selected, but something here refers to it",
            Self::Own => "the broker makes it by itself",
            Self::Passing => "it goes with its client",
            Self::Retry => "the `retry` of a consumer brings it",
            Self::Ledger => "Warrener notes there what a stack owns",
            Self::Secret => "a password stood there",
        }
    }

    /// The mend; `None` where nothing has to be done.
    pub fn hint(self) -> Option<&'static str> {
        Some(match self {
            Self::Section => "set it by hand where it is needed",
            Self::Key => "remove it from the definitions if nobody needs it",
            Self::Form => "mend the entry in the definitions and run this again",
            Self::Name => {
                "names in files have no control characters and no `${`, and at most 255 bytes: \
                 give it another name"
            }
            Self::Value => "give it a value of text, numbers, truth values, lists and tables",
            Self::QueueType => "declare it with `manage: false` if something refers to it",
            Self::Twice => "remove one of the two from the definitions",
            Self::Dangling => {
                "declare the missing end, with `manage: false` if somebody else makes it, and \
                 write the binding again"
            }
            Self::Pattern => "mend the pattern and write the policy again",
            Self::Mirroring => "for replicas make the queues quorum queues: `type: quorum`",
            Self::Refused => "look at the queue before you apply",
            Self::Cycle => {
                "give one of the queues a `message_ttl`, a `max_length` or another target"
            }
            Self::Unmanaged => "write it out and remove `manage: false` to have it managed",
            Self::Target => "bind a queue to it, or give the queue another `dead_letter`",
            Self::Secret => "set these variables for the commands that use the file",
            Self::Beyond
            | Self::OtherVhost
            | Self::Own
            | Self::Passing
            | Self::Retry
            | Self::Ledger => return None,
        })
    }
}

/// Something that does not come along as it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Note {
    /// Why; it also says how much it matters.
    pub reason: Reason,
    /// What, in the words of people: ``queue `orders` ``.
    pub what: String,
    /// Why in particular; where it is empty, the reason itself has the words.
    pub about: String,
}

impl Note {
    /// A note.
    pub(super) fn new(reason: Reason, what: impl Into<String>, about: impl Into<String>) -> Self {
        Self { reason, what: what.into(), about: about.into() }
    }
}

impl Note {
    /// Why, in words.
    pub fn why(&self) -> &str {
        if self.about.is_empty() { self.reason.why() } else { &self.about }
    }
}

/// ``left out: queue `orders`: it has no name``.
impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: {}", self.reason.weight().word(), self.what, self.why())
    }
}
