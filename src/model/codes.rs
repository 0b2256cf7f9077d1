//! Every code that a problem can carry, with its meaning.
//!
//! A code is a promise to people who search for it and to scripts that filter by it: it keeps its
//! meaning for ever, and a code that is no longer used is not given to something else. `E` stops
//! the load, `W` is advice.

/// A code and what it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// Such as `E0102`.
    pub code: &'static str,
    /// What is wrong, in a few words.
    pub title: &'static str,
    /// Why it is refused, or advised against.
    pub why: &'static str,
}

macro_rules! codes {
    ($($name:ident = $code:literal, $title:literal, $why:literal;)*) => {
        $(#[doc = concat!("`", $code, "`: ", $title, ". ", $why)]
        pub const $name: &str = $code;)*

        /// All codes, in the order of their numbers.
        pub const TABLE: &[Code] = &[$(Code { code: $code, title: $title, why: $why }),*];
    };
}

codes! {
    // Files and YAML.
    SYNTAX = "E0001", "not valid YAML", "The text breaks a rule of YAML 1.2, so nothing after that place can be trusted.";
    UNREADABLE = "E0002", "cannot be read", "The file is missing, is no regular file, or the system refuses it.";
    UNSAFE_FILE = "E0003", "can be changed by others", "The file names commands to run, so only root and the user who runs Warrener may write it.";
    ENCODING = "E0004", "not UTF-8", "Files are UTF-8, with or without a byte order mark.";
    EMPTY = "E0005", "nothing in the file", "An empty file is nearly always a half-written one.";
    DOCUMENTS = "E0006", "several documents", "What stands after `---` would be read by some tools and ignored by others.";
    TAG = "E0007", "a YAML tag", "Tags such as `!include` mean something only to the tool that invented them.";
    TOO_MUCH = "E0008", "too large or too deep", "Limits on size, nesting and aliases keep a hostile file from exhausting memory.";
    INCLUDE = "E0009", "nothing to include", "An `include` names a file that is not there.";
    // The shape of values.
    SHAPE = "E0101", "another kind of value is needed", "Each key takes one kind of value; nothing is converted by guess.";
    UNKNOWN_KEY = "E0102", "an unknown key", "A key that is ignored is a setting that someone believes in.";
    DUPLICATE_KEY = "E0103", "a key given twice", "Only one of the two could win, and tools differ on which.";
    LATER = "E0104", "not supported yet", "The key is known but this version does nothing with it.";
    MISSING = "E0105", "a key is missing", "There is no default that would be right.";
    VALUE = "E0106", "a value that cannot be", "Out of range, without a unit, or not one of the words allowed.";
    NAME = "E0107", "a bad name", "Names have at most 255 bytes, no control characters, and must not begin with `amq.`, which the broker keeps for itself.";
    INTERPOLATION = "E0108", "a `${…}` without a value", "An unset variable is an error rather than an empty text.";
    TWICE = "E0109", "declared twice", "The same thing in two places: both are named, one must go.";
    AMBIGUOUS = "E0110", "an ambiguous value", "YAML tools disagree on what `no`, `0777` or `12:30` is; quoted it is text everywhere.";
    EXCLUSIVE = "E0111", "keys that exclude each other", "Both would decide the same thing.";
    // The broker.
    URL = "E0201", "a bad address", "The address of the broker or of its management API cannot be used. It is not repeated, for it may hold a password.";
    // What should exist.
    NO_EXCHANGE = "E0301", "an undeclared exchange", "A binding needs both of its ends.";
    NO_QUEUE = "E0302", "an undeclared queue", "A binding or a consumer needs its queue.";
    NO_TARGET = "E0303", "an undeclared dead-letter target", "The broker drops what it dead-letters to an exchange or queue that is not there, without a word.";
    CYCLE = "E0304", "a dead-letter cycle", "Without a TTL or a limit in it, a rejected message would go round for ever at full speed.";
    MISFIT = "E0305", "does not fit the queue's type", "The broker refuses, or silently ignores, an argument of another queue type.";
    RESERVED = "E0306", "belongs to the broker", "`amq.*` and the default exchange exist by themselves and cannot be declared or removed.";
    PATTERN = "E0307", "a bad pattern", "A policy's pattern is a regular expression.";
    RETIRED = "E0308", "retired by the broker", "Current brokers refuse this argument.";
    FALLBACK = "E0309", "at-least-once that is not", "Without `overflow: reject-publish` and a dead-letter exchange the broker silently dead-letters at most once.";
    // What should run.
    STREAM_RETRY = "E0401", "a retry on a stream", "A stream keeps its messages; none can be taken out to wait elsewhere.";
    DROPS = "E0402", "rejected messages would vanish", "The queue dead-letters nowhere, so what a consumer rejects would be gone.";
    TIMEOUT = "E0403", "longer than the broker waits", "After 30 minutes without an ack, or what the queue or its policy says, the broker takes all messages of the channel back.";
    PROTOCOL = "E0404", "of another protocol", "The key means nothing in the protocol of this consumer.";
    RETRY_NAME = "E0405", "the name of a retry queue", "Warrener declares this queue itself, for the retries of a consumer.";
    NOT_SINGLE = "E0406", "an order that nobody keeps", "Without a single active consumer, the broker gives one message to one host and the next to another.";
    // Advice.
    LITERAL_PASSWORD = "W0001", "a password in the file", "Whoever can read the repository can use the broker.";
    EMPTY_INCLUDE = "W0002", "an include without a match", "The pattern matches no file now.";
    OPAQUE_PATTERN = "W0003", "a pattern that is not understood here", "The broker uses PCRE; what only PCRE knows cannot be judged offline.";
    REMOTE_GUEST = "W0004", "`guest` from afar", "Brokers refuse the user `guest` from other hosts by default.";
    WIDE_PREFETCH = "W0005", "a large buffer", "Prefetch times the largest message is what one worker may hold in memory.";
    BUFFERED_EXEC = "W0006", "a buffer in front of `exec`", "A process of `exec` takes one message; what else is fetched waits, and the broker's ack timeout runs for it.";
    NO_TIMEOUT = "W0007", "no time limit", "A consumer that hangs is noticed only when the broker takes its messages back.";
    TRANSIENT = "W0008", "a queue that does not survive a restart", "RabbitMQ 4.3 refuses transient queues by default.";
    POLICY_KEY = "W0009", "an unfamiliar policy key", "The broker refuses a policy with a key that it does not know.";
    SHADOWED_POLICY = "W0010", "policies of equal priority", "Only one policy applies to a queue; which of two equals it is, the broker does not say.";
    MANY_PRIORITIES = "W0011", "many priorities", "Each level is a queue of its own inside the broker; it advises at most 10.";
    AUTO_ACK = "W0012", "acked before it is handled", "With `ack: auto` a message is done when a process is given it, so one that fails, and what a process had that ended, is lost.";
    FEW_RETURNS = "W0013", "a broker that gives up first", "Hosts that stop or die give messages back, and a quorum queue counts that. With a limit no higher than `max_crashes` it drops or dead-letters a message, without a reason, that was never tried alone.";
    UNROUTED_DEAD_LETTERS = "W0016", "dead letters that go nowhere", "The broker drops what it dead-letters to an exchange from where no binding leads on, without a word.";
    EXPIRING_DELAY = "W0017", "a delay queue that expires", "A queue expires when nobody has consumed it for so long, whatever is published to it, and what it holds is not dead-lettered then but gone.";
    UNKNOWN_ALTERNATE = "W0018", "an alternate exchange that nobody declares", "The broker takes an alternate exchange that is not there, and drops what should go to it without a word; and what no file declares any more, pruning deletes.";
}
